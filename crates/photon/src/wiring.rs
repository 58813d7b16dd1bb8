//! What the configuration means for the node and for its front door.
//! Must not start either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use photon_edge::{
    ArdConfig, ArdEmbedder, ArdRegistry, CardKey, FrontLimits, PlanetInfo, RegionInfo,
};
use photon_node::{LinkConfig, LinkRates, NodeConfig, Secret, TlsFiles};
use photon_region::{Limits, Weights};
use photon_state::RegionId;
use reqwest::header::HeaderValue;

use crate::catalog;
use crate::config::{Config, Embedder, Matching, OtherRegistry, Site, TlsPaths};

/// Returns what the node of a region is told. Its state is kept in `data`.
pub(crate) fn node(config: &Config, region: RegionId, data: PathBuf) -> NodeConfig {
    NodeConfig {
        data,
        planet: config.planet.to_string(),
        region,
        regions: config.regions.iter().map(|(name, site)| (*name, site.place)).collect(),
        voters: config.voters.clone(),
        placements: config.placements.clone(),
        datasets: config.datasets.clone(),
        topology: config.links.topology.clone(),
        weights: weights(&config.matching),
        limits: limits(config),
        segment_bytes: config.log.segment_bytes.0,
        links: LinkConfig {
            listen: config.regions[&region].link,
            dial: dialed(config, region),
            secret: config.links.secret.as_ref().map(|it| Secret::new(it.expose().to_owned())),
            tls: config.links.tls.as_ref().map(tls_files),
            rates: LinkRates {
                bytes_per_second_max: config.links.bytes_per_second_max.map(|it| it.0),
                bulk_bytes_per_second_max: config.links.bulk_bytes_per_second_max.map(|it| it.0),
            },
        },
    }
}

fn tls_files(paths: &TlsPaths) -> TlsFiles {
    let TlsPaths { certificate, key, authority } = paths.clone();
    TlsFiles { certificate, key, authority }
}

/// Returns where each other region is dialed.
fn dialed(config: &Config, region: RegionId) -> BTreeMap<RegionId, SocketAddr> {
    let others = config.regions.iter().filter(|(name, _)| **name != region);
    let via = |name: &RegionId| config.links.via.get(name).copied();
    others.map(|(name, site)| (*name, via(name).unwrap_or(site.link))).collect()
}

fn weights(matching: &Matching) -> Weights {
    let Matching { proximity, capacity, latency, cost } = matching;
    let weight = |it: &u32| u16::try_from(*it).unwrap_or(Weights::MAX);
    Weights {
        proximity: weight(proximity),
        capacity: weight(capacity),
        latency: weight(latency),
        cost: weight(cost),
    }
}

fn limits(config: &Config) -> Limits {
    let Config { tasks, agents, limits, records, .. } = config;
    Limits {
        lease_ttl: tasks.lease_ttl,
        pickup_ttl: tasks.pickup_ttl,
        agent_silent_after: agents.silent_after,
        attempts_max: tasks.attempts_max,
        ageing: tasks.ageing,
        pause_ttl: tasks.pause_ttl,
        webhook_retry_for: tasks.push_retry_for,
        in_flight_max: limits.in_flight_max,
        open_tasks_max: tasks.open_max,
        open_bytes_max: tasks.open_bytes_max.as_usize(),
        agents_max: agents.registered_max,
        message_bytes_max: tasks.input_bytes_max.as_usize(),
        task_bytes_max: tasks.artifact_bytes_max.as_usize(),
        tasks_outside: config.outside,
        retention: tasks.retention,
        kept_bytes_max: tasks.kept_bytes_max.as_usize(),
        topic_bytes_max: limits.topic_bytes_max.as_usize(),
        compact_after_bytes: config.log.compact_after.as_usize(),
        log_retention: config.log.retention,
        data_bytes_max: records.bytes_max.as_usize(),
        data_memory_max: records.memory_max.as_usize(),
        value_bytes_max: records.value_bytes_max.as_usize(),
        fields_max: records.fields_max,
        datasets_max: records.datasets_max,
        repair_every: records.repair_every,
        conflict_alarm_per_second: u64::from(records.conflict_alarm_per_second),
        ..Limits::default()
    }
}

/// Returns the bounds of what a front door takes on.
pub(crate) fn front_limits(config: &Config) -> FrontLimits {
    FrontLimits {
        body_bytes_max: config.limits.body_bytes_max.as_usize(),
        bodies_bytes_max: config.limits.bodies_bytes_max.as_usize(),
        header_bytes_max: config.limits.header_bytes_max.as_usize(),
        connections_max: config.limits.connections_max,
        followers_max: config.limits.followers_max,
        watches_bytes_max: config.limits.watches_bytes_max.as_usize(),
        request_timeout: config.limits.request_timeout,
    }
}

/// Returns what Agent Cards are signed with, if the configuration says.
pub(crate) fn card_key(config: &Config) -> Result<Option<CardKey>> {
    let Some(path) = &config.card_key else { return Ok(None) };
    let failed = || format!("failed to read `{}` (key `card_key`)", path.display());
    let key = CardKey::from_pem(&std::fs::read(path).with_context(failed)?);
    key.with_context(failed).map(Some)
}

/// Returns how the planet's agents are published and found.
pub(crate) fn ard(config: &Config) -> ArdConfig {
    let usual = || format!("{}.localhost", config.planet);
    let registry = |(name, OtherRegistry { url, token }): (&String, &OtherRegistry)| {
        let (url, authorization) = (url.as_str().parse().ok()?, token.as_ref().and_then(bearer));
        Some(ArdRegistry { name: name.clone(), url, authorization })
    };
    ArdConfig {
        publisher: config.ard.publisher.clone().unwrap_or_else(usual),
        registries: config.ard.registries.iter().filter_map(registry).collect(),
        embedder: config.ard.embedder.as_ref().and_then(embedder),
    }
}

fn embedder(embedder: &Embedder) -> Option<ArdEmbedder> {
    Some(ArdEmbedder {
        url: embedder.url.as_str().parse().ok()?,
        model: embedder.model.clone(),
        authorization: embedder.key.as_ref().and_then(bearer),
        floor: embedder.floor,
    })
}

/// Returns what is sent as `authorization` to who asks for a bearer token.
fn bearer(secret: &crate::config::Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns what clients may know of the planet.
pub(crate) fn planet(config: &Config, region: RegionId) -> PlanetInfo {
    let placement = |(name, members): (&_, &std::collections::BTreeSet<RegionId>)| {
        (*name, members.iter().copied().collect())
    };
    PlanetInfo {
        name: config.planet.to_string(),
        region,
        url: config.regions[&region].url.is_some().then(|| config.regions[&region].base_url()),
        regions: config.regions.iter().map(|(name, site)| region_info(*name, site)).collect(),
        placements: config.placements.iter().map(placement).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn region_info(name: RegionId, site: &Site) -> RegionInfo {
    let known = catalog::find(name.as_str());
    let text =
        |of: fn(&catalog::Known) -> &'static str| known.map(of).unwrap_or_default().to_owned();
    RegionInfo {
        name,
        city: site.city.clone().unwrap_or_default(),
        country: site.country.clone().unwrap_or_default(),
        continent: text(|it| it.continent.code()),
        latitude: site.place.latitude,
        longitude: site.place.longitude,
        privacy: text(|it| it.privacy),
        api: site.base_url(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = r#"
            planet = "dev"
            [regions.eu-west-1]
            api = "127.0.0.1:7400"
            link = "127.0.0.1:7401"
            [regions.us-east-1]
            api = "127.0.0.1:7410"
            link = "127.0.0.1:7411"
            [regions.mars]
            api = "127.0.0.1:7420"
            link = "127.0.0.1:7421"
            latitude = 0
            longitude = 0
            [links.via]
            us-east-1 = "127.0.0.1:9000"
            [listen]
            tokens = ["sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
        "#;
        Config::parse("photon.toml", text).unwrap()
    }

    #[test]
    fn a_region_dials_others_where_it_was_told_to_or_at_their_own_address() {
        let here = RegionId::try_from("eu-west-1").unwrap();
        let node = node(&config(), here, PathBuf::from("/data"));
        let dial: Vec<_> =
            node.links.dial.iter().map(|(name, at)| format!("{name} {at}")).collect();
        assert_eq!(dial, ["mars 127.0.0.1:7421", "us-east-1 127.0.0.1:9000"]);
        assert_eq!(node.links.listen.port(), 7401);
    }

    #[test]
    fn a_front_door_has_the_bounds_of_the_configuration_by_default() {
        assert_eq!(front_limits(&config()), FrontLimits::default());
    }

    #[test]
    fn a_token_of_the_configuration_opens_the_door() {
        let tokens = config().tokens;
        assert_eq!(tokens, [photon_edge::TokenHash::of("abc")]);
        assert_eq!(tokens.len(), 1);
    }

    #[test]
    fn a_region_outside_the_catalog_has_no_privacy_regime() {
        let here = RegionId::try_from("eu-west-1").unwrap();
        let planet = planet(&config(), here);
        let regimes: Vec<_> = planet.regions.iter().map(|it| it.privacy.as_str()).collect();
        assert_eq!(regimes, ["gdpr", "", "us-state"]);
    }
}
