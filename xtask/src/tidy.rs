//! The rules of the house that no compiler keeps, over all files of the repository.
//! Must not change a file: it only complains.

mod dependencies;
mod links;
mod ratchet;
mod source;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context;

/// The most lines of `ARCHITECTURE.md`, so that it stays worth reading.
const ARCHITECTURE_LINES_MAX: usize = 200;
/// Folders that hold nothing of ours; those that begin with a dot are passed over too.
const NOT_OURS: [&str; 2] = ["target", "node_modules"];

/// Says which rule is broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    path: String,
    line: usize,
    text: String,
}

impl Complaint {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// Checks the repository at `root`, and returns what is wrong in the order of the files.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Complaint>> {
    let mut paths = Vec::new();
    list(root, "", &mut paths)?;
    paths.sort();
    let mut complaints = Vec::new();
    let mut excesses = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(root.join(path));
        let text = text.with_context(|| format!("failed to read `{path}`"))?;
        if path.ends_with(".rs") {
            complaints.extend(source::check(path, &text));
            excesses.extend(source::excesses(path, &text));
        } else if path.ends_with(".md") {
            complaints.extend(links::check(path, &text, |target| root.join(target).exists()));
        } else {
            complaints.extend(dependencies::check(path, &text)?);
        }
        if path == "ARCHITECTURE.md" && ARCHITECTURE_LINES_MAX < text.lines().count() {
            let rule = format!("is longer than {ARCHITECTURE_LINES_MAX} lines");
            complaints.push(Complaint::new(path, ARCHITECTURE_LINES_MAX + 1, rule));
        }
    }
    let allowed = fs::read_to_string(root.join(ratchet::PATH));
    let allowed = allowed.with_context(|| format!("failed to read `{}`", ratchet::PATH))?;
    complaints.extend(ratchet::check(&allowed, &excesses));
    Ok(complaints)
}

/// Lists the files that a rule is about, relative to `root`.
fn list(root: &Path, folder: &str, paths: &mut Vec<String>) -> anyhow::Result<()> {
    let entries = fs::read_dir(root.join(folder));
    for entry in entries.with_context(|| format!("failed to list `{folder}`"))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&name) {
            list(root, &path, paths)?;
        }
        let has_rule = name == "Cargo.toml" || name.ends_with(".rs") || name.ends_with(".md");
        if kind.is_file() && has_rule {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let complaints = check(&crate::root().unwrap()).unwrap();
        let report: Vec<_> = complaints.iter().map(Complaint::to_string).collect();
        assert!(report.is_empty(), "\n{}\n", report.join("\n"));
    }

    #[test]
    fn every_kind_of_file_is_checked_in_every_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(ratchet::PATH, "");
        write("ARCHITECTURE.md", &"word\n".repeat(201));
        write("crates/a/Cargo.toml", "[package]\nname = \"photon-stat\"");
        write("crates/a/src/deep/a.rs", "fn a() {}\n");
        write("docs/page.md", "[gone](gone.md)");
        write("target/a.rs", "fn a() {}\n");
        write(".hidden/a.rs", "fn a() {}\n");
        let complaints = check(folder.path()).unwrap();
        let paths: Vec<_> = complaints.iter().map(|it| it.path.as_str()).collect();
        let expected =
            ["ARCHITECTURE.md", "crates/a/Cargo.toml", "crates/a/src/deep/a.rs", "docs/page.md"];
        assert_eq!(paths, expected);
    }
}
