//! Values with a unit and bounds: durations, sizes and counts.
//! Must not know which keys hold them.

use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

/// Counts bytes, and prints them as `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Returns that many KiB.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// Returns that many MiB.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// Returns the bytes, for a length in memory.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl std::str::FromStr for ByteSize {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_units(text, SIZES).map(Self).ok_or("write it as 512B, 64KiB, 16MiB or 1GiB")
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_units(self.0, SIZES))
    }
}

/// Units from small to large, in terms of the smallest.
type Units = &'static [(&'static str, u64)];
const TIMES: Units = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: Units = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A value that a key of the configuration may hold within bounds.
pub(super) trait Measure: Copy + PartialOrd {
    /// What to write, for errors.
    const EXPECTED: &'static str;
    /// The type, as the documentation calls it.
    #[cfg(test)]
    const TYPE: &'static str;

    /// Reads the value, unless it is of another type or has no known unit.
    fn read(value: &DeValue<'_>) -> Option<Self>;

    /// Writes the value as people read it.
    fn show(self) -> String;

    /// Writes the value as the file holds it.
    fn render(self) -> String {
        format!("\"{}\"", self.show())
    }
}

impl Measure for Duration {
    const EXPECTED: &'static str =
        "a duration such as \"50ms\", \"15s\", \"5m\", \"24h\" or \"7d\"";
    #[cfg(test)]
    const TYPE: &'static str = "duration";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        read_units(value.as_str()?, TIMES).map(Self::from_millis)
    }

    fn show(self) -> String {
        show_units(u64::try_from(self.as_millis()).unwrap_or(u64::MAX), TIMES)
    }
}

impl Measure for ByteSize {
    const EXPECTED: &'static str = "a size such as \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"";
    #[cfg(test)]
    const TYPE: &'static str = "size";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        read_units(value.as_str()?, SIZES).map(Self)
    }

    fn show(self) -> String {
        self.to_string()
    }
}

macro_rules! count_measure {
    ($type:ident) => {
        impl Measure for $type {
            const EXPECTED: &'static str = "a whole number";
            #[cfg(test)]
            const TYPE: &'static str = "count";

            fn read(value: &DeValue<'_>) -> Option<Self> {
                let digits = value.as_integer()?;
                Self::from_str_radix(digits.as_str(), digits.radix()).ok()
            }

            fn show(self) -> String {
                self.to_string()
            }

            fn render(self) -> String {
                self.show()
            }
        }
    };
}

count_measure!(u32);
count_measure!(usize);

fn read_units(text: &str, units: Units) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    count.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Uses the largest unit that leaves no fraction.
fn show_units(value: u64, units: Units) -> String {
    let fitting =
        units.iter().rev().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (name, factor) = fitting.unwrap_or(&units[0]);
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_the_largest_unit_that_fits_and_read_back() {
        let check = |text, units, expected| {
            let value = read_units(text, units);
            assert_eq!(value.map(|it| show_units(it, units)).as_deref(), expected, "{text}");
        };
        check("50ms", TIMES, Some("50ms"));
        check("15000ms", TIMES, Some("15s"));
        check("24h", TIMES, Some("1d"));
        check("90m", TIMES, Some("90m"));
        check("0s", TIMES, Some("0ms"));
        check("64MiB", SIZES, Some("64MiB"));
        check("1025B", SIZES, Some("1025B"));
        for bad in ["", "15", "s", "1.5s", "-1s", "15 s", "15S", "99999999999999999999s"] {
            check(bad, TIMES, None);
        }
        check("18446744073709551615GiB", SIZES, None);
        check("64MB", SIZES, None);
    }
}
