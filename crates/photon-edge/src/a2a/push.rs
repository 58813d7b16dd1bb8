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
use super::incoming::{Call, Dialect};
use crate::hooks::key_of;

/// The scheme of those who want to check a signature rather than be shown a secret.
const SIGNED: &str = "standard-webhooks";
/// The header for the token of a client, as A2A 0.3 named it and its SDKs send it.
const TOKEN: &str = "x-a2a-notification-token";
/// Bytes of a token, and of credentials.
const TEXT_BYTES_MAX: usize = 4_096;
/// What a record says of a webhook that is told in the words of A2A 0.3.
const V03: &str = "0.3";

/// Where a webhook lies, as its record holds it; with what it is shown, but for its credentials.
#[derive(Serialize, Deserialize)]
pub(super) struct Target {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    /// The version of A2A in whose words it is told, if not in those of 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// A webhook that a client asks for, understood.
#[derive(Debug)]
pub(super) struct Wanted {
    id: Arc<str>,
    target: Secret,
    credentials: Secret,
}

/// What a webhook is shown, and what signs that which is sent there.
#[derive(Clone, Debug, Default)]
pub(super) struct Proofs {
    /// Headers.
    pub(super) headers: Vec<(&'static str, HeaderValue)>,
    /// A key.
    pub(super) key: Option<Vec<u8>>,
}

impl Target {
    /// Reads what a record holds; what a later version wrote may not be understood.
    pub(super) fn of(webhook: &Webhook) -> Option<Self> {
        serde_json::from_slice(&webhook.target.0).ok()
    }

    /// Returns where it lies.
    pub(super) fn uri(&self) -> Option<Uri> {
        self.url.parse().ok()
    }

    /// Returns in the words of which version it is told; nothing if that is not understood.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        match self.version.as_deref() {
            None => Some(Dialect::V10),
            Some(V03) => Some(Dialect::V03),
            Some(_) => None,
        }
    }

    /// Returns what it is shown, with its credentials; nothing if they are not understood.
    pub(super) fn proofs(&self, credentials: &Secret) -> Option<Proofs> {
        let mut proofs = Proofs::default();
        if let Some(token) = &self.token {
            proofs.headers.push((TOKEN, header_of(token)?));
        }
        let credentials = std::str::from_utf8(&credentials.0).ok()?;
        match self.scheme.as_deref() {
            None => {}
            Some(scheme) if is_signed(scheme) => proofs.key = Some(key_of(credentials)?),
            Some(scheme) => {
                proofs.headers.push((AUTHORIZATION.as_str(), shown(scheme, credentials)?));
            }
        }
        Some(proofs)
    }

    /// Says it in the words of A2A.
    fn said(self, task: TaskId, id: &str) -> TaskPushNotificationConfig {
        TaskPushNotificationConfig {
            url: self.url,
            id: Some(id.to_owned()),
            task_id: task.to_string(),
            token: self.token,
            authentication: self
                .scheme
                .map(|scheme| AuthenticationInfo { scheme, credentials: None }),
            tenant: None,
        }
    }
}

const TEXT_HELP: &str =
    "use visible characters of ASCII, 4,096 at most with all that they are sent with";

/// Returns the header that shows credentials.
fn shown(scheme: &str, credentials: &str) -> Option<HeaderValue> {
    header_of(format!("{scheme} {credentials}").trim_end())
}

fn header_of(text: &str) -> Option<HeaderValue> {
    let is_fit = text.len() <= TEXT_BYTES_MAX && text.bytes().all(|it| (b' '..=b'~').contains(&it));
    let mut value = HeaderValue::from_str(text).ok().filter(|_| is_fit)?;
    value.set_sensitive(true);
    Some(value)
}

fn is_signed(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case(SIGNED)
}

fn check_scheme(scheme: &str, credentials: &str, at: &str) -> Result<(), Fault> {
    let is_token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
    if scheme.is_empty() || 64 < scheme.len() || !scheme.bytes().all(is_token) {
        let help = "name a scheme of HTTP, such as `Bearer`, or `standard-webhooks`";
        return Err(Fault::field(&format!("{at}scheme"), help));
    }
    let field = format!("{at}credentials");
    if is_signed(scheme) && key_of(credentials).is_none() {
        let help = "give the key that signs: `whsec_` and 24 to 64 bytes in base 64";
        return Err(Fault::field(&field, help));
    }
    match shown(scheme, credentials) {
        None => Err(Fault::field(&field, TEXT_HELP)),
        Some(_) => Ok(()),
    }
}

impl Wanted {
    /// Understands what a client asks for; `at` is the way to it among the parameters.
    pub(super) fn read(
        config: &TaskPushNotificationConfig,
        at: &str,
        call: &Call,
    ) -> Result<Self, Fault> {
        let field = |name: &str| format!("{at}{name}");
        call.front
            .push_targets()
            .check(&config.url)
            .map_err(|help| Fault::field(&field("url"), help))?;
        let token = config.token.clone().filter(|it| !it.is_empty());
        if let Some(token) = &token {
            header_of(token).ok_or_else(|| Fault::field(&field("token"), TEXT_HELP))?;
        }
        // Of Protocol Buffers what is empty counts as absent.
        let is_given = |it: &&AuthenticationInfo| {
            !it.scheme.is_empty() || it.credentials.as_ref().is_some_and(|it| !it.is_empty())
        };
        let asked = config.authentication.as_ref().filter(is_given);
        let credentials = asked.and_then(|it| it.credentials.clone()).unwrap_or_default();
        if let Some(it) = asked {
            check_scheme(&it.scheme, &credentials, &field("authentication."))?;
        }
        let id = match config.id.as_deref().filter(|it| !it.is_empty()) {
            Some(id) => config_id(id, &field("id"))?,
            // The same when the client asks again because it did not hear the answer.
            None => BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&config.url)[..15]).into(),
        };
        let scheme = asked.map(|it| it.scheme.clone());
        let version = match call.dialect {
            Dialect::V10 => None,
            Dialect::V03 => Some(V03.to_owned()),
        };
        let target = Target { url: config.url.clone(), token, scheme, version };
        let target = Secret(serde_json::to_vec(&target).expect("a target is JSON").into());
        Ok(Self { id, target, credentials: Secret(credentials.into()) })
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
        let wanted = Wanted::read(&config, "", self)?;
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
        let Wanted { id, target, credentials } = wanted;
        let set = AtHome::SetWebhook { task, id, target, credentials, since };
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
        let is_any = self.dialect == Dialect::V03 && request.id.is_empty();
        let found = all.iter().find(|it| is_any || *it.id == *request.id);
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
