//! Certificates for the links of regions that are measured.
//! Must not know how links use them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use photon_node::{Authority, TlsFiles, Validity};
use photon_state::RegionId;

/// Makes an authority, and a certificate for each region, in a folder.
pub(crate) fn certificates<const N: usize>(
    folder: &Path,
    planet: &str,
    regions: [&str; N],
) -> anyhow::Result<[TlsFiles; N]> {
    let validity = Validity::days(SystemTime::now(), 1);
    let (authority, kept) = Authority::make(planet, validity)?;
    std::fs::write(folder.join("ca.pem"), kept.certificate)?;
    let files = regions.map(|name| TlsFiles {
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
        authority: folder.join("ca.pem"),
    });
    for (name, files) in regions.iter().zip(&files) {
        let issued = authority.issue(RegionId::try_from(*name)?, validity)?;
        write_private(&files.key, &issued.key)?;
        std::fs::write(&files.certificate, issued.certificate)?;
    }
    Ok(files)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
