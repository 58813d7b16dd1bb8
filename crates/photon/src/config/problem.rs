//! What can be wrong with a configuration: where it is, what it is, and what to do.
//! Must not print secrets, even those that stand in the wrong place.

use std::net::SocketAddr;

use photon_state::NameError;

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Box<ConfigProblem>,
}

/// Lists what can be wrong with a configuration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigProblem {
    /// The file is no TOML.
    #[error("{message}")]
    Syntax {
        /// What the parser of TOML says.
        message: String,
    },
    /// A key has no meaning.
    #[error("unknown key `{key}`, {hint}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The nearest known key, or all of them.
        hint: String,
    },
    /// A key that has no default is not there.
    #[error("the key `{key}` is missing: set it to {expected}")]
    Missing {
        /// The key.
        key: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// A key holds a value of the wrong type or form.
    #[error("`{key}` is {found}, but must be {expected}")]
    Wrong {
        /// The key.
        key: String,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A key holds a value that is too small or too large.
    #[error("`{key}` is {value}, but must be between {min} and {max}")]
    OutOfBounds {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
        /// The least that it may hold.
        min: String,
        /// The most that it may hold.
        max: String,
    },
    /// A list or table has too many entries.
    #[error("`{key}` has {count} entries, but may have {max} at most")]
    TooMany {
        /// The key.
        key: String,
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// Two names, of regions or of placements, cannot be told apart where only their tags are kept.
    #[error("`{key}` and `{other}` have the same tag of 16 bits: rename one of them")]
    TagTwice {
        /// The later one.
        key: String,
        /// The earlier one.
        other: String,
    },
    /// A planet, region or placement has a name that cannot be one.
    #[error("`{key}`: {source}")]
    Name {
        /// The key.
        key: String,
        /// Why not.
        source: NameError,
    },
    /// A key names a region that the planet does not have.
    #[error("`{key}` names `{region}`, which is no region of this planet, {hint}")]
    UnknownRegion {
        /// The key.
        key: String,
        /// The name.
        region: String,
        /// The nearest region, or all of them.
        hint: String,
    },
    /// A region is neither in the catalog nor has a place.
    #[error(
        "the place of `{key}` is not known{}: give its `latitude` and `longitude`",
        did_you_mean(.nearest.as_deref())
    )]
    NoPlace {
        /// The region's key.
        key: String,
        /// The nearest name in the catalog.
        nearest: Option<String>,
    },
    /// A placement would change what `global` means.
    #[error("`placements.global` is always all regions: choose another name")]
    GlobalRedefined,
    /// Two listeners cannot share an address.
    #[error("`{key}` and `{other}` are both `{address}`: give each its own port")]
    AddressTwice {
        /// The key.
        key: String,
        /// The key that had the address before.
        other: String,
        /// The address.
        address: SocketAddr,
    },
    /// Nobody can connect to an address.
    #[error("`{key}` is `{address}`, to which nobody can connect: give an address and a port")]
    NoTarget {
        /// The key.
        key: String,
        /// The address.
        address: SocketAddr,
    },
    /// An address or a URL is open to others, and anybody could use it.
    #[error(
        "`{key}` is `{target}`, which is not loopback: \
         run `photon token new` and put the hash that it prints into `listen.tokens`"
    )]
    TokenNeeded {
        /// The key.
        key: String,
        /// The address or URL.
        target: String,
    },
    /// An address is open to others, and anybody could pose as a region.
    #[error(
        "`{key}` is `{address}`, which is not loopback: \
         give its links certificates (`links.certificate`, `key` and `authority`; see \
         `photon planet ca --help`), or set `links.secret` to the same 16 characters or more in \
         all regions"
    )]
    SecretNeeded {
        /// The key.
        key: String,
        /// The address.
        address: SocketAddr,
    },
    /// A dataset is declared as none can be.
    #[error("`{key}`: {rule}")]
    Dataset {
        /// The key.
        key: String,
        /// How it should be.
        rule: String,
    },
    /// A topology is asked for that none can be.
    #[error("`{key}`: {rule}")]
    Topology {
        /// The key.
        key: String,
        /// How it should be.
        rule: String,
    },
    /// A message that the limit of tasks allows could not be sent.
    #[error(
        "`tasks.input_bytes_max` is {input}, more than `limits.body_bytes_max`, which is {body}"
    )]
    InputOverBody {
        /// The larger.
        input: String,
        /// The smaller.
        body: String,
    },
}

/// Suggests the nearest name; without one it says nothing.
fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|it| format!(" (did you mean `{it}`?)")).unwrap_or_default()
}
