//! How long a write takes from its answer until it is seen in the other regions of a planet, beyond
//! the time that bytes travel. Must not know how regions replicate.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::Places;
use crate::http::Connection;
use crate::load::percentile_ms;
use crate::planet::Planet;
use crate::process;
use crate::report::{Report, Target};

/// The regions, and the round trips between them in milliseconds: those of a public cloud, rounded.
pub(crate) const REGIONS: [&str; 5] =
    ["eu-west-1", "us-east-1", "us-west-2", "ap-northeast-1", "ap-southeast-2"];
pub(crate) const ROUND_TRIPS_MS: [[u32; 5]; 5] = [
    [0, 68, 120, 200, 250],
    [68, 0, 64, 146, 198],
    [120, 64, 0, 98, 138],
    [200, 146, 98, 0, 102],
    [250, 198, 138, 102, 0],
];
const DATASET: &str = "bench";
/// Writes in one request; the first of them is watched for.
const BATCH: usize = 20;
/// Records that each region writes again and again.
const RECORDS: usize = 10_000;
/// Bytes of each value.
const VALUE_BYTES: usize = 256;
/// How long a watcher waits for a change before it asks again.
const WATCH_WAIT_MS: u64 = 1_000;
/// How long the last writes may take to be seen.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many writes a second there are, over all regions
    #[arg(long, default_value_t = 5_000)]
    rate: usize,
    /// For how many seconds
    #[arg(long, default_value_t = 10)]
    seconds: usize,
    /// For how many seconds before that
    #[arg(long, default_value_t = 3)]
    warm_up: usize,
}

/// When a watched write was sent and answered.
#[derive(Clone, Copy, Debug)]
struct Answered {
    sent: Instant,
    answered: Instant,
}

/// A watched write that a watcher heard of.
#[derive(Clone, Copy, Debug)]
struct Heard {
    region: usize,
    number: usize,
    at: Instant,
}

/// What one watcher heard, and how late: sorted times beyond the way from region to region.
#[derive(Debug, Default)]
struct Beyond {
    answer: Vec<Duration>,
    request: Vec<Duration>,
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("converge");
    let planet = Planet::start(places, &REGIONS.join(","), Some(&matrix()))?;
    let mut first = Connection::open(planet.api(0)).await?;
    let spec = br#"{"type":"register","placement":"global"}"#;
    first.request("PUT", &format!("/v1/datasets/{DATASET}"), spec).await?.good()?;
    for place in 0..5 {
        known(&planet, place).await?;
    }
    run(&planet, options, options.warm_up).await?;
    let (cpu, own, began) = (process::cpu(planet.process()), process::own_cpu(), Instant::now());
    let (written, beyond, missed) = run(&planet, options, options.seconds).await?;
    let took = began.elapsed().as_secs_f64();
    let share = |time: Duration| 100.0 * time.as_secs_f64() / took;
    let planet_share = share(process::cpu(planet.process()).saturating_sub(cpu));
    let own_share = share(process::own_cpu().saturating_sub(own));
    describe(&mut report, &beyond);
    report.row("watched writes that were not seen", (missed as f64, ""), Target::None);
    let rate = written as f64 / options.seconds as f64;
    report.row("writes over all regions", (rate, "/s"), Target::None);
    report.row("the planet's processor time", (planet_share, "% of a core"), Target::None);
    report.row("the clients' processor time", (own_share, "% of a core"), Target::None);
    report.note(format!(
        "Five regions as processes of one `photon up`, whose relay delays bytes by half of these \
         round trips: {}. Each region gets a request of {BATCH} writes of {VALUE_BYTES} bytes as \
         often as makes {} writes a second over all, for {} s after {} s of warm-up. One write of \
         each request is watched for, in each of the other four regions, by long polls; measured \
         is from its answer (or its request) at one client to the change in the hands of the \
         other, less half of the round trip, by one clock. The relay, five regions, five writers \
         and five watchers share this machine's cores.",
        show_round_trips(),
        options.rate,
        options.seconds,
        options.warm_up,
    ));
    Ok(report)
}

/// Waits until a region knows the dataset.
async fn known(planet: &Planet, place: u16) -> anyhow::Result<()> {
    let mut connection = Connection::open(planet.api(place)).await?;
    let until = Instant::now() + SETTLE_MAX;
    while connection.get_json(&format!("/v1/datasets/{DATASET}")).await?.status != 200 {
        ensure!(Instant::now() < until, "`{}` does not hear of the dataset", name(place));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Writes for a while; returns how many writes there were, how late others saw those that were
/// watched for, and how many of them were not seen.
async fn run(
    planet: &Planet,
    options: &Options,
    seconds: usize,
) -> anyhow::Result<(usize, Beyond, usize)> {
    let requests_each = (options.rate * seconds).div_ceil(BATCH * REGIONS.len());
    let every = Duration::from_secs_f64(seconds as f64 / requests_each as f64);
    let until = Instant::now() + Duration::from_secs(seconds as u64) + SETTLE_MAX;
    // The numbers of one run are not those of another.
    let salt = fastrand::u32(..);
    let (mut watchers, mut writers) = (JoinSet::new(), JoinSet::new());
    for (region, place) in (0..5).enumerate() {
        let watcher = Watcher::open(planet, place, salt).await?;
        let wanted = requests_each * (REGIONS.len() - 1);
        watchers.spawn(async move { (region, watcher.listen(region, wanted, until).await) });
    }
    for (region, place) in (0..5).enumerate() {
        let connection = Connection::open(planet.api(place)).await?;
        // Regions do not write in step.
        let from = Instant::now() + every.mul_f64(region as f64 / REGIONS.len() as f64);
        writers.spawn(async move {
            (region, write(connection, (region, salt), (from, every), requests_each).await)
        });
    }
    let mut answered: [Vec<Answered>; 5] = Default::default();
    while let Some(joined) = writers.join_next().await {
        let (region, its) = joined.context("a writer died")?;
        answered[region] = its?;
    }
    let (mut beyond, mut missed) = (Beyond::default(), 0);
    while let Some(joined) = watchers.join_next().await {
        let (here, heard) = joined.context("a watcher died")?;
        let heard = heard?;
        missed += requests_each * (REGIONS.len() - 1) - heard.len();
        for Heard { region, number, at } in heard {
            let way = Duration::from_millis(ROUND_TRIPS_MS[region][here].into()) / 2;
            let Answered { sent, answered } = answered[region][number];
            ensure!(sent + way <= at, "`{}` saw a write before it can travel", REGIONS[here]);
            beyond.answer.push(at.saturating_duration_since(answered + way));
            beyond.request.push(at.saturating_duration_since(sent + way));
        }
    }
    beyond.answer.sort_unstable();
    beyond.request.sort_unstable();
    Ok((requests_each * BATCH * REGIONS.len(), beyond, missed))
}

/// Writes requests at their times; one that is late is written at once.
async fn write(
    mut connection: Connection,
    (region, salt): (usize, u32),
    (from, every): (Instant, Duration),
    requests: usize,
) -> anyhow::Result<Vec<Answered>> {
    let path = format!("/v1/data/{DATASET}");
    let mut answered = Vec::with_capacity(requests);
    for number in 0..requests {
        let mut body = String::from(r#"{"writes":["#);
        let value: String =
            std::iter::repeat_with(fastrand::alphanumeric).take(VALUE_BYTES).collect();
        body += &format!(r#"{{"key":"probe/{salt}/{region}/{number}","put":"{value}"}}"#);
        let first = fastrand::usize(..RECORDS);
        for more in 1..BATCH {
            let record = (first + more) % RECORDS;
            body += &format!(r#",{{"key":"{region}/{record}","put":"{value}"}}"#);
        }
        body += "]}";
        let due = from + every * u32::try_from(number).context("too many requests")?;
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now();
        connection.post(&path, body.as_bytes()).await?.good()?;
        answered.push(Answered { sent, answered: Instant::now() });
    }
    Ok(answered)
}

/// One who watches for writes of the other regions.
#[derive(Debug)]
struct Watcher {
    connection: Connection,
    prefix: String,
    position: String,
}

/// What a watcher is told.
#[derive(Deserialize)]
pub(crate) struct Changes {
    pub(crate) changes: Vec<Change>,
    pub(crate) position: String,
}

/// A record that has changed.
#[derive(Deserialize)]
pub(crate) struct Change {
    pub(crate) key: String,
}

impl Watcher {
    async fn open(planet: &Planet, place: u16, salt: u32) -> anyhow::Result<Self> {
        let mut connection = Connection::open(planet.api(place)).await?;
        let prefix = format!("probe/{salt}/");
        let path = format!("/v1/data/{DATASET}?watch=true&prefix={prefix}");
        let found = connection.get_json(&path).await?.good()?;
        let position = serde_json::from_slice::<Changes>(found).context("no position")?.position;
        Ok(Self { connection, prefix, position })
    }

    /// Listens until as many changes of other regions were heard as there are, or the time is over.
    async fn listen(
        mut self,
        here: usize,
        wanted: usize,
        until: Instant,
    ) -> anyhow::Result<Vec<Heard>> {
        let mut heard = Vec::with_capacity(wanted);
        while heard.len() < wanted && Instant::now() < until {
            let (prefix, position) = (&self.prefix, &self.position);
            let path = format!(
                "/v1/data/{DATASET}?watch=true&prefix={prefix}&position={position}\
                 &wait_ms={WATCH_WAIT_MS}"
            );
            let found = self.connection.get_json(&path).await?.good()?;
            let at = Instant::now();
            let found: Changes = serde_json::from_slice(found).context("no changes")?;
            self.position = found.position;
            for Change { key } in found.changes {
                let numbers = key.strip_prefix(&self.prefix).and_then(|it| it.split_once('/'));
                let (region, number) = numbers.context("a record that was not asked for")?;
                let (region, number) = (region.parse()?, number.parse()?);
                if region != here {
                    heard.push(Heard { region, number, at });
                }
            }
        }
        Ok(heard)
    }
}

fn describe(report: &mut Report, Beyond { answer, request }: &Beyond) {
    let mut row = |what: &str, times: &[Duration], share, target| {
        report.row(what, (percentile_ms(times, share), "ms"), target);
    };
    row("answer to seen elsewhere, less the way, p50", answer, 0.5, Target::Under(10.0));
    row("answer to seen elsewhere, less the way, p99", answer, 0.99, Target::Under(30.0));
    row("answer to seen elsewhere, less the way, most", answer, 1.0, Target::None);
    row("request to seen elsewhere, less the way, p50", request, 0.5, Target::None);
    row("request to seen elsewhere, less the way, p99", request, 0.99, Target::None);
}

fn name(place: u16) -> &'static str {
    REGIONS[usize::from(place)]
}

/// Returns the round trips as `photon up` reads them.
pub(crate) fn matrix() -> String {
    let pairs = pairs().map(|(a, b, ms)| format!("{a},{b},{ms}\n"));
    format!("a,b,rtt_ms\n{}", pairs.collect::<String>())
}

/// Returns the round trips as people read them.
pub(crate) fn show_round_trips() -> String {
    let pairs = pairs().map(|(a, b, ms)| format!("{a} to {b} {ms} ms"));
    pairs.collect::<Vec<_>>().join(", ")
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static str, u32)> {
    let all = (0..REGIONS.len()).flat_map(|a| (a + 1..REGIONS.len()).map(move |b| (a, b)));
    all.map(|(a, b)| (REGIONS[a], REGIONS[b], ROUND_TRIPS_MS[a][b]))
}
