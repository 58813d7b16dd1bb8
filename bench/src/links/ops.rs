//! How many ops a link carries, and what each costs: a thread for each end, over loopback.
//! Must not know of pings.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use photon_node::TlsFiles;
use photon_node::probe::{LinkProbe, Squeezing, Urgency};
use photon_region::{Input, Message};
use photon_state::Op;

use super::{Options, Value, certificates, json_bytes, make_ops, probe, region};
use crate::process;
use crate::report::{Report, Target};

/// Bytes that wait in the outbox; at it the sender waits.
const QUEUE_BYTES: u64 = 8 << 20;
/// How long the sender waits then.
const PAUSE: Duration = Duration::from_millis(1);

/// How the link is made.
struct Case {
    name: &'static str,
    tls: Option<[TlsFiles; 2]>,
    squeezing: Squeezing,
}

/// What one end has seen.
struct Seen {
    cpu: Duration,
    took: Duration,
    wire_bytes: u64,
}

/// Measures every case.
pub(super) fn measure(options: &Options, folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    for value in [Value::Text, Value::Noise] {
        let ops = make_ops(value);
        let json: usize = ops.iter().map(|op| json_bytes(op, value)).sum();
        let json = json as f64 / ops.len() as f64;
        let (text, tls) = (if value == Value::Text { "text" } else { "noise" }, "TLS + zstd");
        report.row(format!("{text}, JSON of an op"), (json, "B"), Target::None);
        let secured = || certificates(folder).map(Some);
        let cases = [
            Case { name: tls, tls: secured()?, squeezing: Squeezing::WhereItPays },
            Case { name: "TLS", tls: secured()?, squeezing: Squeezing::Never },
            Case { name: "plain", tls: None, squeezing: Squeezing::Never },
        ];
        for case in cases {
            let name = format!("{text}, {}", case.name);
            let [sender, receiver] = carry(options, &case, &ops)?;
            let count = options.ops as f64;
            let us_each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count;
            let rate = count / receiver.took.as_secs_f64();
            let wire = sender.wire_bytes as f64 / count;
            let is_small = value == Value::Text && case.squeezing == Squeezing::WhereItPays;
            let wire_target = if is_small { Target::Under(60.0) } else { Target::None };
            report.row(format!("{name}: ops"), (rate, "/s"), Target::AtLeast(100_000.0));
            report.row(format!("{name}: on the wire"), (wire, "B/op"), wire_target);
            report.row(format!("{name}: of its JSON"), (100.0 * wire / json, "%"), Target::None);
            let (near, far) = (us_each(sender.cpu), us_each(receiver.cpu));
            report.row(format!("{name}: sender"), (near, "us/op"), Target::Under(4.0));
            report.row(format!("{name}: receiver"), (far, "us/op"), Target::Under(4.0));
        }
    }
    report.note(format!(
        "Two regions' links in this process, a thread for each, over loopback; {} ops of 256 B \
         values in messages of {}, encoded, sent, read, decoded and acknowledged; no log and no \
         machine. Processor time is that of each thread, its share of the kernel included.",
        options.ops, options.batch
    ));
    Ok(())
}

/// Sends ops from one thread to another.
fn carry(options: &Options, case: &Case, ops: &[Arc<Op>]) -> anyhow::Result<[Seen; 2]> {
    let (address_to, address) = mpsc::channel();
    let (done_to, done) = tokio::sync::oneshot::channel();
    let [near, far] = case.tls.clone().map_or([None, None], |it| it.map(Some));
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            run(async move {
                let probe = probe("b", None, far, case.squeezing).await?;
                address_to.send(probe.address())?;
                receive(probe, options.ops, done_to).await
            })
        });
        let sender = scope.spawn(move || {
            let address = address.recv().context("the receiver has ended")?;
            run(send(options, address, near, case.squeezing, ops, done))
        });
        let died = |_| anyhow!("a thread has died");
        Ok([sender.join().map_err(died)??, receiver.join().map_err(died)??])
    })
}

fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn receive(
    mut probe: LinkProbe,
    count: u64,
    done: tokio::sync::oneshot::Sender<()>,
) -> anyhow::Result<Seen> {
    let (mut received, mut began) = (0, None);
    while received < count {
        let input = probe.next().await.context("the links have ended")?;
        ensure!(!matches!(input, Input::Unlinked(_)), "the link has ended");
        let Input::Message(peer, Message::Ops(ops)) = input else { continue };
        if let Some(last) = ops.last() {
            let ack = Message::Ack(last.stream, last.seq); // As a region does.
            probe.send(peer, Urgency::Control, ack);
        }
        began.get_or_insert_with(|| (Instant::now(), process::thread_cpu()));
        received += ops.len() as u64;
    }
    let (start, cpu) = began.context("no op has come")?;
    let seen = Seen { cpu: process::thread_cpu() - cpu, took: start.elapsed(), wire_bytes: 0 };
    let _ = done.send(()); // The sender may have failed, and says so itself.
    Ok(seen)
}

async fn send(
    options: &Options,
    address: SocketAddr,
    tls: Option<TlsFiles>,
    squeezing: Squeezing,
    ops: &[Arc<Op>],
    mut done: tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<Seen> {
    let mut probe = probe("a", Some(address), tls, squeezing).await?;
    while !matches!(probe.next().await.context("the links have ended")?, Input::Linked(_)) {}
    let (began, cpu) = (Instant::now(), process::thread_cpu());
    let mut next = ops.iter().cycle();
    let mut left = options.ops;
    while 0 < left {
        for _ in 0..64 {
            let batch: Vec<_> = next.by_ref().take(options.batch.min(left as usize)).collect();
            left -= batch.len() as u64;
            let message = Message::Ops(batch.into_iter().map(Arc::clone).collect());
            if !matches!(&message, Message::Ops(ops) if ops.is_empty()) {
                probe.send(region("b"), Urgency::Interactive, message);
            }
        }
        while QUEUE_BYTES < probe.lane_stats().iter().map(|it| it.queue_bytes).sum() {
            hear(&mut probe, PAUSE).await?;
        }
        hear(&mut probe, Duration::ZERO).await?;
    }
    loop {
        tokio::select! {
            biased;
            ended = &mut done => break ended.context("the receiver has failed")?,
            heard = hear(&mut probe, PAUSE) => heard?,
        }
    }
    let wire_bytes = probe.lane_stats().iter().map(|it| it.sent.wire_bytes).sum();
    Ok(Seen { cpu: process::thread_cpu() - cpu, took: began.elapsed(), wire_bytes })
}

/// Takes the acknowledgements that come within a time. That the link has ended, the receiver says:
/// at the end of all it is its right.
async fn hear(probe: &mut LinkProbe, time: Duration) -> anyhow::Result<()> {
    let end = tokio::time::Instant::now() + time;
    while let Ok(input) = tokio::time::timeout_at(end, probe.next()).await {
        input.context("the links have ended")?;
    }
    tokio::task::yield_now().await;
    Ok(())
}
