//! Links of the documentation point to files that are there.
//! Must not ask the net: addresses of others are passed over.

use super::Complaint;

/// Checks the links of one page; `exists` tells whether the repository has a path.
pub(super) fn check(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Complaint> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut complaints = Vec::new();
    let mut is_in_fence = false;
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_in_fence = !is_in_fence;
        }
        if is_in_fence {
            continue;
        }
        for target in targets(line) {
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
            let file = target.split('#').next().unwrap_or_default();
            if is_elsewhere || file.is_empty() {
                continue;
            }
            if !resolve(folder, file).is_some_and(|it| exists(&it)) {
                complaints.push(Complaint::new(path, i + 1, format!("no file `{target}`")));
            }
        }
    }
    complaints
}

/// Finds the targets of `[text](target)` and `[text]: target` outside of `code`.
fn targets(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect();
    let mut targets: Vec<_> = prose
        .split("](")
        .skip(1)
        .filter_map(|it| it.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect();
    if prose.starts_with('[')
        && let Some((_, target)) = prose.split_once("]: ")
    {
        targets.push(target.to_owned());
    }
    // A title may follow the target: [text](target "title").
    targets.iter().filter_map(|it| it.split_whitespace().next()).map(str::to_owned).collect()
}

/// Returns the path from the root, unless it leaves the repository.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let base = if target.starts_with('/') { "" } else { folder };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn missing(text: &str, expected: &[&str]) {
        let there = ["README.md", "docs/a.md", "docs/sub/b.md", ""];
        let complaints = check("docs/page.md", text, |path| there.contains(&path));
        let complaints: Vec<_> = complaints.iter().map(Complaint::to_string).collect();
        assert_eq!(complaints, expected);
    }

    #[test]
    fn a_link_to_a_file_that_is_there_is_fine() {
        missing("[a](a.md) and [b](sub/b.md#part \"title\"), [up](../README.md), [all](..)", &[]);
        missing("[root](/README.md)\n[a]: a.md\n[part](#part)", &[]);
        missing("[x](https://example.org/x) [y](mailto:y@example.org)", &[]);
    }

    #[test]
    fn a_link_to_nothing_is_reported_with_its_line() {
        missing("\n[c](c.md)", &["docs/page.md:2: no file `c.md`"]);
        missing("[a](a.md) [r](README.md#x)", &["docs/page.md:1: no file `README.md#x`"]);
        missing("[c]: c.md", &["docs/page.md:1: no file `c.md`"]);
        missing("![picture](c.png)", &["docs/page.md:1: no file `c.png`"]);
        missing("[out](../../README.md)", &["docs/page.md:1: no file `../../README.md`"]);
    }

    #[test]
    fn code_has_no_links() {
        missing("```\n[c](c.md)\n```\nuse `[c](c.md)`, `a[0](1)`", &[]);
    }
}
