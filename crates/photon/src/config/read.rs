//! Checks a parsed file, key by key, and makes the configuration of it.
//! Must not know of files or the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use photon_edge::TokenHash;
use photon_region::{Place, placement_tag, region_tag};
use photon_state::{NameError, PlacementId, RegionId};
use reqwest::Url;

use super::section::{Section, Value, hint};
use super::{
    AgentLimits, ByteSize, Config, ConfigError, ConfigProblem, DataLimits, Links, LogLimits,
    Matching, PLACEMENTS_MAX, REGIONS_MAX, Secret, Site, TOKENS_MAX, TaskLimits, TlsPaths,
    VOTERS_MAX, WireLimits, topology,
};
use crate::catalog;

/// Every section and key at the top of the file.
const ROOT: [&str; 18] = [
    "planet",
    "voters",
    "outside",
    "push_targets",
    "card_key",
    "regions",
    "placements",
    "datasets",
    "node",
    "listen",
    "links",
    "tasks",
    "agents",
    "matching",
    "ard",
    "limits",
    "data",
    "log",
];

/// What may be said of the bytes in a second. Beneath it a peer would be thought to be silent.
const LINK_RATES: RangeInclusive<ByteSize> = ByteSize::mib(1)..=ByteSize(64 << 30);

/// Reads the whole file.
pub(super) fn config(root: &Section<'_>) -> Result<Config, ConfigError> {
    root.refuse_unknown(&ROOT)?;
    let planet = root.require("planet", "the planet's name, such as \"dev\"")?;
    let planet = named(&planet, planet.text()?)?;
    let sites = sites(root)?;
    let mut config =
        Config::new(planet, sites.iter().map(|(id, it, _)| (*id, it.clone())).collect());
    if let Some(value) = root.find("voters") {
        config.voters = voters(&value, &config.regions)?;
    }
    if let Some(value) = root.find("outside") {
        config.outside = super::dataset::outside(&value)?;
    }
    if let Some(value) = root.find("push_targets") {
        config.push_targets = super::push::targets(&value)?;
    }
    config.card_key = card_key(root)?;
    let global = PlacementId::global();
    let mut tags = BTreeMap::from([(placement_tag(global), global)]);
    for (name, value) in root.section("placements")?.entries(PLACEMENTS_MAX)? {
        let placement = named(&value, name)?;
        let other = tags.insert(placement_tag(placement), placement);
        if let Some(other) = other.filter(|it| *it != placement) {
            let (key, other) = (placement.to_string(), other.to_string());
            return Err(value.error(ConfigProblem::TagTwice { key, other }));
        }
        let members = placement_members(&value, &config.regions)?;
        if config.placements.insert(placement, members).is_some() {
            return Err(value.error(ConfigProblem::GlobalRedefined));
        }
    }
    config.datasets = super::dataset::datasets(root, &config.placements)?;
    config.data = data(&root.section("node")?)?;
    config.tokens = tokens(&root.section("listen")?)?;
    config.links = links(&root.section("links")?, &config.regions)?;
    config.tasks = TaskLimits::read(&root.section("tasks")?)?;
    config.agents = AgentLimits::read(&root.section("agents")?)?;
    config.matching = Matching::read(&root.section("matching")?)?;
    config.ard = super::ard::read(&root.section("ard")?)?;
    config.limits = WireLimits::read(&root.section("limits")?)?;
    config.records = DataLimits::read(&root.section("data")?)?;
    config.log = LogLimits::read(&root.section("log")?)?;

    let (input, body) = (config.tasks.input_bytes_max, config.limits.body_bytes_max);
    if body < input {
        let (input, body) = (input.to_string(), body.to_string());
        return Err(root.section("tasks")?.error(ConfigProblem::InputOverBody { input, body }));
    }
    for (_, site, section) in &sites {
        check_guards(site, section, &config)?;
    }
    Ok(config)
}

/// Checks a name that stands at `value`.
fn named<'a, T: TryFrom<&'a str, Error = NameError>>(
    value: &Value<'_>,
    name: &'a str,
) -> Result<T, ConfigError> {
    let key = || value.path().to_owned();
    T::try_from(name).map_err(|source| value.error(ConfigProblem::Name { key: key(), source }))
}

/// Finds a region of the planet by the name that stands at `value`.
pub(super) fn region_named(
    value: &Value<'_>,
    name: &str,
    regions: &BTreeMap<RegionId, Site>,
) -> Result<RegionId, ConfigError> {
    let known = RegionId::try_from(name).ok().filter(|it| regions.contains_key(it));
    known.ok_or_else(|| {
        let (key, region) = (value.path().to_owned(), name.to_owned());
        let hint = hint(name, regions.keys().map(RegionId::as_str), str::to_owned);
        value.error(ConfigProblem::UnknownRegion { key, region, hint })
    })
}

/// Reads all regions, and checks that no two listeners share an address.
fn sites<'a>(root: &Section<'a>) -> Result<Vec<(RegionId, Site, Section<'a>)>, ConfigError> {
    root.require("regions", "a table for each region, such as [regions.eu-west-1]")?;
    let regions = root.section("regions")?;
    let entries = regions.entries(REGIONS_MAX)?;
    if entries.is_empty() {
        regions.require("eu-west-1", "a table with the addresses of this or any other region")?;
    }
    let mut sites = Vec::new();
    let mut tags: BTreeMap<u16, RegionId> = BTreeMap::new();
    let mut taken: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (name, value) in entries {
        let id = named(&value, name)?;
        if let Some(other) = tags.insert(region_tag(id), id) {
            let (key, other) = (id.to_string(), other.to_string());
            return Err(value.error(ConfigProblem::TagTwice { key, other }));
        }
        let section = value.section()?;
        let site = site(name, &section)?;
        for (key, address) in [("api", site.api), ("link", site.link)] {
            let key = format!("regions.{name}.{key}");
            if address.ip().is_unspecified() {
                continue; // Of whichever machine the region runs on: two need not be the same.
            }
            if let Some(other) = taken.insert(address, key.clone()) {
                return Err(section.error(ConfigProblem::AddressTwice { key, other, address }));
            }
        }
        sites.push((id, site, section));
    }
    Ok(sites)
}

fn site(name: &str, section: &Section<'_>) -> Result<Site, ConfigError> {
    section.refuse_unknown(&["api", "url", "link", "latitude", "longitude", "city", "country"])?;
    let api = section.require("api", "the address where clients connect")?;
    let url = section.find("url").map(|it| base_url(&it)).transpose()?;
    let api = if url.is_some() { api.address()? } else { target(&api)? };
    let link = target(&section.require("link", "the address where other regions connect")?)?;
    let known = catalog::find(name);
    let degrees = |key, max, default: Option<f64>| match section.find(key) {
        Some(value) => value.degrees(max),
        None => default.ok_or_else(|| no_place(name, section)),
    };
    let place = Place {
        latitude: degrees("latitude", 90.0, known.map(|it| it.at.latitude))?,
        longitude: degrees("longitude", 180.0, known.map(|it| it.at.longitude))?,
    };
    let city = section.find("city").map(|it| it.text()).transpose()?;
    let country = section.find("country").map(|it| country(&it)).transpose()?;
    let city = city.or(known.map(|it| it.city)).map(str::to_owned);
    let country = country.or(known.map(|it| it.country)).map(str::to_owned);
    Ok(Site { place, city, country, api, url, link })
}

/// Reads the URL that clients are told: that of a proxy, for example.
fn base_url(value: &Value<'_>) -> Result<Url, ConfigError> {
    let expected = "`http://` or `https://`, a host and perhaps a port, such as \
        \"https://eu.photon.example\"";
    let url = Url::parse(value.text()?).map_err(|_| value.wrong(expected))?;
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !["http", "https"].contains(&url.scheme()) || !is_bare {
        return Err(value.wrong(expected));
    }
    Ok(url)
}

/// Reads an address that is listened on and also told to others.
fn target(value: &Value<'_>) -> Result<SocketAddr, ConfigError> {
    let address = value.address()?;
    if address.ip().is_unspecified() {
        let key = value.path().to_owned();
        return Err(value.error(ConfigProblem::NoTarget { key, address }));
    }
    Ok(address)
}

fn no_place(name: &str, section: &Section<'_>) -> ConfigError {
    let nearest = catalog::suggest(name).map(str::to_owned);
    section.error(ConfigProblem::NoPlace { key: format!("regions.{name}"), nearest })
}

fn country<'a>(value: &Value<'a>) -> Result<&'a str, ConfigError> {
    let letters = value.text()?;
    if letters.len() != 2 || !letters.bytes().all(|it| it.is_ascii_uppercase()) {
        return Err(value.wrong("two capital letters of ISO 3166-1, such as \"IE\""));
    }
    Ok(letters)
}

fn placement_members(
    value: &Value<'_>,
    regions: &BTreeMap<RegionId, Site>,
) -> Result<BTreeSet<RegionId>, ConfigError> {
    let members = value.list(REGIONS_MAX)?;
    if members.is_empty() {
        return Err(value.wrong("a list of at least one region"));
    }
    members.iter().map(|it| region_named(it, it.text()?, regions)).collect()
}

fn voters(
    value: &Value<'_>,
    regions: &BTreeMap<RegionId, Site>,
) -> Result<BTreeSet<RegionId>, ConfigError> {
    let voters = value.list(VOTERS_MAX)?;
    if voters.is_empty() {
        return Err(value.wrong("a list of one to seven regions, best an odd number of them"));
    }
    voters.iter().map(|it| region_named(it, it.text()?, regions)).collect()
}

fn data(node: &Section<'_>) -> Result<Option<PathBuf>, ConfigError> {
    node.refuse_unknown(&["data"])?;
    let Some(value) = node.find("data") else { return Ok(None) };
    match value.text()? {
        "" => Err(value.wrong("the path of a folder")),
        path => Ok(Some(PathBuf::from(path))),
    }
}

fn tokens(listen: &Section<'_>) -> Result<Vec<TokenHash>, ConfigError> {
    listen.refuse_unknown(&["tokens"])?;
    let Some(tokens) = listen.find("tokens") else { return Ok(Vec::new()) };
    let hash = |it: &Value<'_>| {
        let expected = "a hash that `photon token new` prints, such as \"sha256:..\"";
        it.text()?.parse().map_err(|_| it.wrong(expected))
    };
    tokens.hidden().list(TOKENS_MAX)?.iter().map(hash).collect()
}

fn links(links: &Section<'_>, regions: &BTreeMap<RegionId, Site>) -> Result<Links, ConfigError> {
    let [rate, bulk_rate] = ["bytes_per_second_max", "bulk_bytes_per_second_max"];
    let known = ["secret", "certificate", "key", "authority", rate, bulk_rate, "via"];
    links.refuse_unknown(&[&known[..], &topology::KEYS[..]].concat())?;
    let rate_of = |key| links.find(key).map(|it| it.measure(&LINK_RATES)).transpose();
    let secret = |it: Value<'_>| {
        let it = it.hidden();
        Secret::new(it.text()?).ok_or_else(|| it.wrong("a text of 16 to 256 bytes"))
    };
    let secret = links.find("secret").map(secret).transpose()?;
    let mut via = BTreeMap::new();
    for (name, value) in links.section("via")?.entries(REGIONS_MAX)? {
        via.insert(region_named(&value, name, regions)?, value.address()?);
    }
    Ok(Links {
        secret,
        tls: tls_paths(links)?,
        bytes_per_second_max: rate_of(rate)?,
        bulk_bytes_per_second_max: rate_of(bulk_rate)?,
        topology: topology::read(links, regions)?,
        via,
    })
}

/// Reads where the key lies that Agent Cards are signed with.
fn card_key(root: &Section<'_>) -> Result<Option<PathBuf>, ConfigError> {
    root.find("card_key").map(|value| file(&value)).transpose()
}

fn file(value: &Value<'_>) -> Result<PathBuf, ConfigError> {
    match value.text()? {
        "" => Err(value.wrong("the path of a file")),
        path => Ok(PathBuf::from(path)),
    }
}

/// Reads the paths of the certificates: all three, or none.
fn tls_paths(links: &Section<'_>) -> Result<Option<TlsPaths>, ConfigError> {
    if ["certificate", "key", "authority"].iter().all(|key| links.find(key).is_none()) {
        return Ok(None);
    }
    let path = |key, expected| file(&links.require(key, expected)?);
    Ok(Some(TlsPaths {
        certificate: path("certificate", "the file of this region's certificate, as PEM")?,
        key: path("key", "the file of the private key of `links.certificate`, as PEM")?,
        authority: path("authority", "the file of the planet's authorities, as PEM")?,
    }))
}

/// Checks that what is open to others is guarded.
fn check_guards(site: &Site, section: &Section<'_>, config: &Config) -> Result<(), ConfigError> {
    let is_open = |ip: IpAddr| !ip.to_canonical().is_loopback();
    let is_open_url = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        host != "localhost" && host.trim_matches(['[', ']']).parse().map_or(true, is_open)
    };
    let line = |key| section.require(key, "an address");
    let open_api = is_open(site.api.ip()).then(|| ("api", site.api.to_string()));
    let open_url = site.url.as_ref().filter(|it| is_open_url(it));
    let open = open_api.or(open_url.map(|it| ("url", it.to_string())));
    if let Some((key, target)) = open.filter(|_| config.tokens.is_empty()) {
        let value = line(key)?;
        let key = value.path().to_owned();
        return Err(value.error(ConfigProblem::TokenNeeded { key, target }));
    }
    if is_open(site.link.ip()) && config.links.secret.is_none() && config.links.tls.is_none() {
        let (value, address) = (line("link")?, site.link);
        let key = value.path().to_owned();
        return Err(value.error(ConfigProblem::SecretNeeded { key, address }));
    }
    Ok(())
}
