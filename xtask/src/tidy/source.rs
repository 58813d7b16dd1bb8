//! Files say what they are, lines fit the screen, functions and files fit the head.
//! Must not parse Rust: it relies on the indents that rustfmt makes.

use super::Complaint;

/// The most columns of a line.
const COLUMNS_MAX: usize = 100;
/// The most lines of a file, beyond which the ratchet is asked.
const FILE_LINES_MAX: usize = 500;
/// The most lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Something that is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    /// The file.
    pub(super) path: String,
    /// Where the thing begins.
    pub(super) line: usize,
    /// Its name in the ratchet: the file, and the function if it is one.
    pub(super) what: String,
    /// How long it is.
    pub(super) lines: usize,
    /// How long it may be.
    pub(super) lines_max: usize,
}

/// Checks what has no exceptions.
pub(super) fn check(path: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if !text.starts_with("//! ") {
        complaints.push(Complaint::new(path, 1, "begin with `//!` and say what this file is"));
    }
    for (i, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        // An address cannot be broken.
        if COLUMNS_MAX < columns && !line.contains("://") {
            let rule = format!("has {columns} columns, more than {COLUMNS_MAX}");
            complaints.push(Complaint::new(path, i + 1, rule));
        }
    }
    complaints
}

/// Finds what is too long, of which the ratchet may allow some.
pub(super) fn excesses(path: &str, text: &str) -> Vec<Excess> {
    let file = Excess {
        path: path.to_owned(),
        line: 1,
        what: path.to_owned(),
        lines: text.lines().count(),
        lines_max: FILE_LINES_MAX,
    };
    let functions = functions(text).into_iter().map(|it| Excess {
        path: path.to_owned(),
        line: it.line,
        what: format!("{path} fn {}", it.name),
        lines: it.lines,
        lines_max: FUNCTION_LINES_MAX,
    });
    functions.chain([file]).filter(|it| it.lines_max < it.lines).collect()
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// Finds the functions of a text that rustfmt has formatted.
fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(i, line)| Some((i, function_name(line)?)));
    starts
        .filter_map(|(i, name)| {
            Some(Function { name, line: i + 1, lines: function_lines(&lines[i..])? })
        })
        .collect()
}

/// Returns the name of the function whose signature begins on this line, if one does.
fn function_name(line: &str) -> Option<&str> {
    const QUALIFIERS: [&str; 7] = ["pub", "const", "async", "unsafe", "extern", "\"C\"", "default"];
    let mut rest = line.trim_start();
    loop {
        if let Some(name) = rest.strip_prefix("fn ") {
            return name.split(|it: char| !it.is_alphanumeric() && it != '_').next();
        }
        if let Some(scope) = rest.strip_prefix("pub(") {
            rest = scope.split_once(") ")?.1;
            continue;
        }
        let (word, tail) = rest.split_once(' ')?;
        if !QUALIFIERS.contains(&word) {
            return None;
        }
        rest = tail;
    }
}

/// Counts the lines of the function that begins on the first line; `None` if it has no body.
fn function_lines(lines: &[&str]) -> Option<usize> {
    let code = |line: &str| line.split(" // ").next().unwrap_or_default().trim_end().to_owned();
    let is_end_of_signature = |line: &&str| code(line).ends_with(['{', '}', ';']);
    let body = lines.iter().position(is_end_of_signature)?;
    let last = code(lines[body]);
    if last.ends_with('}') {
        return Some(body + 1);
    }
    if last.ends_with(';') {
        return None;
    }
    let indent = lines[0].len() - lines[0].trim_start().len();
    let closing = format!("{}}}", &lines[0][..indent]);
    let end = lines[body..].iter().position(|line| *line == closing)?;
    Some(body + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(text: &str, expected: &[(&str, usize, usize)]) {
        let functions: Vec<_> =
            functions(text).iter().map(|it| (it.name, it.line, it.lines)).collect();
        assert_eq!(functions, expected, "{text}");
    }

    #[test]
    fn functions_are_found_in_every_dress() {
        found("fn a() {}", &[("a", 1, 1)]);
        found("fn a() {\n    b();\n}", &[("a", 1, 3)]);
        found("pub async fn a() {\n    b();\n}", &[("a", 1, 3)]);
        found("pub(crate) const unsafe fn a_1() {\n    b();\n}", &[("a_1", 1, 3)]);
        found("pub(in a::b) extern \"C\" fn a() {\n}", &[("a", 1, 2)]);
        found("fn a(\n    b: B,\n) -> C\nwhere\n    B: D,\n{\n    b()\n}", &[("a", 1, 8)]);
        found("fn a() { // why\n    b();\n}", &[("a", 1, 3)]);
    }

    #[test]
    fn functions_in_functions_and_blocks_are_measured_by_their_indent() {
        let nested = [
            "impl A {",
            "    fn a() {",
            "        fn b() {",
            "        }",
            "        if c {",
            "        }",
            "    }",
            "",
            "    fn d(&self);",
            "}",
        ]
        .join("\n");
        found(&nested, &[("a", 2, 6), ("b", 3, 2)]);
    }

    #[test]
    fn what_only_looks_like_a_function_is_none() {
        found("// fn a() {\nlet fn_a = 1;\ntype F = fn(A) -> B;\nuse a::fn_b;", &[]);
        found("trait A {\n    fn a(\n        &self,\n    ) -> B;\n}", &[]);
    }

    #[test]
    fn what_is_too_long_is_reported_and_what_just_fits_is_not() {
        let function = |lines: usize| format!("fn a() {{\n{}}}\n", "    b();\n".repeat(lines - 2));
        assert_eq!(excesses("a.rs", &function(FUNCTION_LINES_MAX)), []);
        let long = excesses("a.rs", &function(FUNCTION_LINES_MAX + 1));
        assert_eq!(long[0].what, "a.rs fn a");
        assert_eq!(long[0].lines, 71);
        assert_eq!(excesses("a.rs", &"\n".repeat(FILE_LINES_MAX)), []);
        assert_eq!(excesses("a.rs", &"\n".repeat(FILE_LINES_MAX + 1))[0].what, "a.rs");
    }

    #[test]
    fn a_file_says_what_it_is_and_its_lines_fit() {
        let texts = |text: &str| check("a.rs", text).iter().map(Complaint::to_string).collect();
        let complaints: Vec<String> = texts("//! Says it.\n");
        assert!(complaints.is_empty());
        let complaints: Vec<String> = texts("// Says nothing.\n");
        assert_eq!(complaints, ["a.rs:1: begin with `//!` and say what this file is"]);
        let complaints: Vec<String> = texts(&format!("//! Says it.\n{}\n", "é".repeat(101)));
        assert_eq!(complaints, ["a.rs:2: has 101 columns, more than 100"]);
        let complaints: Vec<String> = texts(&format!("//! Says it.\n{}\n", "é".repeat(100)));
        assert!(complaints.is_empty());
    }
}
