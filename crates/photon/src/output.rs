//! All that `photon` prints: results to standard output, remarks to standard error.
//! Must not know what is printed, nor do it twice in two formats.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

/// Chooses the form of results: the value of `--output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables and sentences, for people.
    #[default]
    Table,
    /// JSON, for programs.
    Json,
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Something is wrong.
    Bad,
    /// Something needs attention.
    Odd,
    /// Less important than the rest.
    Faint,
    /// More important than the rest.
    Strong,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Odd => "33",
            Self::Faint => "2",
            Self::Strong => "1",
        }
    }
}

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// It goes to a terminal that shows colours.
    On,
    /// It goes to a file or a pipe, or the user wants none.
    Off,
}

impl Colour {
    fn of(stream: &impl io::IsTerminal) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|it| !it.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|it| it == "dumb");
        if is_set("NO_COLOR") || is_dumb || !stream.is_terminal() { Self::Off } else { Self::On }
    }

    /// Paints the text, if it may be coloured.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        match self {
            Self::On => format!("\x1b[{}m{text}\x1b[0m", tone.code()),
            Self::Off => text.to_owned(),
        }
    }
}

/// Prints. A closed standard output is an error that the caller passes up, like any other.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// The form of results.
    pub format: Format,
    /// Whether standard output is coloured.
    pub colour: Colour,
    /// Whether standard error is coloured.
    pub remark_colour: Colour,
}

impl Output {
    /// Prints in this form, and in colour where the terminal and the user want it.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let (colour, remark_colour) = (Colour::of(&io::stdout()), Colour::of(&io::stderr()));
        Self { format, colour, remark_colour }
    }

    /// Prints a line of a result.
    pub fn line(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }

    /// Prints a piece of a result as it is, at once.
    pub fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Prints a value as JSON: on several lines.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string_pretty(value).map_err(io::Error::other)?)
    }

    /// Prints a value as one line of JSON, for a stream of them.
    pub fn json_line(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string(value).map_err(io::Error::other)?)
    }

    /// Prints a table.
    pub fn table(&self, table: &Table) -> io::Result<()> {
        self.raw(table.render(self.colour).as_bytes())
    }

    /// Prints a remark to standard error. If nobody can read it, nothing is lost.
    pub fn remark(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Prints a remark with a coloured word before it.
    pub fn remark_as(&self, tone: Tone, word: &str, text: &str) {
        self.remark(&format!("{} {text}", self.remark_colour.paint(tone, word)));
    }

    /// Whether people look at standard output.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Whether people look at standard error.
    #[must_use]
    pub fn is_remark_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }
}

/// Rows under headings, each column as wide as its widest cell.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Debug)]
struct Column {
    heading: String,
    side: Side,
}

/// The side of its column to which a cell keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// One cell of a table. Control characters are taken out: names come from strangers.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: printable(&text.into()), tone: None }
    }
}

impl Cell {
    /// Makes a cell with a colour.
    #[must_use]
    pub fn toned(tone: Tone, text: &str) -> Self {
        Self { text: printable(text), tone: Some(tone) }
    }
}

impl Table {
    /// Begins a table. A heading that begins with `>` stands over numbers, which keep right.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        let column = |heading: &&str| match heading.strip_prefix('>') {
            Some(heading) => Column { heading: heading.to_owned(), side: Side::Right },
            None => Column { heading: (*heading).to_owned(), side: Side::Left },
        };
        Self { columns: headings.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row. Panics unless it has a cell for each heading.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<_> = cells.into_iter().collect();
        assert_eq!(row.len(), self.columns.len(), "a row has a cell for each heading");
        self.rows.push(row);
    }

    /// Returns the table as text.
    #[must_use]
    pub fn render(&self, colour: Colour) -> String {
        let headings: Vec<_> =
            self.columns.iter().map(|it| Cell::toned(Tone::Faint, &it.heading)).collect();
        let all = || std::iter::once(&headings).chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| all().map(|row| width(&row[i].text)).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in all() {
            let cells = row.iter().zip(&self.columns).zip(&widths);
            let line: Vec<_> = cells
                .map(|((cell, column), columns)| cell.render(column.side, *columns, colour))
                .collect();
            let _ = writeln!(text, "{}", line.join("  ").trim_end());
        }
        text
    }
}

impl Cell {
    fn render(&self, side: Side, columns: usize, colour: Colour) -> String {
        let space = " ".repeat(columns.saturating_sub(width(&self.text)));
        let text = match self.tone {
            Some(tone) => colour.paint(tone, &self.text),
            None => self.text.clone(),
        };
        match side {
            Side::Left => text + &space,
            Side::Right => space + &text,
        }
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Takes out what could move the cursor or change colours.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["REGION", ">LAG", "API"]);
        table.row(["eu-west-1".into(), "7".into(), "x".into()]);
        table.row([Cell::toned(Tone::Bad, "é"), "1234".into(), "a\x1b[2Jb".into()]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_keep_right() {
        let expected = "REGION      LAG  API\n\
                        eu-west-1     7  x\n\
                        é          1234  a\u{fffd}[2Jb\n";
        assert_eq!(table().render(Colour::Off), expected);
    }

    #[test]
    fn colours_take_no_room() {
        let coloured = table().render(Colour::On);
        assert!(coloured.contains("\x1b[31mé\x1b[0m          1234"), "{coloured:?}");
    }
}
