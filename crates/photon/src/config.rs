//! What an operator tells Photon: `photon.toml`, parsed once into checked types.
//! Must not know who uses a value; `docs/configuration.md` says what each key means.

mod ard;
mod bounded;
mod dataset;
mod measure;
mod problem;
mod push;
mod read;
mod render;
mod secret;
mod section;
#[cfg(test)]
mod tests;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use photon_edge::{PushTargets, TokenHash};
use photon_region::data::{DatasetSpec, Outside};
use photon_region::{Place, Topology};
use photon_state::{NameError, PlacementId, RegionId};
use reqwest::Url;
use toml::de::DeTable;

pub use self::ard::{Ard, Embedder, OtherRegistry};
pub use self::bounded::{AgentLimits, DataLimits, LogLimits, Matching, TaskLimits, WireLimits};
pub use self::measure::ByteSize;
pub use self::problem::{ConfigError, ConfigProblem};
pub use self::render::PathNotText;
pub use self::secret::Secret;
use self::section::{Section, Source};
use crate::catalog;

/// The most regions of a planet; more are refused.
pub const REGIONS_MAX: usize = 64;
/// The most placements of a planet, beside `global`; more are refused.
pub const PLACEMENTS_MAX: usize = 64;
/// The most regions that vote; more are refused.
pub const VOTERS_MAX: usize = 7;
/// The most tokens; more are refused.
pub const TOKENS_MAX: usize = 64;
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Holds everything that the configuration says, checked.
///
/// ```
/// let text = r#"
///     planet = "dev"
///     [regions.eu-west-1]
///     api = "127.0.0.1:7400"
///     link = "127.0.0.1:7401"
/// "#;
/// let config = photon::config::Config::parse("photon.toml", text)?;
/// assert_eq!(config.planet.to_string(), "dev");
/// # Ok::<(), photon::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The planet's name.
    pub planet: PlanetName,
    /// All regions of the planet; there is at least one.
    pub regions: BTreeMap<RegionId, Site>,
    /// The regions that vote when the planet is founded; if there is none, they are chosen.
    pub voters: BTreeSet<RegionId>,
    /// What a region does that is asked for a task that may not live in it.
    pub outside: Outside,
    /// Where push notifications may be sent.
    pub push_targets: PushTargets,
    /// The file of the private key that Agent Cards are signed with, as PEM (PKCS #8, P-256).
    pub card_key: Option<PathBuf>,
    /// The regions of each placement; `global` is all of them.
    pub placements: BTreeMap<PlacementId, BTreeSet<RegionId>>,
    /// The datasets that are declared here, by name.
    pub datasets: Vec<DatasetSpec>,
    /// The folder in which this process keeps its state, if it is not the default.
    pub data: Option<PathBuf>,
    /// The hashes of the bearer tokens that clients may use; without any, no token is needed.
    pub tokens: Vec<TokenHash>,
    /// How this process connects to other regions.
    pub links: Links,
    /// What a region takes on as the home of tasks.
    pub tasks: TaskLimits,
    /// What the registry of agents takes.
    pub agents: AgentLimits,
    /// What counts how much when an agent is chosen for a task.
    pub matching: Matching,
    /// How the planet's agents are published and found.
    pub ard: Ard,
    /// What clients may ask of a region at once.
    pub limits: WireLimits,
    /// What a region keeps of datasets.
    pub records: DataLimits,
    /// How the log lies on disk.
    pub log: LogLimits,
}

/// Says where a region is, on the Earth and on the net.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Its place on the Earth.
    pub place: Place,
    /// Its city, if that is known.
    pub city: Option<String>,
    /// Its country, as two letters of ISO 3166-1, if that is known.
    pub country: Option<String>,
    /// Where the region listens for clients.
    pub api: SocketAddr,
    /// What clients are told to connect to, if it is not `http://` and [`Self::api`].
    pub url: Option<Url>,
    /// Where other regions connect.
    pub link: SocketAddr,
}

impl Site {
    /// Returns the base URL by which clients reach the region.
    #[must_use]
    pub fn base_url(&self) -> String {
        match &self.url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.api),
        }
    }

    /// Places a region of the catalog at these addresses.
    #[must_use]
    pub fn known(known: &catalog::Known, api: SocketAddr, link: SocketAddr) -> Self {
        let (city, country) = (Some(known.city.to_owned()), Some(known.country.to_owned()));
        Self { place: known.at, city, country, api, url: None, link }
    }
}

/// Says how this process connects to other regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// What all regions of the planet know and nobody else does.
    pub secret: Option<Secret>,
    /// The certificates by which regions recognize each other over TLS.
    pub tls: Option<TlsPaths>,
    /// The most that is sent to each peer in a second.
    pub bytes_per_second_max: Option<ByteSize>,
    /// The most of it that a peer gets of what it missed while it was away.
    pub bulk_bytes_per_second_max: Option<ByteSize>,
    /// The shape in which regions pass on what they write.
    pub topology: Topology,
    /// Addresses to dial in place of a region's own.
    pub via: BTreeMap<RegionId, SocketAddr>,
}

/// Says where the certificates for links lie, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPaths {
    /// The certificate of the region that this process runs.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates of the authorities that are trusted.
    pub authority: PathBuf,
}

impl TlsPaths {
    /// Takes relative paths as relative to a folder.
    #[must_use]
    pub fn within(&self, folder: &Path) -> Self {
        let Self { certificate, key, authority } = self;
        let [certificate, key, authority] = [certificate, key, authority].map(|it| folder.join(it));
        Self { certificate, key, authority }
    }
}

/// Names a planet, by the same rule as regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanetName(RegionId);

impl TryFrom<&str> for PlanetName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        RegionId::try_from(text).map(Self)
    }
}

impl fmt::Display for PlanetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Lists why a configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("failed to read the configuration `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is far too large for a configuration.
    #[error("`{}` has more than {FILE_BYTES_MAX} bytes: is it a configuration?", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file says something that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// No folder for state can be found, because the environment names no home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither `XDG_STATE_HOME` nor `HOME` is set: set `node.data` in the configuration")]
pub struct NoStateFolder;

/// Returns the folder in which programs of this user keep state.
///
/// `env` looks up a variable, as `std::env::var_os` does.
pub fn state_folder(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoStateFolder> {
    // The rule of XDG: a path that is not absolute counts as not set.
    let absolute = |name| env(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let home = || absolute("HOME").map(|it| it.join(".local/state"));
    absolute("XDG_STATE_HOME").or_else(home).ok_or(NoStateFolder)
}

impl Config {
    /// Makes a configuration of `regions` that has the default in all else.
    #[must_use]
    pub fn new(planet: PlanetName, regions: BTreeMap<RegionId, Site>) -> Self {
        let placements = [(PlacementId::global(), regions.keys().copied().collect())].into();
        Self {
            planet,
            regions,
            voters: BTreeSet::new(),
            outside: Outside::Forward,
            push_targets: PushTargets::default(),
            card_key: None,
            placements,
            datasets: Vec::new(),
            data: None,
            tokens: Vec::new(),
            links: Links::default(),
            tasks: TaskLimits::default(),
            agents: AgentLimits::default(),
            matching: Matching::default(),
            ard: Ard::default(),
            limits: WireLimits::default(),
            records: DataLimits::default(),
            log: LogLimits::default(),
        }
    }

    /// Reads and checks a file. Its paths of certificates and keys are relative to its folder.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        if FILE_BYTES_MAX < std::fs::metadata(path).map_err(read)?.len() {
            return Err(LoadError::TooLarge { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let mut config = Self::parse(&path.display().to_string(), &text)?;
        // The folder of `photon.toml` is the empty path, which changes nothing.
        let folder = path.parent().unwrap_or(Path::new(""));
        config.links.tls = config.links.tls.map(|it| it.within(folder));
        config.card_key = config.card_key.map(|it| folder.join(it));
        Ok(config)
    }

    /// Checks the text of a configuration; `file` is named in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let source = Source { file, text };
        let table = DeTable::parse(text).map_err(|error| {
            let end = text.len();
            let span = error.span().unwrap_or(end..end);
            let mut message = error.message().replace('\n', ", ");
            if message == "duplicate key" {
                // The key alone: what follows it may be a secret.
                let key = text.get(span.clone()).and_then(|it| it.split(['=', '\n']).next());
                let key = key.unwrap_or_default().trim();
                message = format!("`{key}` is there twice: remove one of the two");
            }
            source.error(&span, ConfigProblem::Syntax { message })
        })?;
        read::config(&Section::root(source, &table))
    }

    /// Returns the folder in which `region` keeps its state.
    pub fn data_folder(&self, region: RegionId) -> Result<PathBuf, NoStateFolder> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let state = state_folder(|name| std::env::var_os(name))?;
        Ok(state.join("photon").join(self.planet.to_string()).join(region.as_str()))
    }

    /// Returns where this process dials to reach `region`, if the planet has that region.
    #[must_use]
    pub fn dial(&self, region: RegionId) -> Option<SocketAddr> {
        let via = self.links.via.get(&region).copied();
        via.or_else(|| self.regions.get(&region).map(|it| it.link))
    }
}
