//! `photon planet ca`: the certificates by which the regions of a planet recognize each other.
//! Must not overwrite a file, nor print a key.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use photon_node::{Authority, Credentials, Validity, certificate_name};
use serde::Serialize;

use super::show;
use crate::cli::{Ca, CaIssue, CaNew};
use crate::exit::{Exit, NotFoundError, RefusedError};
use crate::output::Output;

/// What was made, as `--output json` shows it.
#[derive(Serialize)]
struct Made {
    planet: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    certificate: PathBuf,
    key: PathBuf,
    not_after: String,
}

/// The two files of a certificate.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(folder: &Path, stem: &str) -> Self {
        let of = |end| folder.join(format!("{stem}.{end}"));
        Self { certificate: of("pem"), key: of("key") }
    }
}

pub(super) fn run(command: &Ca, output: Output) -> Result<Exit> {
    match command {
        Ca::New(options) => new(options, output),
        Ca::Issue(options) => issue(options, output),
    }
}

fn new(options: &CaNew, output: Output) -> Result<Exit> {
    let planet = options.planet.to_string();
    let validity = Validity::days(SystemTime::now(), options.days);
    let (_, kept) = Authority::make(&planet, validity)?;
    let files = Files::new(&options.out, "ca");
    write(&options.out, &files, &kept)?;
    let Files { certificate, key } = files;
    let not_after = rfc3339(validity.until);
    let made = Made { planet, region: None, name: None, certificate, key, not_after };
    show(output, &made, |it| {
        output.line(&format!("certificate  {}", it.certificate.display()))?;
        output.line("             Every region needs it: `links.authority`.")?;
        output.line(&format!("key          {}", it.key.display()))?;
        output
            .line("             Who has it can pose as any region: keep it away from them all.")?;
        output.line(&format!("valid until  {}", it.not_after))
    })
}

fn issue(options: &CaIssue, output: Output) -> Result<Exit> {
    let (planet, region) = (options.planet.to_string(), options.region);
    let kept = Files::new(&options.ca, "ca");
    let kept = Credentials { certificate: read(&kept.certificate)?, key: read(&kept.key)? };
    let authority = Authority::open(&planet, &kept)?;
    let validity = Validity::days(SystemTime::now(), options.days);
    let issued = authority.issue(region, validity)?;
    let files = Files::new(&options.out, region.as_str());
    write(&options.out, &files, &issued)?;
    let name = Some(certificate_name(&planet, region)?);
    let Files { certificate, key } = files;
    let (region, not_after) = (Some(region.to_string()), rfc3339(validity.until));
    let made = Made { planet, region, name, certificate, key, not_after };
    show(output, &made, |it| {
        output.line(&format!("certificate  {}", it.certificate.display()))?;
        output.line(&format!("key          {}", it.key.display()))?;
        output.line(&format!("valid until  {}", it.not_after))?;
        let authority = options.ca.join("ca.pem");
        output.line(&format!(
            "config       [links]\n             certificate = {:?}",
            it.certificate
        ))?;
        output.line(&format!("             key = {:?}", it.key))?;
        output.line(&format!("             authority = {authority:?}"))
    })
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text =
                format!("there is no `{shown}`: make an authority with `photon planet ca new`");
            Err(NotFoundError(text).into())
        }
        Err(error) => Err(error).with_context(|| format!("failed to read `{shown}`")),
    }
}

/// Writes both files, or none: the key first, for its owner alone.
fn write(folder: &Path, files: &Files, credentials: &Credentials) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("failed to make `{}`", folder.display()))?;
    if files.certificate.exists() {
        return Err(refused(&files.certificate).into());
    }
    create(&files.key, &credentials.key, 0o600)?;
    create(&files.certificate, &credentials.certificate, 0o644).inspect_err(|_| {
        let _ = fs::remove_file(&files.key); // Ours, and of no use without the certificate.
    })
}

fn create(path: &Path, text: &str, mode: u32) -> Result<()> {
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(refused(path).into());
        }
        created => created.with_context(|| format!("failed to make `{}`", path.display()))?,
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("failed to write `{}`", path.display()))
}

fn refused(path: &Path) -> RefusedError {
    let shown = path.display();
    RefusedError(format!("`{shown}` is there already and is left alone: choose another --out"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, Planet};
    use crate::output::Format;

    fn photon(args: &[&str]) -> Result<Exit> {
        let cli = Cli::try_parse_from([&["photon", "planet", "ca"], args].concat()).unwrap();
        let Command::Planet(Planet::Ca(command)) = cli.command else { panic!("another command") };
        run(&command, Output::new(Format::Json))
    }

    #[test]
    fn an_authority_issues_certificates_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().to_str().unwrap();
        let new = ["new", "--planet", "p", "--out", folder];
        let issue = ["issue", "--ca", folder, "--planet", "p", "--region", "a", "--out", folder];
        let check = |args: &[&str], code, expected: &str| {
            let error = photon(args).unwrap_err();
            assert_eq!(Exit::of(&error), code, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&issue, Exit::NotFound, "make an authority with `photon planet ca new`");
        photon(&new).unwrap();
        check(&new, Exit::Refused, "ca.pem` is there already");
        photon(&issue).unwrap();
        check(&issue, Exit::Refused, "a.pem` is there already");
        fs::remove_file(Path::new(folder).join("a.pem")).unwrap();
        check(&issue, Exit::Refused, "a.key` is there already");
        assert!(!Path::new(folder).join("a.pem").exists());
        for key in ["ca.key", "a.key"] {
            let mode = fs::metadata(Path::new(folder).join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        let other = ["issue", "--ca", folder, "--planet", "q", "--region", "b", "--out", folder];
        check(&other, Exit::Usage, "an authority of the planet `q`");
        let bad = ["issue", "--ca", folder, "--planet", "p", "--region", "b-", "--out", folder];
        check(&bad, Exit::Usage, "cannot stand in a certificate");
    }
}
