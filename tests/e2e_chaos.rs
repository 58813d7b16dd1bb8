//! Real processes are killed at random moments under load, and no task is lost or ends twice.
//! Must not go easy: nobody is asked to stop, and nothing is waited for before the next is killed.

use std::time::{Duration, Instant};

use crate::chaos::clients::Clients;
use crate::chaos::victims::Victims;
use crate::chaos::{verdict, worker};
use crate::harness::{Planet, PlanetOptions, Wan, say};

/// How often something is killed.
const ROUNDS: u32 = 20;

/// Set it to the seed of an earlier run to have its moments again.
const SEED: &str = "PHOTON_CHAOS_SEED";

/// How long to wait before something is killed, and then before it is started again.
const MOMENT_MS: std::ops::Range<u64> = 200..2_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_task_ends_exactly_once() {
    let seed = std::env::var(SEED).ok().and_then(|it| it.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("{SEED}={seed}"));
    let mut random = fastrand::Rng::with_seed(seed);

    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let mut victims = Victims::start(&planet).await;
    let began = Instant::now();
    let clients = Clients::start(&planet);
    for round in 0..ROUNDS {
        moment(&mut random).await;
        let killed = victims.kill(&planet, round);
        moment(&mut random).await;
        victims.start_again(&planet, killed).await;
    }
    let acknowledged = clients.finish().await;
    say(&format!("{} tasks in {:?}", acknowledged.len(), began.elapsed()));
    victims.are_running();

    verdict::all_have_ended(&planet, &acknowledged).await;
    verdict::each_ended_exactly_once(&planet, &acknowledged).await;
}

/// The one place where a test may sleep: a random moment is what it is about.
async fn moment(random: &mut fastrand::Rng) {
    tokio::time::sleep(Duration::from_millis(random.u64(MOMENT_MS))).await;
}

/// The workers of the test above are processes of their own, made of this binary: they run this
/// "test" until they are killed. Any other run of it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn it_works_when_it_is_started_as_a_worker() {
    if let Some(worker) = worker::Worker::from_env() {
        worker.work().await;
    }
}
