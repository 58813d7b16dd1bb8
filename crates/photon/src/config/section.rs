//! Reads values out of a parsed file, and knows the line of each for errors.
//! Must not know which keys there are.

use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::measure::Measure;
use super::problem::{ConfigError, ConfigProblem};
use crate::nearest::nearest;

/// The file that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error(&self, span: &Range<usize>, problem: ConfigProblem) -> ConfigError {
        let before = self.text.as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        ConfigError { file: self.file.to_owned(), line, problem: Box::new(problem) }
    }
}

/// A table of the file; one that is not there is empty.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    source: Source<'a>,
    path: String,
    span: Range<usize>,
    table: Option<&'a DeTable<'a>>,
}

/// A value of the file, with the key that holds it.
#[derive(Clone, Debug)]
pub(super) struct Value<'a> {
    source: Source<'a>,
    path: String,
    span: Range<usize>,
    value: &'a DeValue<'a>,
    is_secret: bool,
}

impl<'a> Section<'a> {
    pub(super) fn root(source: Source<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self { source, path: String::new(), span: 0..0, table: Some(table.get_ref()) }
    }

    /// Refuses every key but `known`, and suggests the nearest of them.
    pub(super) fn refuse_unknown(&self, known: &[&str]) -> Result<(), ConfigError> {
        for key in self.table.iter().flat_map(|it| it.keys()) {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let hint = hint(name, known.iter().copied(), |it| self.path_of(it));
                let problem = ConfigProblem::UnknownKey { key: self.path_of(name), hint };
                return Err(self.source.error(&key.span(), problem));
            }
        }
        Ok(())
    }

    /// Returns the value of a key, if it has one.
    pub(super) fn find(&self, key: &str) -> Option<Value<'a>> {
        let value = self.table?.get(key)?;
        Some(self.value(key, value))
    }

    /// Returns the value of a key that has no default.
    pub(super) fn require(
        &self,
        key: &str,
        expected: &'static str,
    ) -> Result<Value<'a>, ConfigError> {
        let missing = || ConfigProblem::Missing { key: self.path_of(key), expected };
        self.find(key).ok_or_else(|| self.error(missing()))
    }

    /// Returns the table of a key; it is empty if the key is not there.
    pub(super) fn section(&self, key: &str) -> Result<Self, ConfigError> {
        match self.find(key) {
            Some(value) => value.section(),
            None => Ok(Self { path: self.path_of(key), table: None, ..self.clone() }),
        }
    }

    /// Returns the value of a key that holds a number with a unit, within bounds.
    pub(super) fn measure<T: Measure>(
        &self,
        key: &str,
        default: T,
        bounds: RangeInclusive<T>,
    ) -> Result<T, ConfigError> {
        self.find(key).map_or(Ok(default), |value| value.measure(&bounds))
    }

    /// Returns all keys and their values, in the order of the keys, unless there are too many.
    pub(super) fn entries(
        &self,
        entries_max: usize,
    ) -> Result<Vec<(&'a str, Value<'a>)>, ConfigError> {
        let entries = self.table.into_iter().flatten();
        let entries: Vec<_> = entries
            .map(|(key, value)| (key.get_ref().as_ref(), self.value(key.get_ref(), value)))
            .collect();
        if entries_max < entries.len() {
            let (key, count) = (self.path.clone(), entries.len());
            return Err(self.error(ConfigProblem::TooMany { key, count, max: entries_max }));
        }
        Ok(entries)
    }

    pub(super) fn error(&self, problem: ConfigProblem) -> ConfigError {
        self.source.error(&self.span, problem)
    }

    fn value(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        let (path, span) = (self.path_of(key), value.span());
        Value { source: self.source, path, span, value: value.get_ref(), is_secret: false }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'a> Value<'a> {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Keeps the value out of errors.
    pub(super) fn hidden(self) -> Self {
        Self { is_secret: true, ..self }
    }

    pub(super) fn section(self) -> Result<Section<'a>, ConfigError> {
        let table = self.value.as_table().ok_or_else(|| self.wrong("a table"))?;
        Ok(Section { source: self.source, path: self.path, span: self.span, table: Some(table) })
    }

    pub(super) fn text(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.wrong("a text in quotes"))
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    pub(super) fn list(&self, len_max: usize) -> Result<Vec<Self>, ConfigError> {
        let items = self.value.as_array().ok_or_else(|| self.wrong("a list in brackets"))?;
        let (key, count) = (self.path.clone(), items.len());
        if len_max < count {
            return Err(self.error(ConfigProblem::TooMany { key, count, max: len_max }));
        }
        let item = |it: &'a Spanned<DeValue<'a>>| Self {
            source: self.source,
            path: self.path.clone(),
            span: it.span(),
            value: it.get_ref(),
            is_secret: self.is_secret,
        };
        Ok(items.iter().map(item).collect())
    }

    pub(super) fn measure<T: Measure>(&self, bounds: &RangeInclusive<T>) -> Result<T, ConfigError> {
        let value = T::read(self.value).ok_or_else(|| self.wrong(T::EXPECTED))?;
        if bounds.contains(&value) {
            return Ok(value);
        }
        let (min, max) = (bounds.start().show(), bounds.end().show());
        let (key, value) = (self.path.clone(), value.show());
        Err(self.error(ConfigProblem::OutOfBounds { key, value, min, max }))
    }

    /// Reads degrees of latitude or longitude, from `-max` to `max`.
    pub(super) fn degrees(&self, max: f64) -> Result<f64, ConfigError> {
        self.decimal((-max, max), "a number of degrees such as 53.35")
    }

    /// Reads a number that need not be whole.
    pub(super) fn decimal(
        &self,
        (min, max): (f64, f64),
        expected: &'static str,
    ) -> Result<f64, ConfigError> {
        let integer = self.value.as_integer().map(toml::de::DeInteger::as_str);
        let digits = integer.or(self.value.as_float().map(toml::de::DeFloat::as_str));
        let number = digits.and_then(|it| it.parse::<f64>().ok());
        let number = number.ok_or_else(|| self.wrong(expected))?;
        if (min..=max).contains(&number) {
            return Ok(number);
        }
        let (key, value) = (self.path.clone(), number.to_string());
        let (min, max) = (min.to_string(), max.to_string());
        Err(self.error(ConfigProblem::OutOfBounds { key, value, min, max }))
    }

    pub(super) fn address(&self) -> Result<SocketAddr, ConfigError> {
        let text = self.value.as_str().and_then(|it| it.parse::<SocketAddr>().ok());
        let address = text.ok_or_else(|| self.wrong("an address such as \"127.0.0.1:7400\""))?;
        if address.port() == 0 {
            let key = self.path.clone();
            return Err(self.error(ConfigProblem::NoTarget { key, address }));
        }
        Ok(address)
    }

    pub(super) fn wrong(&self, expected: &'static str) -> ConfigError {
        let found = match self.value {
            _secret if self.is_secret => "something else".to_owned(),
            DeValue::String(text) => format!("the text {text:?}"),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(yes) => yes.to_string(),
            DeValue::Datetime(time) => format!("the time {time}"),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.error(ConfigProblem::Wrong { key: self.path.clone(), expected, found })
    }

    pub(super) fn error(&self, problem: ConfigProblem) -> ConfigError {
        self.source.error(&self.span, problem)
    }
}

/// Names the candidate that was probably meant, or else all of them.
pub(super) fn hint<'a>(
    text: &str,
    candidates: impl Iterator<Item = &'a str> + Clone,
    show: impl Fn(&str) -> String,
) -> String {
    match nearest(text, candidates.clone()) {
        Some(it) => format!("did you mean `{}`?", show(it)),
        None => {
            let all: Vec<_> = candidates.map(|it| format!("`{it}`")).collect();
            format!("known here: {}", all.join(", "))
        }
    }
}
