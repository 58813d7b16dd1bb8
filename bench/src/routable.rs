//! How long after an agent registers each region of a planet would give it work.
//! Must not know how regions learn of agents, or choose among them.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use futures_util::future::try_join_all;
use serde::Deserialize;

use crate::Places;
use crate::converge::{self, REGIONS, ROUND_TRIPS_MS};
use crate::http::Connection;
use crate::load::percentile_ms;
use crate::planet::Planet;
use crate::report::{Report, Target};

/// How long a region may take to know an agent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Agents whose times do not count: connections and caches are new.
const WARM_UP: usize = 10;

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many agents register, one after the other, in the regions in turn
    #[arg(long, default_value_t = 500)]
    count: usize,
}

#[derive(Deserialize)]
struct Route {
    chosen: Option<String>,
}

/// Sorted times from a registration on.
#[derive(Debug, Default)]
struct Times {
    answered: Vec<Duration>,
    here: Vec<Duration>,
    /// Less the way from region to region.
    elsewhere: Vec<Duration>,
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("routable");
    let planet = Planet::start(places, &REGIONS.join(","), Some(&converge::matrix()))?;
    let mut askers = Vec::new();
    for place in 0..5 {
        askers.push(Connection::open(planet.api(place)).await?);
    }
    let mut times = Times::default();
    for number in 0..WARM_UP + options.count {
        let region = number % REGIONS.len();
        let mut client = Connection::open(planet.api(u16::try_from(region)?)).await?;
        let skill = format!("routable.{number}");
        let body = format!(r#"{{"skills":["{skill}"],"capacity":1}}"#);
        let path = format!("/v1/agents/routable-{number}");
        let sent = Instant::now();
        let way = |to: usize| Duration::from_millis(ROUND_TRIPS_MS[region][to].into()) / 2;
        let asked = askers.iter_mut().enumerate().map(|(to, it)| found(it, &skill, sent, way(to)));
        let registered = async {
            client.request("PUT", &path, body.as_bytes()).await?.good()?;
            anyhow::Ok(sent.elapsed())
        };
        let (answered, found) = tokio::try_join!(registered, try_join_all(asked))?;
        if number < WARM_UP {
            continue;
        }
        times.answered.push(answered);
        for (to, took) in found.into_iter().enumerate() {
            if to == region {
                times.here.push(took);
            } else {
                times.elsewhere.push(took.saturating_sub(way(to)));
            }
        }
    }
    describe(&mut report, times);
    report.note(format!(
        "Five regions as processes of one `photon up`, whose relay delays bytes by half of these \
         round trips: {}. {} agents register one after the other, each with a skill of its own, \
         in the regions in turn. From the moment that the request is sent - elsewhere from the \
         moment that a byte can have come there - every region is asked by `GET /v1/route`, again \
         and again, who would be given a task of that skill, until that is the agent. The relay, \
         five regions and whoever asks them share this machine's cores.",
        converge::show_round_trips(),
        options.count,
    ));
    Ok(report)
}

/// Asks a region until it would give an agent work; returns how long after `sent` it said so.
async fn found(
    asker: &mut Connection,
    skill: &str,
    sent: Instant,
    way: Duration,
) -> anyhow::Result<Duration> {
    tokio::time::sleep_until((sent + way).into()).await;
    loop {
        let answer = asker.get_json(&format!("/v1/route?skill={skill}")).await?.good()?;
        let took = sent.elapsed();
        let route: Route = serde_json::from_slice(answer).context("no route")?;
        if route.chosen.is_some() {
            return Ok(took);
        }
        ensure!(took < PATIENCE, "a region does not hear of `{skill}`");
    }
}

fn describe(report: &mut Report, times: Times) {
    let Times { mut answered, mut here, mut elsewhere } = times;
    for times in [&mut answered, &mut here, &mut elsewhere] {
        times.sort_unstable();
    }
    let mut row = |what: &str, times: &[Duration], share, target| {
        report.row(what, (percentile_ms(times, share), "ms"), target);
    };
    row("request to durable answer, p50", &answered, 0.5, Target::None);
    row("request to durable answer, p99", &answered, 0.99, Target::None);
    row("request to routable in the region, p50", &here, 0.5, Target::None);
    row("request to routable in the region, p99", &here, 0.99, Target::Under(5.0));
    row("request to routable elsewhere, less the way, p50", &elsewhere, 0.5, Target::None);
    row("request to routable elsewhere, less the way, p99", &elsewhere, 0.99, Target::Under(300.0));
    row("request to routable elsewhere, less the way, most", &elsewhere, 1.0, Target::None);
}
