//! The planet under drill: its regions, how far they are from each other, and who uses it alone.
//! Must not make a fault, nor judge what comes of one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use photon_state::RegionId;
use serde_json::Value;
use tokio::time::timeout;

use crate::client::{Client, ClientError, Endpoint};
use crate::exit::{NotFoundError, RefusedError};
use crate::up::control::{self, Order, Shown, ShownRegion};
use crate::up::folder::Folder;

/// The file that a drill locks, so that there is one at a time.
const LOCK: &str = "drill.lock";
/// How long a region may take to answer before a client turns to the next.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Names a region by its place in the list.
pub(super) type At = usize;

/// A region under drill.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) name: RegionId,
    pub(super) client: Client,
    pub(super) folder: PathBuf,
    /// All regions, the nearest first: this one, and then the others.
    pub(super) nearest: Vec<At>,
}

/// A planet under drill.
#[derive(Debug)]
pub(super) struct Planet {
    pub(super) sites: Vec<Site>,
    /// Placements that leave out a region.
    pub(super) placements: BTreeMap<String, BTreeSet<At>>,
    /// Whether tasks can be acknowledged by a quorum.
    pub(super) has_quorum_ack: bool,
    /// When the drill's clock was at 0, by the wall.
    pub(super) began_at: DateTime<Utc>,
    began: Instant,
    folder: Folder,
    _lock: File,
}

/// Nobody answered in time, or the answer was no.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("no answer within {} ms", ANSWER_MAX.as_millis())]
    Silent,
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Failed {
    /// Returns the status code of the answer, if there was one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Silent => None,
            Self::Client(error) => error.status(),
        }
    }

    /// Whether the answer was that there is no such record: not that nothing is known of it.
    pub(super) fn is_no_record(&self) -> bool {
        match self {
            Self::Client(ClientError::Problem(it)) => it.kind == "/problems/no-such-record",
            Self::Silent
            | Self::Client(
                ClientError::Unreachable { .. }
                | ClientError::Unsendable { .. }
                | ClientError::Garbled { .. },
            ) => false,
        }
    }
}

/// Waits for an answer as long as a client would that has other regions to turn to.
pub(super) async fn soon<T>(
    asking: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Failed> {
    timeout(ANSWER_MAX, asking).await.map_err(|_| Failed::Silent)?.map_err(Failed::from)
}

impl Planet {
    /// Looks at the planet of a folder, and refuses one that is not whole.
    pub(super) async fn open(folder: Folder) -> Result<Self> {
        let shown = control::show(&folder).await?;
        check_whole(&shown)?;
        let lock = lock(&folder)?;
        let mut sites = Vec::new();
        for ShownRegion { name, api, folder, .. } in shown.regions {
            let name = RegionId::try_from(name.as_str()).context("a region has an odd name")?;
            let client = Client::new(api.parse::<Endpoint>()?, None);
            sites.push(Site { name, client, folder, nearest: Vec::new() });
        }
        let places = places(&sites).await?;
        for at in 0..sites.len() {
            let mut nearest: Vec<At> = (0..sites.len()).collect();
            let away = |it: &At| if *it == at { -1.0 } else { distance(places[at], places[*it]) };
            nearest.sort_by(|a, b| away(a).total_cmp(&away(b)));
            sites[at].nearest = nearest;
        }
        let first = &sites[0].client;
        let document = first.json(&["v1", "openapi.json"]).await?;
        let has_quorum_ack =
            !document["components"]["schemas"]["TaskPost"]["properties"]["ack"].is_null();
        let placements = placements(&first.json(&["v1", "regions"]).await?, &sites);
        let (began_at, began) = (Utc::now(), Instant::now());
        Ok(Self { sites, placements, has_quorum_ack, began_at, began, folder, _lock: lock })
    }

    /// Returns the names of all regions.
    pub(super) fn names(&self) -> BTreeSet<RegionId> {
        self.sites.iter().map(|it| it.name).collect()
    }

    /// Returns the place of a region in the list.
    pub(super) fn at(&self, name: RegionId) -> Option<At> {
        self.sites.iter().position(|it| it.name == name)
    }

    /// Returns the name of a region.
    pub(super) fn name(&self, at: At) -> String {
        self.sites[at].name.to_string()
    }

    /// Returns how long the drill has gone on.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Gives `photon up` an order.
    pub(super) async fn order(&self, order: &Order) -> Result<String> {
        control::order(&self.folder, order).await
    }

    /// Asks `photon up` how the planet is.
    pub(super) async fn show(&self) -> Result<Shown> {
        control::show(&self.folder).await
    }
}

/// Refuses a planet in which something is wrong already: a drill could not tell what it did itself.
fn check_whole(shown: &Shown) -> Result<()> {
    if let Some(down) = shown.regions.iter().find(|it| it.state != "up") {
        let ShownRegion { name, state, .. } = down;
        let fix = match state.as_str() {
            "down" => format!("bring it back with `photon region start {name}`"),
            _other => "wait until it is up".to_owned(),
        };
        return Err(RefusedError(format!("`{name}` is {state}: {fix}")).into());
    }
    if let Some(fault) = shown.faults.first() {
        let text = format!(
            "a fault is in force already: {}; heal it with `photon planet mend` or `photon region \
             resume`, or wait until it is over",
            fault.text
        );
        return Err(RefusedError(text).into());
    }
    if shown.regions.len() < 2 {
        let text = "a planet of one region has nobody to go on: start it with more --regions";
        return Err(NotFoundError(text.to_owned()).into());
    }
    Ok(())
}

fn lock(folder: &Folder) -> Result<File> {
    let path = folder.path().join(LOCK);
    let shown = path.display();
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("failed to open `{shown}`"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = "another drill is under way on this planet: wait until it has ended";
            Err(RefusedError(text.to_owned()).into())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock `{shown}`"))
        }
    }
}

/// Latitude and longitude.
type Place = (f64, f64);

async fn places(sites: &[Site]) -> Result<Vec<Place>> {
    let regions = sites[0].client.regions().await?.regions;
    let place = |site: &Site| {
        let known = regions.iter().find(|it| it.name == site.name.as_str());
        known.map_or((0.0, 0.0), |it| (it.latitude, it.longitude))
    };
    Ok(sites.iter().map(place).collect())
}

fn distance(a: Place, b: Place) -> f64 {
    let place = |(latitude, longitude)| photon_region::Place { latitude, longitude };
    place(a).distance_km(place(b))
}

/// Finds the placements that leave out a region: only of those can anything be where it must not.
fn placements(regions: &Value, sites: &[Site]) -> BTreeMap<String, BTreeSet<At>> {
    let mut found = BTreeMap::new();
    for (name, members) in regions["placements"].as_object().into_iter().flatten() {
        let is_member = |site: &Site| {
            members.as_array().is_some_and(|it| it.iter().any(|it| it == site.name.as_str()))
        };
        let inside: BTreeSet<At> = (0..sites.len()).filter(|at| is_member(&sites[*at])).collect();
        if !inside.is_empty() && inside.len() < sites.len() {
            found.insert(name.clone(), inside);
        }
    }
    found
}
