//! Turns of programs that are scripts, without any region.
//! Must not tell a region anything.

use std::ffi::OsString;

use photon_edge::v1::types::{Message, Part};
use tokio_util::sync::CancellationToken;

use super::super::attachment::Attachment;
use super::hosts::Seen;
use super::*;
use crate::client::Client;

/// What each script begins with. `id` names what it is asked, `session` in which session.
const AGENT: &str = r#"
    tell() { printf '%s\n' "$1"; }
    answer() { tell '{"id":'"$id"',"result":'"$1"'}'; }
    stop() { answer '{"stopReason":"'"$1"'"}'; }
    say() {
        chunk='{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"'"$1"'"}}'
        tell '{"method":"session/update","params":{"sessionId":"'"$session"'","update":'"$chunk"'}}'
    }
    may() {
        options='[{"optionId":"yes","name":"Allow","kind":"allow_once"}]'
        call='{"toolCallId":"c"}'
        params='{"sessionId":"'"$1"'","toolCall":'"$call"',"options":'"$options"'}'
        tell '{"id":"may","method":"session/request_permission","params":'"$params"'}'
        read -r said
    }
    count=0
    while read -r line; do
        id=${line#*'"id":'}; id=${id%%[,\}]*}
        session=${line#*'"sessionId":"'}; session=${session%%\"*}
        case "$line" in
        *'"initialize"'*) answer '{"protocolVersion":1}';;
        *session/new*)
            count=$((count + 1))
            test "$count" != "$silent" && answer '{"sessionId":"'"$$-$count"'"}';;
        *session/prompt*) turn;;
        esac
    done
"#;

fn options(turn: &str, permissions: Permissions, concurrency: u32) -> AcpOptions {
    let script = format!("turn() {{ {turn}; }}\n{AGENT}");
    let program = ["sh", "-c", &script].map(OsString::from).to_vec();
    let launch = Launch { program, cwd: "/".to_owned() };
    AcpOptions { launch, timeout: None, permissions, concurrency }
}

async fn job(turn: &str, permissions: Permissions, concurrency: u32) -> AcpJob {
    AcpJob::start(options(turn, permissions, concurrency)).await.unwrap().0
}

fn lease(task: &str, context: &str, turns: &Value) -> Lease {
    let message = json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "do it"}]});
    serde_json::from_value(json!({
        "task": task, "token": format!("{task}-lease"), "attempt": 1, "home": "h",
        "context_id": context, "placement": "global", "ttl_ms": 15_000, "message": message,
        "turns": turns,
    }))
    .unwrap()
}

/// Regions that are never asked.
fn nowhere() -> Attachment {
    Attachment::new(Client::new("http://127.0.0.1:1".parse().unwrap(), None))
}

/// Has the job work on what a lease is for; returns what came of it, and what was said.
async fn work(job: &AcpJob, lease: &Lease) -> (Verdict, String) {
    let attachment = nowhere();
    let attempt = Attempt::new(&attachment, lease, CancellationToken::new());
    let (waiting, stale) = job.answered(lease);
    job.dismiss(stale).await;
    let (sender, mut receiver) = mpsc::channel(UNSENT_MAX);
    let verdict = job.take_turn(&attempt, waiting, sender).await;
    let mut said = String::new();
    while let Some(piece) = receiver.recv().await {
        said.push_str(&piece.part.text.unwrap_or_default());
    }
    (verdict, said)
}

/// Returns what a task's client was asked.
fn asked(verdict: &Verdict) -> &Message {
    let Verdict::Asked(_, Some(message)) = verdict else { panic!("{verdict:?}") };
    message
}

/// Returns the lease of a task whose client has answered.
fn answered(before: &Lease, verdict: &Verdict, answer: &str) -> Lease {
    let answer = json!({"messageId": "a", "role": "ROLE_USER", "parts": [{"text": answer}]});
    lease(&before.task, &before.context_id, &json!([asked(verdict), answer]))
}

fn is_completed(verdict: &Verdict) {
    assert!(matches!(verdict, Verdict::Completed(_)), "{verdict:?}");
}

/// Returns which session did a task.
async fn session(job: &AcpJob, task: &str, context: &str) -> String {
    let (verdict, said) = work(job, &lease(task, context, &json!([]))).await;
    is_completed(&verdict);
    said
}

const SAYS_SESSION: &str = r#"say "$session"; stop end_turn"#;

#[tokio::test]
async fn a_wish_of_another_session_is_not_granted() {
    let turn = r#"may other; case "$said" in *cancelled*) stop end_turn;; *) stop refusal;; esac"#;
    for permissions in [Permissions::Allow, Permissions::Ask] {
        let job = job(turn, permissions, 1).await;
        is_completed(&work(&job, &lease("t", "c", &json!([]))).await.0);
        job.close().await;
    }
}

#[tokio::test]
async fn no_answer_is_in_vain_however_many_tasks_ask() {
    let turn = r#"say "$$"; may "$session"; say " $$"; stop end_turn"#;
    let job = job(turn, Permissions::Ask, 1).await;
    let mut paused = Vec::new();
    for task in 0..8 {
        let lease = lease(&format!("t-{task}"), &format!("c-{task}"), &json!([]));
        let (verdict, said) = work(&job, &lease).await;
        paused.push((answered(&lease, &verdict, "yes"), said));
    }
    let (verdict, _) = work(&job, &lease("one-more", "c", &json!([]))).await;
    let Verdict::Failed(failure) = verdict else { panic!("{verdict:?}") };
    assert!(failure.reason.contains("too many tasks"), "{failure:?}");
    for (lease, before) in paused {
        let (verdict, said) = work(&job, &lease).await;
        is_completed(&verdict);
        assert_eq!(said, format!(" {before}"), "the program goes on, and does nothing twice");
    }
    job.close().await;
}

#[tokio::test]
async fn a_pause_that_is_not_taken_is_called_off_and_hides_no_other() {
    let job = job(r#"may "$session"; stop end_turn"#, Permissions::Ask, 2).await;
    let (first, attachment) = (lease("t", "c", &json!([])), nowhere());
    let attempt = Attempt::new(&attachment, &first, CancellationToken::new());
    let (verdict, _) = work(&job, &first).await;
    let lost = Verdict::Abandoned("the lease is lost".to_owned());
    job.settle(&attempt, &verdict, &lost).await;
    assert!(job.hosts.of_task("t").is_empty());

    // One that nobody has told of is stale; the answer is for the other one.
    let (stale, _) = work(&job, &first).await;
    let again = Lease { token: "second".to_owned(), ..lease("t", "d", &json!([])) };
    let attempt = Attempt::new(&attachment, &again, CancellationToken::new());
    let (sender, _receiver) = mpsc::channel(UNSENT_MAX);
    let good = job.take_turn(&attempt, None, sender).await;
    assert_ne!(asked(&stale).message_id, asked(&good).message_id);
    let (found, stale) = job.answered(&answered(&again, &good, "yes"));
    assert_eq!(found.map(|it| it.question).as_ref(), Some(&asked(&good).message_id));
    assert_eq!(stale.len(), 1);
    job.dismiss(stale).await;
    job.close().await;
}

#[tokio::test]
async fn a_turn_is_called_off_whose_task_somebody_else_has() {
    let job = job(r#"may "$session"; stop end_turn"#, Permissions::Ask, 1).await;
    let (lease, attachment) = (lease("t", "c", &json!([])), nowhere());
    let (verdict, _) = work(&job, &lease).await;
    assert_eq!(job.hosts.questions(), [], "it is not known to be paused");
    let attempt = Attempt::new(&attachment, &lease, CancellationToken::new());
    job.settle(&attempt, &verdict, &verdict).await;
    let question = asked(&verdict).message_id.clone();
    assert_eq!(job.hosts.questions(), [("t".to_owned(), question.clone())]);
    for (seen, expected) in [
        (Seen::Waiting, 0),
        (Seen::Elsewhere, 0),
        (Seen::Waiting, 0),
        (Seen::Elsewhere, 0),
        (Seen::Elsewhere, 1),
    ] {
        let stale = job.hosts.see(&question, seen);
        assert_eq!(stale.len(), expected);
        job.dismiss(stale).await;
    }
    assert_eq!(job.hosts.resting(), 1, "the program has ended its turn, and is kept");
    job.close().await;
}

#[tokio::test]
async fn conversations_keep_their_sessions_while_others_begin() {
    let job = job(SAYS_SESSION, Permissions::Reject, 2).await;
    let first = session(&job, "1", "a").await;
    let second = session(&job, "2", "b").await;
    let program = |session: &str| session.split('-').next().unwrap().to_owned();
    assert_ne!(program(&first), program(&second), "there is place for two programs");
    let third = session(&job, "3", "c").await;
    assert!([&first, &second].iter().any(|it| program(it) == program(&third)), "{third}");
    assert_eq!(session(&job, "4", "a").await, first);
    assert_eq!(session(&job, "5", "b").await, second);
    assert_eq!(session(&job, "6", "c").await, third);
    let elsewhere = Lease { placement: "eu".to_owned(), ..lease("7", "a", &json!([])) };
    assert_ne!(work(&job, &elsewhere).await.1, first);
    job.close().await;
}

#[tokio::test]
async fn an_answer_that_nobody_has_taken_is_not_gone_on_from() {
    let job = job(SAYS_SESSION, Permissions::Reject, 1).await;
    let first = session(&job, "1", "a").await;
    let again = session(&job, "1", "a").await;
    assert_ne!(first, again, "another attempt at the same task");
    assert_eq!(session(&job, "2", "a").await, again);
    let second = lease("2", "a", &json!([]));
    let attachment = nowhere();
    let attempt = Attempt::new(&attachment, &second, CancellationToken::new());
    let lost = Verdict::Abandoned(String::new());
    job.settle(&attempt, &Verdict::Completed(None), &lost).await;
    assert_ne!(session(&job, "3", "a").await, again);
    job.close().await;
}

#[tokio::test]
async fn a_program_outlives_a_task_that_is_stopped_while_its_session_opens() {
    let turn = format!("silent=2; {SAYS_SESSION}");
    let job = job(&turn, Permissions::Reject, 1).await;
    let first = session(&job, "1", "a").await;
    let other = lease("2", "b", &json!([]));
    let attachment = nowhere();
    let attempt = Attempt::new(&attachment, &other, CancellationToken::new());
    let (sender, _receiver) = mpsc::channel(UNSENT_MAX);
    let stopping = async {
        tokio::task::yield_now().await;
        attempt.stop.cancel();
    };
    let (verdict, ()) = tokio::join!(job.take_turn(&attempt, None, sender), stopping);
    assert!(matches!(verdict, Verdict::Abandoned(_)), "{verdict:?}");
    assert_eq!(session(&job, "3", "a").await, first);
    job.close().await;
}

#[tokio::test]
async fn a_timeout_holds_while_nobody_takes_what_is_said() {
    let flood = r#"say "$(head -c 20000 /dev/zero | tr '\0' x)"; read -r line; stop cancelled"#;
    let timeout = Some(Duration::from_millis(200));
    let options = AcpOptions { timeout, ..options(flood, Permissions::Reject, 1) };
    let (job, _) = AcpJob::start(options).await.unwrap();
    let lease = lease("t", "c", &json!([]));
    let attachment = nowhere();
    let attempt = Attempt::new(&attachment, &lease, CancellationToken::new());
    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(Piece { part: Part::text("x"), is_last: false }).unwrap();
    let taken = async {
        // Nothing is taken until the turn is called off, and its program rests.
        while job.hosts.resting() == 0 {
            tokio::task::yield_now().await;
        }
        while receiver.recv().await.is_some() {}
    };
    // The program is at work as soon as the turn has begun.
    let taking = std::pin::pin!(job.take_turn(&attempt, None, sender));
    let (verdict, ()) = tokio::join!(taking, taken);
    let Verdict::Failed(failure) = verdict else { panic!("{verdict:?}") };
    assert!(failure.reason.contains("longer than 200ms"), "{failure:?}");
    job.close().await;
}

#[tokio::test]
async fn what_is_too_long_is_not_shown_as_what_it_was_before() {
    let turn = r#"
        update() {
            call='{"sessionUpdate":"tool_call","toolCallId":"c","rawInput":"'"$1"'"}'
            params='{"sessionId":"'"$session"'","update":'"$call"'}'
            tell '{"method":"session/update","params":'"$params"'}'
        }
        update harmless; update "rm $(head -c 20000 /dev/zero | tr '\0' x)"; may "$session""#;
    let job = job(turn, Permissions::Ask, 1).await;
    let (verdict, _) = work(&job, &lease("t", "c", &json!([]))).await;
    let text = asked(&verdict).parts[0].text.clone().unwrap();
    assert!(text.contains("\nrm xxx") && text.contains("(too long to show whole)"), "{text}");
    assert!(!text.contains("harmless"), "{text}");
    job.close().await;
}

#[tokio::test]
async fn an_error_that_is_none_of_the_protocol_ends_the_turn() {
    let turn = r#"tell '{"id":'"$id"',"error":"no luck"}'"#;
    let job = job(turn, Permissions::Reject, 1).await;
    let (verdict, _) = work(&job, &lease("t", "c", &json!([]))).await;
    let Verdict::Failed(failure) = verdict else { panic!("{verdict:?}") };
    assert!(failure.reason.contains("no luck"), "{failure:?}");
    let turn = r#"tell '{"id":'"$id"',"result":{"stopReason":1e999}}'"#;
    let job = self::job(turn, Permissions::Reject, 1).await;
    let (verdict, _) = work(&job, &lease("t", "c", &json!([]))).await;
    let Verdict::Failed(failure) = verdict else { panic!("{verdict:?}") };
    assert!(failure.reason.contains("none of the protocol"), "{failure:?}");
}

#[tokio::test]
async fn what_was_said_in_a_turn_that_is_lost_is_taken_back() {
    let job = job(SAYS_SESSION, Permissions::Ask, 1).await;
    let message = |role: &str| json!({"messageId": "q", "role": role, "parts": [{"text": "?"}]});
    let turns = json!([message("ROLE_AGENT"), message("ROLE_USER")]);
    let lease = lease("t", "c", &turns);
    let attachment = nowhere();
    let attempt = Attempt::new(&attachment, &lease, CancellationToken::new());
    let (sender, mut receiver) = mpsc::channel(UNSENT_MAX);
    is_completed(&job.take_turn(&attempt, None, sender).await);
    assert_eq!(receiver.recv().await.unwrap().part.text.as_deref(), Some(""));
    assert_ne!(receiver.recv().await.unwrap().part.text.as_deref(), Some(""));
    job.close().await;
}

#[tokio::test]
async fn a_program_that_does_not_start_any_more_is_given_no_work_until_it_does() {
    let mut job = job("exit 1", Permissions::Reject, 1).await;
    let well = job.options.launch.clone();
    is_failed(&job, "1").await;
    assert!(!job.is_doubted.load(std::sync::atomic::Ordering::Relaxed), "it had a session");
    job.options.launch.program = vec!["false".into()];
    is_failed(&job, "2").await;
    tokio::select! {
        biased;
        () = job.is_ready() => panic!("it does not start"),
        () = tokio::task::yield_now() => {}
    }
    job.options.launch = well;
    job.is_ready().await;
    assert_eq!(job.hosts.resting(), 1);
    job.close().await;
}

async fn is_failed(job: &AcpJob, task: &str) {
    let (verdict, _) = work(job, &lease(task, "c", &json!([]))).await;
    assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
}

#[test]
fn the_end_of_a_reason_is_kept() {
    let whole = format!("it ended\n{}\nthe last line", "x\n".repeat(4_000));
    let kept = shortened(whole);
    assert!(kept.starts_with("it ended\n") && kept.ends_with("the last line"), "{kept}");
    assert!(kept.len() <= REASON_BYTES_MAX);
    assert_eq!(shortened("é".repeat(4_000)).len(), HEADLINE_BYTES_MAX + 1);
    assert_eq!(shortened("short\nand whole".to_owned()), "short\nand whole");
}

#[test]
fn each_reason_to_stop_has_its_verdict() {
    let check = |reason: &str, expected: Option<Then>| match (verdict(reason), expected) {
        (Verdict::Completed(None), None) => {}
        (Verdict::Failed(failure), Some(then)) => {
            assert_eq!(failure.then, then, "{reason}");
            assert!(failure.reason.starts_with("the agent "), "{}", failure.reason);
        }
        (other, _) => panic!("{reason}: {other:?}"),
    };
    check("end_turn", None);
    check("max_tokens", Some(Then::TryAgain));
    check("max_turn_requests", Some(Then::TryAgain));
    check("refusal", Some(Then::Refuse));
    check("cancelled", Some(Then::Settle));
    check("something_new", Some(Then::TryAgain));
}
