//! Finds out when a region is ready: it takes work, and its links are up.
//! Must not print, nor decide what to do about one that is not.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_edge::v1::types::RegionHealth;
use photon_state::RegionId;
use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError};

/// How often a region is asked.
const ASK_EVERY: Duration = Duration::from_millis(15);
/// How long a region may take to become ready.
pub(super) const READY_WITHIN_MAX: Duration = Duration::from_secs(30);

/// What a region lacks.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReady {
    /// It does not take work.
    #[error("it is not ready after {} s", READY_WITHIN_MAX.as_secs())]
    Closed(#[source] ClientError),
    /// It is not linked to all others.
    #[error("it has no link to {} after {} s", names(.peers), READY_WITHIN_MAX.as_secs())]
    Unlinked {
        /// The others.
        peers: BTreeSet<RegionId>,
    },
}

fn names(regions: &BTreeSet<RegionId>) -> String {
    regions.iter().map(RegionId::as_str).collect::<Vec<_>>().join(", ")
}

/// Waits until the region is ready, and linked to all of `peers`.
pub(super) async fn until_ready(
    client: &Client,
    peers: &BTreeSet<RegionId>,
) -> Result<(), NotReady> {
    let deadline = Instant::now() + READY_WITHIN_MAX;
    loop {
        let lack = match lack(client, peers).await {
            Ok(peers) if peers.is_empty() => return Ok(()),
            Ok(peers) => NotReady::Unlinked { peers },
            Err(error) => NotReady::Closed(error),
        };
        if deadline <= Instant::now() {
            return Err(lack);
        }
        sleep(ASK_EVERY).await;
    }
}

/// Returns those of `peers` to which the region has no link.
async fn lack(
    client: &Client,
    peers: &BTreeSet<RegionId>,
) -> Result<BTreeSet<RegionId>, ClientError> {
    client.ready().await?;
    let regions = client.regions().await?.regions;
    let linked: BTreeSet<_> = regions
        .iter()
        .filter(|it| it.health == RegionHealth::Linked)
        .filter_map(|it| RegionId::try_from(it.name.as_str()).ok())
        .collect();
    Ok(peers.difference(&linked).copied().collect())
}
