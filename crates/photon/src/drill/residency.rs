//! Looks for work and records of a placement in regions outside it: in their lists, on their disks.
//! Must not say that nothing is there unless it would have been found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::Drilled;
use super::audit::Known;
use super::ledger::Evidence;
use super::planet::{At, Planet};

/// What may live in one placement only.
#[derive(Clone, Debug)]
pub(super) struct Confined {
    pub(super) placement: String,
    pub(super) inside: BTreeSet<At>,
    pub(super) dataset: String,
    /// In the text of its tasks, and in the keys and values of its records.
    pub(super) canary: String,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Residency {
    /// Whether it was looked for in a way that would have found something.
    pub(super) is_checked: bool,
    /// What was looked at, or why nothing was.
    pub(super) text: String,
    /// What was found outside the placement.
    pub(super) violations: Evidence,
}

impl Confined {
    /// Chooses a placement that leaves out the hit region, or another one that leaves out any.
    pub(super) fn choose(planet: &Planet, hit: Option<At>, run: &str) -> Option<Self> {
        let leaves_out = |inside: &BTreeSet<At>| hit.is_some_and(|it| !inside.contains(&it));
        let best = planet.placements.iter().find(|(_, inside)| leaves_out(inside));
        let (placement, inside) = best.or_else(|| planet.placements.iter().next())?;
        Some(Self {
            placement: placement.clone(),
            inside: inside.clone(),
            dataset: format!("drill-{run}-confined"),
            canary: format!("canary{:032x}", fastrand::u128(..)),
        })
    }
}

/// Looks for the canary, in what regions list and in what they keep.
pub(super) async fn check(drilled: &Drilled, known: &Known) -> Residency {
    let Some(confined) = &drilled.confined else {
        let text = "not checked: every placement of the planet has all regions; start it with \
                    `photon up --placement eu=eu-west-1,..`";
        return Residency { text: text.to_owned(), ..Residency::default() };
    };
    let mut found = Residency::default();
    look_through_lists(drilled, confined, known, &mut found);
    let (mut outside, mut inside) = (0, 0);
    for (at, site) in drilled.planet.sites.iter().enumerate() {
        let (folder, canary) = (site.folder.clone(), confined.canary.clone());
        let looking = tokio::task::spawn_blocking(move || files_with(&folder, canary.as_bytes()));
        let files = looking.await.unwrap_or_default();
        if confined.inside.contains(&at) {
            inside += files.len();
            continue;
        }
        outside += 1;
        for file in files {
            let what = json!({"region": drilled.planet.name(at), "file": file});
            found.violations.push(what);
        }
    }
    let placement = &confined.placement;
    found.is_checked = 0 < inside;
    found.text = if found.is_checked {
        format!("`{placement}` looked for in the lists and folders of {outside} regions outside it")
    } else {
        format!("not checked: no region of `{placement}` has what was looked for, either")
    };
    found
}

/// Looks through what regions outside list. One that is asked for a task by its name may hand the
/// question on, but a list is of what is here.
fn look_through_lists(
    drilled: &Drilled,
    confined: &Confined,
    known: &Known,
    found: &mut Residency,
) {
    let book = drilled.ledger.book();
    let confined_tasks = || book.accepted.values().filter(|it| it.placement.is_some());
    let is_outside = |at: &At| !confined.inside.contains(at);
    for at in (0..drilled.planet.sites.len()).filter(is_outside) {
        for task in confined_tasks().filter(|it| known.is_listed(at, &it.id)) {
            let region = drilled.planet.name(at);
            found.violations.push(json!({"region": region, "lists_task": task.id}));
        }
    }
}

/// Returns the files below a folder that have the bytes.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if fs::read(&path).is_ok_and(|it| memchr::memmem::find(&it, bytes).is_some()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_wherever_they_lie_below_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::create_dir(&log).unwrap();
        fs::write(log.join("1.seg"), b"\0\0a canary17 sings\0").unwrap();
        fs::write(folder.path().join("photon.log"), b"nobody sings").unwrap();
        let check = |bytes: &str, expected: usize| {
            assert_eq!(files_with(folder.path(), bytes.as_bytes()).len(), expected, "{bytes}");
        };
        check("canary17", 1);
        check("sings", 2);
        check("canary18", 0);
    }
}
