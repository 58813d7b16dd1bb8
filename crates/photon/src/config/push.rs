//! Reads and writes where push notifications may be sent.
//! Must not judge an address.

use photon_edge::PushTargets;

use super::ConfigError;
use super::dataset::chosen;
use super::section::Value;

const ALL: [(&str, PushTargets); 3] =
    [("https", PushTargets::Https), ("public", PushTargets::Public), ("any", PushTargets::Any)];

/// Reads it.
pub(super) fn targets(value: &Value<'_>) -> Result<PushTargets, ConfigError> {
    let named = |name: &str| ALL.iter().find(|it| it.0 == name).map(|it| it.1);
    chosen(value, named, "\"https\", \"public\" or \"any\"")
}

/// Writes it.
pub(super) fn render(targets: PushTargets) -> String {
    let found = ALL.iter().find(|it| it.1 == targets).expect("each has a name");
    format!("push_targets = \"{}\"\n", found.0)
}
