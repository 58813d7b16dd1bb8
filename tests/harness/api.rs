//! A client of `/v1` that knows nothing but HTTP and JSON, as a stranger's would.
//! Must not try again: tests say where that is right.

use std::fmt::Display;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{SOON, eventually};

/// A client of one region.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What a region answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body as JSON; as a string if it is something else.
    pub(crate) body: Value,
}

impl Answer {
    /// Panics unless the region did what it was asked; returns the body.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:#?}");
        self.body
    }

    /// Panics unless the region refused with this status and a problem of this kind, that says
    /// what to do about it.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:#?}");
        assert_eq!(self.body["type"], format!("/problems/{slug}"), "{self:#?}");
        assert_eq!(self.body["status"], status, "{self:#?}");
        assert!(self.body["detail"].as_str().is_some_and(|it| !it.is_empty()), "{self:#?}");
        let may_pass = [429, 503].contains(&status);
        assert_eq!(self.headers.contains_key("retry-after"), may_pass, "{self:#?}");
        self.body
    }
}

/// Returns what a problem says about the field at fault, as `FIELD: DETAIL`.
pub(crate) fn problem(body: &Value) -> String {
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("field"), text("detail"))
}

impl Api {
    /// Makes a client of the region at a base URL.
    pub(crate) fn new(base: impl Display) -> Self {
        // Whoever was here before has said the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true);
        let http = http.build().expect("nothing in the options can fail");
        Self { http, base: base.to_string(), token: None }
    }

    /// Returns the same client, but with a bearer token.
    pub(crate) fn as_bearer(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Returns the base URL.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Begins a request.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).timeout(SOON * 2);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; fails only when there is no answer.
    pub(crate) async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
        let reply = request.send().await?;
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        let bytes = reply.bytes().await?;
        let text = || Value::from(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Ok(Answer { status, headers, body })
    }

    /// Sends a request.
    pub(crate) async fn send(request: RequestBuilder) -> Answer {
        Self::try_send(request).await.unwrap_or_else(|err| panic!("no answer: {err:?}"))
    }

    /// Asks for something.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request(Method::POST, path).json(body)).await
    }

    /// Puts JSON.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request(Method::PUT, path).json(body)).await
    }

    /// Submits a task under an idempotency key.
    pub(crate) async fn submit_once(&self, key: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, "/v1/tasks").header("idempotency-key", key);
        Self::send(request.json(body)).await
    }

    /// Registers an agent of one skill.
    pub(crate) async fn register(&self, agent: &str, skill: &str) {
        let body = json!({"skills": [skill], "capacity": 16});
        self.put(&format!("/v1/agents/{agent}"), &body).await.ok();
    }

    /// Waits for a lease for the agent.
    pub(crate) async fn lease(&self, agent: &str) -> Value {
        let body = json!({"agent": agent, "limit": 1, "wait_ms": 10_000});
        let mut leases = self.post("/v1/leases", &body).await.ok();
        assert_eq!(leases["leases"].as_array().map(Vec::len), Some(1), "{leases:#}");
        leases["leases"][0].take()
    }

    /// Ends the task of a lease well.
    pub(crate) async fn complete(&self, lease: &Value) -> Answer {
        let path = format!("/v1/leases/{}/complete", text(&lease["task"]));
        self.post(&path, &json!({"token": lease["token"], "text": "done"})).await
    }

    /// Says that the worker of a lease lives.
    pub(crate) async fn heartbeat(&self, lease: &Value) -> Answer {
        let path = format!("/v1/leases/{}/heartbeat", text(&lease["task"]));
        self.post(&path, &json!({"token": lease["token"]})).await
    }

    /// Takes a task from its submission to its end, as client and as worker.
    pub(crate) async fn completes_a_task(&self) -> String {
        self.register("witness", "test.witness").await;
        let task = json!({"skill": "test.witness", "text": "are you there?"});
        let submitted = self.post("/v1/tasks", &task).await.ok();
        let id = text(&submitted["id"]).to_owned();
        let lease = self.lease("witness").await;
        assert_eq!(lease["task"], id, "nothing else was asked of the witness");
        self.complete(&lease).await.ok();
        let task = self.get(&format!("/v1/tasks/{id}")).await.ok();
        assert_eq!(task["state"], "completed", "{task:#}");
        id
    }

    /// Panics unless the region is ready and takes a task to its end.
    pub(crate) async fn lives_on(&self) {
        assert_eq!(self.get("/readyz").await.ok()["status"], "ready");
        self.completes_a_task().await;
    }

    /// Waits until the region says that it is ready.
    pub(crate) async fn is_ready(&self) {
        eventually(format!("{} is ready", self.base), || async {
            let asked = self.request(Method::GET, "/readyz").timeout(Duration::from_secs(1));
            Self::try_send(asked).await.is_ok_and(|it| it.status == 200).then_some(())
        })
        .await;
    }
}

/// Returns the text of a JSON string.
#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}
