//! Errands to servers that say what a script has, for a region that writes down what it is told.
//! Must not need a server or a region.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use a2a::ListTaskPushNotificationConfigsResponse;
use a2a::{
    AgentCard, GetExtendedAgentCardRequest, GetTaskPushNotificationConfigRequest, ListTasksRequest,
    ListTasksResponse, TaskPushNotificationConfig,
};
use a2a::{DeleteTaskPushNotificationConfigRequest, ListTaskPushNotificationConfigsRequest};
use a2a_client::{ServiceParams, Transport};
use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::super::attachment::Attachment;
use super::*;
use crate::client::Client;

/// What a server says next.
#[derive(Debug)]
enum Says {
    /// The result of a call, as JSON.
    One(Value),
    /// A stream of events, as JSON; the last may be an error.
    Stream(Vec<Value>, Option<A2AError>),
    Error(A2AError),
}

/// A server that answers calls in an order.
#[derive(Debug, Default)]
struct Script {
    says: Mutex<VecDeque<(&'static str, Says)>>,
    /// The messages that it was given.
    given: Mutex<Vec<Value>>,
}

impl Script {
    fn next(&self, call: &str) -> Says {
        let next = self.says.lock().unwrap().pop_front();
        let (expected, says) = next.unwrap_or_else(|| panic!("`{call}` is one call too many"));
        assert_eq!(call, expected);
        says
    }

    fn one<T: serde::de::DeserializeOwned>(&self, call: &str) -> Result<T, A2AError> {
        match self.next(call) {
            Says::One(value) => Ok(serde_json::from_value(value).unwrap()),
            Says::Error(error) => Err(error),
            Says::Stream(..) => panic!("`{call}` has no stream"),
        }
    }

    fn stream(&self, call: &str) -> Result<Events, A2AError> {
        match self.next(call) {
            Says::Stream(values, error) => {
                let events: Vec<_> = values
                    .into_iter()
                    .map(|it| Ok(serde_json::from_value(it).unwrap()))
                    .chain(error.map(Err))
                    .collect();
                Ok(futures_util::stream::iter(events).boxed())
            }
            Says::Error(error) => Err(error),
            Says::One(_) => panic!("`{call}` is a stream"),
        }
    }

    fn give(&self, request: &SendMessageRequest) {
        self.given.lock().unwrap().push(serde_json::to_value(&request.message).unwrap());
    }
}

type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

/// Makes the calls of which no errand has any use.
macro_rules! no_use {
    ($($name:ident($request:ty) -> $reply:ty;)*) => {$(
        fn $name<'a, 'b, 'c, 'd>(
            &'a self,
            _: &'b ServiceParams,
            _: &'c $request,
        ) -> Pin<Box<dyn Future<Output = Result<$reply, A2AError>> + Send + 'd>>
        where
            'a: 'd,
            'b: 'd,
            'c: 'd,
        {
            unreachable!("errands do not call it")
        }
    )*};
}

#[derive(Debug)]
struct Fake(Arc<Script>);

#[async_trait]
impl Transport for Fake {
    async fn send_message(
        &self,
        _: &ServiceParams,
        request: &SendMessageRequest,
    ) -> Result<SendMessageResponse, A2AError> {
        self.0.give(request);
        self.0.one("send")
    }

    async fn send_streaming_message(
        &self,
        _: &ServiceParams,
        request: &SendMessageRequest,
    ) -> Result<Events, A2AError> {
        self.0.give(request);
        self.0.stream("stream")
    }

    async fn get_task(&self, _: &ServiceParams, _: &GetTaskRequest) -> Result<Task, A2AError> {
        self.0.one("get")
    }

    async fn subscribe_to_task(
        &self,
        _: &ServiceParams,
        _: &SubscribeToTaskRequest,
    ) -> Result<Events, A2AError> {
        self.0.stream("subscribe")
    }

    no_use! {
        list_tasks(ListTasksRequest) -> ListTasksResponse;
        cancel_task(CancelTaskRequest) -> Task;
        create_push_config(TaskPushNotificationConfig) -> TaskPushNotificationConfig;
        get_push_config(GetTaskPushNotificationConfigRequest) -> TaskPushNotificationConfig;
        list_push_configs(ListTaskPushNotificationConfigsRequest)
            -> ListTaskPushNotificationConfigsResponse;
        delete_push_config(DeleteTaskPushNotificationConfigRequest) -> ();
        get_extended_agent_card(GetExtendedAgentCardRequest) -> AgentCard;
    }

    async fn destroy(&self) -> Result<(), A2AError> {
        Ok(())
    }
}

/// What came of an errand.
#[derive(Debug)]
struct Came {
    verdict: Verdict,
    /// The notes that the region was told.
    notes: Vec<Value>,
    /// The messages that the server was given.
    given: Vec<Value>,
}

impl Came {
    /// Returns what the notes say of artifacts: `+text` appends, `=text` begins anew.
    fn artifacts(&self) -> String {
        let pieces = self.notes.iter().filter_map(|it| it.get("artifact")).map(|it| {
            let texts = it["parts"].as_array().unwrap().iter().map(|it| it["text"].as_str());
            let mark = if it["append"] == true { '+' } else { '=' };
            format!("{mark}{}", texts.map(Option::unwrap).collect::<String>())
        });
        pieces.collect()
    }

    fn failed(&self) -> Option<Then> {
        match &self.verdict {
            Verdict::Failed(failure) => Some(failure.then),
            Verdict::Completed(_) | Verdict::Asked(..) | Verdict::Abandoned(_) => None,
        }
    }
}

/// Runs an errand. Every answer of the script has to be used.
async fn run(streams: bool, lease: Value, says: Vec<(&'static str, Says)>) -> Came {
    let script = Arc::new(Script { says: Mutex::new(says.into()), given: Mutex::default() });
    let peer = Peer::scripted(Box::new(Fake(Arc::clone(&script))), Some(streams));
    let told = Arc::new(Mutex::new(Vec::new()));
    let router = Router::new().route("/v1/leases/{task}/events", post(listen));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let region = axum::serve(listener, router.with_state(Arc::clone(&told))).into_future();
    let attachment = Attachment::new(Client::new(url.parse().unwrap(), None));
    let lease: Lease = serde_json::from_value(lease).unwrap();
    let verdict = {
        let attempt = Attempt::new(&attachment, &lease, CancellationToken::new());
        let mut errand = Errand::new(&peer, &attempt);
        tokio::select! {
            verdict = errand.run() => verdict,
            _ = region => panic!("the region ended"),
        }
    };
    assert!(script.says.lock().unwrap().is_empty(), "{script:?}");
    let (notes, given) = (told.lock().unwrap().clone(), script.given.lock().unwrap().clone());
    Came { verdict, notes, given }
}

async fn listen(
    State(told): State<Arc<Mutex<Vec<Value>>>>,
    Path(_): Path<String>,
    Json(post): Json<Value>,
) -> Json<Value> {
    told.lock().unwrap().extend(post["notes"].as_array().unwrap().iter().cloned());
    Json(json!({"state": "working", "generation": 1}))
}

fn lease(turns: &Value, checkpoints: &Value) -> Value {
    json!({
        "task": "t", "token": "1", "attempt": 1, "home": "eu", "agent": "a", "context_id": "c",
        "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "do it"}]},
        "turns": turns, "checkpoints": checkpoints, "placement": "global", "ttl_ms": 15_000,
    })
}

/// A lease of work that the server has begun as `s`, and was told so many answers about.
fn begun(turns: &Value, answers: usize) -> Value {
    let value = json!({"begun": {"task": "s", "context": "sc", "answers": answers}});
    lease(turns, &json!([{"key": "a2a/1", "value": value}]))
}

/// What was asked and answered once.
fn answered() -> Value {
    json!([
        {"messageId": "q", "role": "ROLE_AGENT", "parts": [{"text": "which?"}]},
        {"messageId": "r", "role": "ROLE_USER", "parts": [{"text": "this"}]},
    ])
}

/// A task of the server; `said` is the name of the message that it shows.
fn task(state: &str, said: Option<&str>, texts: &[&str]) -> Value {
    let parts: Vec<_> = texts.iter().map(|it| json!({ "text": it })).collect();
    let artifacts =
        if parts.is_empty() { json!([]) } else { json!([{"artifactId": "out", "parts": parts}]) };
    let mut status = json!({ "state": format!("TASK_STATE_{state}") });
    if let Some(id) = said {
        status["message"] =
            json!({"messageId": id, "role": "ROLE_AGENT", "parts": [{"text": "said"}]});
    }
    json!({"id": "s", "contextId": "sc", "status": status, "artifacts": artifacts})
}

fn piece(text: &str, append: bool) -> Value {
    let artifact = json!({"artifactId": "out", "parts": [{ "text": text }]});
    json!({"artifactUpdate": {
        "taskId": "s", "contextId": "sc", "artifact": artifact, "append": append,
    }})
}

fn status(state: &str) -> Value {
    let status = json!({ "state": format!("TASK_STATE_{state}") });
    json!({"statusUpdate": {"taskId": "s", "contextId": "sc", "status": status}})
}

fn none() -> Value {
    json!([])
}

fn passing() -> A2AError {
    A2AError::internal("connection reset")
}

fn final_error() -> A2AError {
    A2AError::new(error_code::UNSUPPORTED_OPERATION, "no more")
}

fn gone() -> A2AError {
    A2AError::new(error_code::TASK_NOT_FOUND, "no such task")
}

#[tokio::test]
async fn work_that_may_have_begun_is_not_asked_for_again() {
    for streams in [true, false] {
        let call = if streams { "stream" } else { "send" };
        let new = || lease(&none(), &none());
        let came = run(streams, new(), vec![(call, Says::Error(passing()))]).await;
        assert_eq!((came.failed(), came.given.len()), (Some(Then::TryAgain), 1), "{came:?}");
        let came = run(streams, new(), vec![(call, Says::Error(final_error()))]).await;
        assert_eq!((came.failed(), came.given.len()), (Some(Then::Settle), 1), "{came:?}");
    }
    let new = lease(&none(), &none());
    let came = run(true, new, vec![("stream", Says::Stream(vec![], None))]).await;
    assert_eq!((came.failed(), came.given.len()), (Some(Then::TryAgain), 1), "{came:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_followed_by_looks() {
    let first = vec![json!({"task": task("WORKING", None, &[])}), piece("1", false)];
    let came = run(
        true,
        lease(&none(), &none()),
        vec![
            ("stream", Says::Stream(first, Some(passing()))),
            ("get", Says::Error(passing())),
            ("get", Says::One(task("WORKING", None, &["1", "2"]))),
            // What came between the look and the stream is in both.
            ("subscribe", Says::Stream(vec![piece("2", true), status("COMPLETED")], None)),
            ("get", Says::One(task("COMPLETED", None, &["1", "2"]))),
        ],
    )
    .await;
    assert_eq!(came.verdict, Verdict::Completed(None));
    assert_eq!(came.artifacts(), "=1+2+2=12", "in the end it is what the server has");
    assert_eq!(came.given.len(), 1);
}

#[tokio::test]
async fn an_error_at_the_beginning_of_a_stream_is_no_end_of_a_task() {
    let says = vec![
        ("get", Says::One(task("WORKING", None, &[]))),
        ("subscribe", Says::Stream(vec![], Some(final_error()))),
        ("get", Says::One(task("WORKING", None, &[]))),
        ("subscribe", Says::Error(final_error())),
        ("get", Says::One(task("COMPLETED", None, &["1"]))),
    ];
    let came = run(true, begun(&none(), 0), says).await;
    assert_eq!(came.verdict, Verdict::Completed(None));
    assert_eq!((came.artifacts().as_str(), came.given.len()), ("=1", 0));
}

#[tokio::test]
async fn an_answer_that_was_heard_is_not_told_again() {
    let done = || task("COMPLETED", None, &["1"]);
    // Whoever told it was lost before that was kept.
    let came = run(true, begun(&answered(), 0), vec![("get", Says::One(done()))]).await;
    assert_eq!((came.verdict.clone(), came.given.len()), (Verdict::Completed(None), 0));
    // The server asks something else since.
    let asks = task("INPUT_REQUIRED", Some("q2"), &[]);
    let came = run(true, begun(&answered(), 0), vec![("get", Says::One(asks))]).await;
    assert!(matches!(came.verdict, Verdict::Asked(..)), "{came:?}");
    assert_eq!(came.given.len(), 0);
    // It hears it the first time, and nobody hears what it says.
    let waits = || Says::One(task("INPUT_REQUIRED", Some("q"), &[]));
    let says = vec![
        ("get", waits()),
        ("stream", Says::Error(passing())),
        ("get", waits()),
        ("stream", Says::Stream(vec![], Some(final_error()))),
        ("get", Says::One(done())),
        ("get", Says::One(done())),
    ];
    let came = run(true, begun(&answered(), 0), says).await;
    assert_eq!((came.verdict.clone(), came.given.len()), (Verdict::Completed(None), 2));
    assert!(came.given.iter().all(|it| it["messageId"] == "r" && it["taskId"] == "s"));
}

#[tokio::test]
async fn an_answer_that_is_refused_while_it_is_waited_for_fails_the_task() {
    let waits = || Says::One(task("INPUT_REQUIRED", Some("q"), &[]));
    let says = vec![("get", waits()), ("send", Says::Error(final_error())), ("get", waits())];
    let came = run(false, begun(&answered(), 0), says).await;
    assert_eq!(came.failed(), Some(Then::Settle));
}

#[tokio::test]
async fn a_task_that_the_server_has_lost_is_begun_anew_under_another_name() {
    let says = vec![
        ("get", Says::Error(gone())),
        ("send", Says::One(json!({"task": task("WORKING", None, &[])}))),
        ("get", Says::One(task("COMPLETED", None, &["1"]))),
    ];
    let came = run(false, begun(&none(), 0), says).await;
    assert_eq!(came.verdict, Verdict::Completed(None));
    assert_eq!(came.given[0]["messageId"], "m.2");
}

#[tokio::test]
async fn a_server_that_has_forgotten_what_it_ended_has_said_how() {
    let says = vec![
        ("get", Says::One(task("WORKING", None, &[]))),
        ("subscribe", Says::Stream(vec![piece("1", false), status("COMPLETED")], None)),
        ("get", Says::Error(gone())),
    ];
    let came = run(true, begun(&none(), 0), says).await;
    assert_eq!((came.verdict.clone(), came.artifacts().as_str()), (Verdict::Completed(None), "=1"));
}
