//! The certificates of a planet on one machine, made anew at each start by an authority whose key
//! is never written, and the key that it signs Agent Cards with. Must not know who uses them.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use photon_edge::CardKey;
use photon_node::{Authority, Validity};
use photon_state::RegionId;

use super::child::write_private;
use crate::config::TlsPaths;

/// No planet on one machine runs for longer.
const DAYS: u32 = 3_650;

/// Names the files of a region within a folder.
pub(super) fn paths(folder: &Path, region: RegionId) -> TlsPaths {
    TlsPaths {
        certificate: folder.join(format!("{region}.pem")),
        key: folder.join(format!("{region}.key")),
        authority: folder.join("ca.pem"),
    }
}

/// Makes an authority and what it issues to each region.
pub(super) fn make(folder: &Path, planet: &str, regions: &[RegionId]) -> Result<()> {
    let validity = Validity::days(SystemTime::now(), DAYS);
    let (authority, kept) = Authority::make(planet, validity)?;
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for region in regions {
        let TlsPaths { certificate, key, authority: ca } = paths(folder, *region);
        let issued = authority.issue(*region, validity)?;
        files.extend([(certificate, issued.certificate), (key, issued.key)]);
        files.push((ca, kept.certificate.clone()));
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("failed to make `{}`", folder.display()))?;
    for (path, text) in files {
        let written = write_private(&path, &text);
        written.with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    Ok(())
}

/// Makes the key that Agent Cards are signed with, unless there is one: who trusts it shall know
/// the planet again.
pub(super) fn make_card_key(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    // Beside it first: half of a key would keep all regions from starting.
    let beside = path.with_extension("new");
    let written = write_private(&beside, &CardKey::make());
    let written = written.and_then(|()| fs::rename(&beside, path));
    written.with_context(|| format!("failed to write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn each_start_makes_certificates_anew_and_their_keys_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let tls = folder.path().join("tls");
        let regions = ["a", "b"].map(|it| RegionId::try_from(it).unwrap());
        let make_and_read = || {
            make(&tls, "dev", &regions).unwrap();
            let path = paths(&tls, regions[0]).key;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::read_to_string(path).unwrap()
        };
        assert_ne!(make_and_read(), make_and_read());
    }
}
