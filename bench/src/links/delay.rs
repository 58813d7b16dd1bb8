//! How long a ping takes over a slow link, idle and while bulk fills it.
//! Must not know how many ops a link can carry.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use photon_node::probe::{LinkProbe, Squeezing, Urgency};
use photon_region::{Input, Message};
use photon_state::Op;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::{Options, Value, certificates, make_ops, probe, region};
use crate::load::percentile_ms;
use crate::report::{Report, Target};

/// How often a ping is sent.
const PING_EVERY: Duration = Duration::from_millis(10);
/// What the relay and its sockets hold at once.
const RELAY_BYTES: usize = 32 << 10;
/// Bulk that waits at the sender all the time.
const BULK_BYTES: u64 = 4 << 20;
/// Ops of a message in bulk.
const BATCH: usize = 256;

/// Measures every case.
pub(super) async fn measure(
    options: &Options,
    folder: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let ops = make_ops(Value::Noise);
    let cases = [
        ("ping, slow link, idle", None, Urgency::Control),
        ("ping, slow link full of bulk", Some(&ops), Urgency::Control),
        ("ping, slow link full, all in one class", Some(&ops), Urgency::Bulk),
    ];
    for (name, bulk, urgency) in cases {
        let mut delays = pings(options, folder, bulk, urgency).await?;
        delays.sort_unstable();
        for (share, label) in [(0.5, "p50"), (0.99, "p99")] {
            let delay = percentile_ms(&delays, share);
            report.row(format!("{name}: {label}"), (delay, "ms"), Target::None);
        }
    }
    report.note(format!(
        "One way, by one clock; a ping each {} ms for {} s over TLS through a relay that takes {} \
         KiB/s and holds {} KiB; bulk is noise, in messages of {BATCH} ops, with {} MiB waiting.",
        PING_EVERY.as_millis(),
        options.seconds,
        options.slow_kib,
        RELAY_BYTES >> 10,
        BULK_BYTES >> 20,
    ));
    Ok(())
}

async fn pings(
    options: &Options,
    folder: &Path,
    bulk: Option<&Vec<Arc<Op>>>,
    urgency: Urgency,
) -> anyhow::Result<Vec<Duration>> {
    let [near, far] = certificates(folder)?;
    let mut b = probe("b", None, Some(far), Squeezing::WhereItPays).await?;
    let mut tasks = JoinSet::new();
    let relay = relay(&mut tasks, b.address(), options.slow_kib << 10).await?;
    let mut a = probe("a", Some(relay), Some(near), Squeezing::WhereItPays).await?;
    linked(&mut a).await?;
    linked(&mut b).await?;

    let start = Instant::now();
    let until = start + Duration::from_secs(options.seconds);
    let mut ticks = interval(PING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = bulk.into_iter().flatten().cycle();
    let mut delays = Vec::new();
    while Instant::now() < until {
        tokio::select! {
            _ = ticks.tick() => {
                let micros = u64::try_from(start.elapsed().as_micros())?;
                a.send(region("b"), urgency, Message::Ping(micros));
                while bulk.is_some() && waiting(&a) < BULK_BYTES {
                    let batch = next.by_ref().take(BATCH).map(Arc::clone).collect();
                    a.send(region("b"), Urgency::Bulk, Message::Ops(batch));
                }
            }
            _ = a.next() => {} // A pong, without which the peer would seem to be silent.
            input = b.next() => {
                let Some(Input::Message(_, Message::Ping(micros))) = input else { continue };
                b.send(region("a"), Urgency::Control, Message::Pong { sent: micros, wall_ms: 0 });
                delays.push(start.elapsed().saturating_sub(Duration::from_micros(micros)));
            }
        }
    }
    Ok(delays)
}

async fn linked(probe: &mut LinkProbe) -> anyhow::Result<()> {
    while !matches!(probe.next().await.context("the links have ended")?, Input::Linked(_)) {}
    Ok(())
}

fn waiting(probe: &LinkProbe) -> u64 {
    probe.lane_stats().iter().map(|it| it.queue_bytes).sum()
}

/// Starts a relay to `target` that is slow in the direction of its target.
async fn relay(
    tasks: &mut JoinSet<std::io::Result<()>>,
    target: SocketAddr,
    bytes_per_second: u64,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    // What is accepted has the buffer of its listener.
    set_socket_recv_buffer_size(&listener, RELAY_BYTES)?;
    let address = listener.local_addr()?;
    tasks.spawn(async move {
        let (near, _) = listener.accept().await?;
        let far = TcpStream::connect(target).await?;
        far.set_nodelay(true)?;
        let ((mut from, mut to), (mut from_far, mut to_far)) =
            (near.into_split(), far.into_split());
        let back = async { tokio::io::copy(&mut from_far, &mut to).await.map(drop) };
        let slow = async {
            let mut buffer = vec![0; 4 << 10];
            let mut due = tokio::time::Instant::now();
            loop {
                let bytes = from.read(&mut buffer).await?;
                if bytes == 0 {
                    return to_far.shutdown().await;
                }
                to_far.write_all(&buffer[..bytes]).await?;
                let cost = Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
                due = due.max(tokio::time::Instant::now()) + cost;
                sleep_until(due).await;
            }
        };
        tokio::try_join!(back, slow).map(drop)
    });
    Ok(address)
}
