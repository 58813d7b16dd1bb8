//! Clients that write records of all types, in every region that may, at any level.
//! Must not say anything twice: what was not acknowledged may have been done.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::canary::{Canaries, Marks};
use super::fleet::Fleet;
use super::ledger::{Fate, Ledger, Outcome, Spot};
use super::{INSIDE, OUTSIDE, PLACEMENTS, REGIONS, dataset, members};
use crate::harness::{Answer, Api, text};

/// Writers of each placement in each of its regions.
const WRITERS: usize = 2;

/// How long a writer rests.
const PACE_MS: std::ops::Range<u64> = 10..110;

/// How long a write waits for its level.
const WAIT_MS: u64 = 1_500;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// What there is to spend at the beginning: less than what the writers try to spend.
pub(crate) const QUOTA: i64 = 150;

/// How often a writer tries to spend at the end, until it is refused.
const LAST_SPENDS_MAX: usize = 200;

/// Records of each dataset that all writers share.
const SHARED: usize = 3;

/// Makes logs long enough to be cut while the test runs.
const FILLER_BYTES_MAX: usize = 24 << 10;

/// All writers.
#[derive(Debug)]
pub(crate) struct Load {
    stop: CancellationToken,
    writers: JoinSet<Ledger>,
}

impl Load {
    /// Fills the quotas, and starts the writers.
    pub(crate) async fn start(
        fleet: &Arc<Fleet>,
        canaries: &Canaries,
        random: &mut fastrand::Rng,
    ) -> Self {
        let (stop, mut writers) = (CancellationToken::new(), JoinSet::new());
        let mut writer = |placement: &'static str, region: &str, at: usize, marks: &Marks| Writer {
            name: format!("{placement}.{region}.{at}"),
            placement,
            api: fleet.api(region),
            others: members(placement).iter().map(|it| fleet.api(it)).collect(),
            marks: marks.clone(),
            random: random.fork(),
            number: 0,
            ledger: Ledger::default(),
        };
        for placement in PLACEMENTS {
            let mut first = writer(placement, INSIDE[0], WRITERS, canaries.of(placement));
            first.grant(QUOTA, "?consistency=strong&wait_ms=60000").await;
            writers.spawn(std::future::ready(first.ledger));
        }
        for placement in PLACEMENTS {
            for region in members(placement) {
                for at in 0..WRITERS {
                    let writer = writer(placement, region, at, canaries.of(placement));
                    writers.spawn(writer.write_all(stop.clone()));
                }
            }
        }
        for region in OUTSIDE {
            // What it asks to be written elsewhere passes through the region, and must not stay.
            let stranger = writer("eu", region, 0, &canaries.passing);
            writers.spawn(stranger.write_from_outside(stop.clone()));
        }
        assert!(REGIONS.len() * WRITERS < writers.len(), "everybody writes");
        Self { stop, writers }
    }

    /// Writes no more; returns what the writers remember.
    pub(crate) async fn finish(self) -> Ledger {
        self.stop.cancel();
        let mut all = Ledger::default();
        self.writers.join_all().await.into_iter().for_each(|it| all.merge(it));
        all
    }
}

/// One client.
struct Writer {
    name: String,
    placement: &'static str,
    api: Api,
    /// Clients of all regions of the placement.
    others: Vec<Api>,
    marks: Marks,
    random: fastrand::Rng,
    number: u64,
    ledger: Ledger,
}

impl Writer {
    async fn write_all(mut self, stop: CancellationToken) -> Ledger {
        while !self.rests(&stop).await {
            self.number += 1;
            match self.random.u32(..13) {
                0 | 1 => self.put_over().await,
                2 | 3 => self.put_once().await,
                4 => self.put_bytes().await,
                5 | 6 => self.count().await,
                7 if self.random.u32(..20) == 0 => self.grant(10, "").await,
                7 | 8 => self.spend().await,
                9 | 10 => self.swap().await,
                _ => self.change().await,
            }
        }
        // At the end everybody takes what is left of the quota, all at the same time.
        let is_refused = |it: &Ledger| it.outcomes.get("overdrawn").copied();
        let before = is_refused(&self.ledger);
        for _ in 0..LAST_SPENDS_MAX {
            if is_refused(&self.ledger) != before {
                break;
            }
            self.spend().await;
        }
        self.ledger
    }

    async fn write_from_outside(mut self, stop: CancellationToken) -> Ledger {
        while !self.rests(&stop).await {
            self.number += 1;
            self.put_once().await;
        }
        self.ledger
    }

    /// Rests for a while; whether it is over.
    async fn rests(&mut self, stop: &CancellationToken) -> bool {
        let pace = Duration::from_millis(self.random.u64(PACE_MS));
        stop.run_until_cancelled(tokio::time::sleep(pace)).await.is_none()
    }

    fn spot(&self, name: &str, key: &str) -> Spot {
        (dataset(self.placement, name), format!("{}/{key}", self.marks.key))
    }

    fn shared(&mut self, name: &str) -> Spot {
        let key = format!("shared{}", self.random.usize(..SHARED));
        self.spot(name, &key)
    }

    /// Begins a write at some level.
    fn write(&mut self, method: Method, (dataset, key): &Spot) -> RequestBuilder {
        let level = match self.random.u32(..10) {
            0 => "strong",
            1..3 => "quorum",
            _ => "eventual",
        };
        let path = format!("/v1/data/{dataset}/{key}?consistency={level}&wait_ms={WAIT_MS}");
        self.api.request(method, &path).timeout(PATIENCE)
    }

    /// Sends a write, and notes how it went.
    async fn send(&mut self, request: RequestBuilder) -> (Outcome, Option<Answer>) {
        let answer = Api::try_send(request).await;
        let nobody_listens = answer.as_ref().is_err_and(reqwest::Error::is_connect);
        let answer = answer.ok();
        let kind = answer.as_ref().map(|it| it.body["type"].as_str().unwrap_or_default());
        let status = answer.as_ref().map(|it| it.status);
        let (outcome, what) = match (status, kind) {
            (None, _) if nobody_listens => (Outcome::NotDone, "not heard"),
            (None, _) => (Outcome::Unknown, "no answer"),
            (Some(200..300), _) => (Outcome::Stays, "done"),
            (_, Some("/problems/level-not-reached")) => (Outcome::Stays, "level not reached"),
            (Some(409), Some("/problems/overdrawn")) => (Outcome::NotDone, "overdrawn"),
            (Some(412), Some("/problems/unexpected")) => (Outcome::NotDone, "unexpected"),
            (Some(429), _) => (Outcome::NotDone, "overloaded"),
            (Some(503), _) => (Outcome::Unknown, "not known"),
            _ => {
                self.ledger.odd.push(format!("{} was answered {answer:?}", self.name));
                (Outcome::Unknown, "odd")
            }
        };
        *self.ledger.outcomes.entry(what.to_owned()).or_default() += 1;
        (outcome, answer)
    }

    /// Puts a value in place of others.
    async fn put_over(&mut self) {
        let name = ["last", "all", "high", "low", "prefer"][self.random.usize(..5)];
        let spot = self.shared(name);
        let filler = "z".repeat(self.random.usize(..FILLER_BYTES_MAX));
        let mark = format!("{}{filler}", self.marks.value);
        let value = json!({"by": self.name, "mark": mark, "number": self.number});
        let request = self.write(Method::PUT, &spot).json(&value);
        let (outcome, _) = self.send(request).await;
        self.ledger.put(spot, &self.name, self.number, outcome);
    }

    /// Puts a record of its own, and sometimes reads it elsewhere in the same session.
    async fn put_once(&mut self) {
        let spot = self.spot("last", &format!("once/{}/{}", self.name, self.number));
        let value = json!({"mark": self.marks.value, "number": self.number});
        let request = self.write(Method::PUT, &spot).json(&value);
        let (outcome, answer) = self.send(request).await;
        let session = answer.filter(|it| it.status < 300);
        let session = session.map(|it| text(&it.body["session"]).to_owned());
        self.ledger.add(spot.clone(), value.to_string(), outcome);
        if let Some(session) = session
            && !self.marks.is_passing
        {
            self.read_on(&spot, &value, &session).await;
        }
    }

    /// Reads what was written, in another region: it is there, or not answered.
    async fn read_on(&mut self, (dataset, key): &Spot, value: &Value, session: &str) {
        let api = &self.others[self.random.usize(..self.others.len())];
        let path = format!("/v1/data/{dataset}/{key}?consistency=session&wait_ms={WAIT_MS}");
        let request = api.request(Method::GET, &path).timeout(PATIENCE);
        let read = Api::try_send(request.header("photon-session", session)).await;
        let what = match read {
            Ok(read) if read.status == 200 && read.body["value"] == *value => "read on",
            Ok(read) if [429, 503].contains(&read.status) => "not read on",
            Err(_) => "not read on",
            Ok(read) => {
                let odd = format!("{} wrote {key} and read {read:?} elsewhere", self.name);
                self.ledger.odd.push(odd);
                "odd"
            }
        };
        *self.ledger.outcomes.entry(what.to_owned()).or_default() += 1;
    }

    async fn put_bytes(&mut self) {
        let spot = self.spot("last", &format!("bytes/{}/{}", self.name, self.number));
        let request = self.write(Method::PUT, &spot).body(self.marks.bytes.to_vec());
        let (outcome, _) =
            self.send(request.header("content-type", "application/octet-stream")).await;
        self.ledger.add(spot, STANDARD.encode(self.marks.bytes), outcome);
    }

    async fn count(&mut self) {
        let (spot, by) = (self.shared("sum"), self.random.i64(-9..10));
        let request = self.write(Method::PATCH, &spot).json(&json!({"add": by}));
        let (outcome, _) = self.send(request).await;
        self.ledger.count(spot, by, outcome);
    }

    async fn spend(&mut self) {
        let (spot, by) = (self.spot("quota", "one"), -self.random.i64(1..6));
        let request = self.write(Method::PATCH, &spot).json(&json!({"add": by}));
        let (outcome, _) = self.send(request).await;
        self.ledger.count(spot, by, outcome);
    }

    async fn grant(&mut self, rights: i64, query: &str) {
        let spot = self.spot("quota", "one");
        let path = format!("/v1/data/{}/{}{query}", spot.0, spot.1);
        let request = self.api.request(Method::PATCH, &path).json(&json!({"add": rights}));
        let (outcome, _) = self.send(request).await;
        self.ledger.count(spot, rights, outcome);
    }

    /// Adds one to what it has read, unless somebody else has changed it meanwhile.
    async fn swap(&mut self) {
        let spot = self.spot("swap", "one");
        let path = format!("/v1/data/{}/{}?consistency=eventual", spot.0, spot.1);
        let read = Api::try_send(self.api.request(Method::GET, &path).timeout(PATIENCE)).await;
        let Ok(read) = read else { return };
        let (head, tag, sum) = match (read.status, read.body["value"]["sum"].as_i64()) {
            (200, Some(sum)) => ("if-match", read.headers["etag"].clone(), sum),
            (404, _) => ("if-none-match", HeaderValue::from_static("*"), 0),
            _ => return,
        };
        let value = json!({"mark": self.marks.value, "sum": sum + 1});
        let request = self.write(Method::PUT, &spot).header(head, tag).json(&value);
        let (outcome, _) = self.send(request).await;
        self.ledger.count(spot, 1, outcome);
    }

    /// Adds something to a set, a map or a document, or removes what it added before.
    async fn change(&mut self) {
        let name = ["set", "map", "doc"][self.random.usize(..3)];
        let spot = self.shared(name);
        let old = self.random.bool().then(|| self.an_old_thing(&spot)).flatten();
        let thing = old.clone().unwrap_or_else(|| self.new_thing(name));
        let body = match (name, old.is_some()) {
            ("set", false) => json!({"add": [thing]}),
            ("set", true) => json!({"remove": [thing]}),
            ("map", false) => json!({&*thing: self.marks.value}),
            ("map", true) => json!({&*thing: null}),
            (_, is_old) => {
                let (writer, member) = thing.split_once('/').expect("it was made so");
                let value = if is_old { Value::Null } else { json!({"mark": self.marks.value}) };
                json!({writer: {member: value}})
            }
        };
        let request = self.write(Method::PATCH, &spot).json(&body);
        let (outcome, _) = self.send(request).await;
        match old {
            None => self.ledger.add(spot, thing, outcome),
            Some(_) => self.ledger.remove(spot, thing, outcome),
        }
    }

    fn new_thing(&self, name: &str) -> String {
        let Self { marks, number, name: writer, .. } = self;
        let between = if name == "doc" { '/' } else { '.' };
        format!("{writer}{between}{}.{number}", marks.value)
    }

    fn an_old_thing(&mut self, spot: &Spot) -> Option<String> {
        let things = self.ledger.things.get(spot)?;
        let there = things.iter().filter(|(_, fate)| **fate == Fate::There);
        let there: Vec<_> = there.map(|(thing, _)| thing.clone()).collect();
        self.random.choice(there)
    }
}
