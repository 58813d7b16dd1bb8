//! Push notifications: which webhooks a task has.
//! Must not send anything: [`notify`](super::notify) does.

use std::sync::Arc;

use ::a2a::{
    AuthenticationInfo, DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest, ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse, TaskPushNotificationConfig,
};
use axum::http::Uri;
use axum::http::header::{AUTHORIZATION, HeaderValue};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use photon_region::{AtHome, Command, Reply, Secret, TaskId, Webhook};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::calls::task_id;
use super::fault::Fault;
use super::incoming::Call;
use crate::hooks::{PushTargets, key_of};

/// The scheme of those who want to check a signature rather than be shown a secret.
const SIGNED: &str = "standard-webhooks";
/// The header for the token of a client, as A2A 0.3 named it and its SDKs send it.
const TOKEN: &str = "x-a2a-notification-token";
/// Bytes of a token, and of credentials.
const TEXT_BYTES_MAX: usize = 4_096;

/// Where a webhook lies, with what it wants to be shown; as the record of the webhook holds it.
#[derive(Serialize, Deserialize)]
pub(super) struct Target {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authentication: Option<AuthenticationInfo>,
}

/// A webhook that a client asks for, understood.
#[derive(Debug)]
pub(super) struct Wanted {
    id: Arc<str>,
    target: Secret,
}

impl Target {
    /// Reads what a record holds; what a later version wrote may not be understood.
    pub(super) fn of(webhook: &Webhook) -> Option<Self> {
        serde_json::from_slice(&webhook.target.0).ok()
    }

    fn read(
        config: &TaskPushNotificationConfig,
        at: &str,
        targets: PushTargets,
    ) -> Result<Self, Fault> {
        let field = |name: &str| format!("{at}{name}");
        targets.check(&config.url).map_err(|help| Fault::field(&field("url"), help))?;
        let given = |it: &Option<String>| it.clone().filter(|it| !it.is_empty());
        let token = given(&config.token);
        if let Some(token) = &token {
            header_of(token).ok_or_else(|| Fault::field(&field("token"), TEXT_HELP))?;
        }
        // Of Protocol Buffers what is empty counts as absent.
        let is_given = |it: &AuthenticationInfo| !it.scheme.is_empty() || it.credentials.is_some();
        let authentication = config.authentication.clone().filter(is_given);
        if let Some(AuthenticationInfo { scheme, credentials }) = &authentication {
            check_scheme(scheme, credentials.as_deref(), &field("authentication."))?;
        }
        Ok(Self { url: config.url.clone(), token, authentication })
    }

    /// Returns where it lies.
    pub(super) fn uri(&self) -> Option<Uri> {
        self.url.parse().ok()
    }

    /// Returns what it wants to be shown.
    pub(super) fn headers(&self) -> Vec<(&'static str, HeaderValue)> {
        let token = self.token.as_deref().and_then(header_of).map(|it| (TOKEN, it));
        let shown = self.authentication.as_ref().filter(|it| !is_signed(&it.scheme));
        let shown = shown.and_then(|it| {
            let credentials = it.credentials.as_deref().unwrap_or_default();
            header_of(format!("{} {credentials}", it.scheme).trim_end())
        });
        token.into_iter().chain(shown.map(|it| (AUTHORIZATION.as_str(), it))).collect()
    }

    /// Returns what signs that which is sent there.
    pub(super) fn key(&self) -> Option<Vec<u8>> {
        let it = self.authentication.as_ref().filter(|it| is_signed(&it.scheme))?;
        key_of(it.credentials.as_deref()?)
    }

    /// Says it in the words of A2A. Credentials are shown to nobody.
    fn said(self, task: TaskId, id: &str) -> TaskPushNotificationConfig {
        let authentication =
            self.authentication.map(|it| AuthenticationInfo { credentials: None, ..it });
        TaskPushNotificationConfig {
            url: self.url,
            id: Some(id.to_owned()),
            task_id: task.to_string(),
            token: self.token,
            authentication,
            tenant: None,
        }
    }
}

const TEXT_HELP: &str = "use 1 to 4,096 visible characters of ASCII";

fn header_of(text: &str) -> Option<HeaderValue> {
    let is_fit = text.len() <= TEXT_BYTES_MAX && text.bytes().all(|it| (b' '..=b'~').contains(&it));
    let mut value = HeaderValue::from_str(text).ok().filter(|_| is_fit)?;
    value.set_sensitive(true);
    Some(value)
}

fn is_signed(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case(SIGNED)
}

fn check_scheme(scheme: &str, credentials: Option<&str>, at: &str) -> Result<(), Fault> {
    let is_token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
    if scheme.is_empty() || 64 < scheme.len() || !scheme.bytes().all(is_token) {
        let help = "name a scheme of HTTP, such as `Bearer`, or `standard-webhooks`";
        return Err(Fault::field(&format!("{at}scheme"), help));
    }
    let field = format!("{at}credentials");
    if is_signed(scheme) && credentials.and_then(key_of).is_none() {
        let help = "give the key that signs: `whsec_` and 24 to 64 bytes in base 64";
        return Err(Fault::field(&field, help));
    }
    match credentials.map(header_of) {
        Some(None) => Err(Fault::field(&field, TEXT_HELP)),
        Some(Some(_)) | None => Ok(()),
    }
}

impl Wanted {
    /// Understands what a client asks for; `at` is the way to it among the parameters.
    pub(super) fn read(
        config: &TaskPushNotificationConfig,
        at: &str,
        targets: PushTargets,
    ) -> Result<Self, Fault> {
        let target = Target::read(config, at, targets)?;
        let id = match config.id.as_deref().filter(|it| !it.is_empty()) {
            Some(id) => config_id(id, &format!("{at}id"))?,
            // The same when the client asks again because it did not hear the answer.
            None => BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&target.url)[..15]).into(),
        };
        let target = serde_json::to_vec(&target).expect("a target is JSON");
        Ok(Self { id, target: Secret(target.into()) })
    }
}

/// Reads the name of a webhook: it can be part of a path as it is.
fn config_id(id: &str, field: &str) -> Result<Arc<str>, Fault> {
    let is_fit = |it: u8| it.is_ascii_alphanumeric() || b"-_.~:@".contains(&it);
    if !(1..=Webhook::ID_BYTES_MAX).contains(&id.len()) || !id.bytes().all(is_fit) {
        let help = "use 1 to 64 of a-z, A-Z, 0-9 and - _ . ~ : @";
        return Err(Fault::field(field, help));
    }
    Ok(id.into())
}

impl Call {
    /// `CreateTaskPushNotificationConfig`.
    pub(super) async fn create_push(
        &self,
        config: TaskPushNotificationConfig,
    ) -> Result<TaskPushNotificationConfig, Fault> {
        let wanted = Wanted::read(&config, "", self.front.push_targets())?;
        let task = self.known(&config.task_id).await?;
        let id = wanted.id.clone();
        self.set_push(task, wanted, None).await?;
        // It is said as it was given: with the credentials, which the client knows.
        let tenant = None;
        Ok(TaskPushNotificationConfig { id: Some(id.to_string()), tenant, ..config })
    }

    /// Gives a task a webhook, which is told of what comes after a generation, or after now.
    pub(super) async fn set_push(
        &self,
        task: TaskId,
        wanted: Wanted,
        since: Option<u64>,
    ) -> Result<(), Fault> {
        let Wanted { id, target } = wanted;
        let set = AtHome::SetWebhook { task, id, target, since };
        self.front.submit(Command::AtHome(set)).await?;
        Ok(())
    }

    /// `GetTaskPushNotificationConfig`.
    pub(super) async fn push(
        &self,
        request: GetTaskPushNotificationConfigRequest,
    ) -> Result<TaskPushNotificationConfig, Fault> {
        let task = self.known(&request.task_id).await?;
        let all = self.webhooks(task).await?;
        let found = all.iter().find(|it| *it.id == *request.id);
        let said = found.and_then(|it| Some(Target::of(it)?.said(task, &it.id)));
        said.ok_or_else(|| Fault::no_webhook(&task.to_string(), &request.id))
    }

    /// `ListTaskPushNotificationConfigs`: all of them, for a task has few.
    pub(super) async fn pushes(
        &self,
        request: ListTaskPushNotificationConfigsRequest,
    ) -> Result<ListTaskPushNotificationConfigsResponse, Fault> {
        let task = self.known(&request.task_id).await?;
        let all = self.webhooks(task).await?;
        let configs = all.iter().filter_map(|it| Some(Target::of(it)?.said(task, &it.id)));
        Ok(ListTaskPushNotificationConfigsResponse {
            configs: configs.collect(),
            next_page_token: None,
        })
    }

    /// `DeleteTaskPushNotificationConfig`.
    pub(super) async fn delete_push(
        &self,
        request: DeleteTaskPushNotificationConfigRequest,
    ) -> Result<(), Fault> {
        let task = self.known(&request.task_id).await?;
        let id = config_id(&request.id, "id")?;
        self.front.submit(Command::AtHome(AtHome::RemoveWebhook { task, id })).await?;
        Ok(())
    }

    /// Returns the name of a task that belongs to this address.
    async fn known(&self, task: &str) -> Result<TaskId, Fault> {
        if task.is_empty() {
            return Err(Fault::field("taskId", "name the task"));
        }
        let task = task_id(task)?;
        self.detail(task).await?;
        Ok(task)
    }

    async fn webhooks(&self, task: TaskId) -> Result<Vec<Webhook>, Fault> {
        let Reply::Webhooks(webhooks) = self.front.submit(Command::Webhooks(task)).await? else {
            unreachable!("the region answers `Webhooks` with webhooks")
        };
        Ok(webhooks)
    }
}
