//! Names of the domain name system in their wire form, lower-cased (RFC 1035, RFC 4343).
//! Must not know what a name stands for.

use std::fmt;

/// The longest name in its wire form, the root's empty label included (RFC 1035, 2.3.4).
pub const NAME_BYTES_MAX: usize = 255;
/// The longest label (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// A name that ends at the root, in lower case: equal names are equal bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no domain name: {why}")]
pub struct NameError {
    /// The text that was refused, cut to a length that is safe to print.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Name {
    /// Returns the name of the root.
    #[must_use]
    pub fn root() -> Self {
        Self([0].into())
    }

    /// Takes a name in its wire form, without pointers.
    #[must_use]
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        let mut at = 0;
        while let Some(&len) = wire.get(at).filter(|it| **it != 0) {
            if LABEL_BYTES_MAX < usize::from(len) {
                return None;
            }
            at += 1 + usize::from(len);
        }
        let is_whole = at + 1 == wire.len() && wire.len() <= NAME_BYTES_MAX;
        is_whole.then(|| Self(wire.to_ascii_lowercase().into()))
    }

    /// Reads a name as people write it; one that does not end in a dot is under `origin`.
    pub fn parse(text: &str, origin: &Self) -> Result<Self, NameError> {
        let failed = |why| NameError { text: text.chars().take(255).collect(), why };
        match text {
            "@" => return Ok(origin.clone()),
            "." => return Ok(Self::root()),
            "" => return Err(failed("it is empty; write `@` for the zone itself")),
            _ => {}
        }
        let (mut wire, mut label) = (Vec::with_capacity(text.len() + 2), Vec::new());
        let mut rest = text.as_bytes();
        let mut is_absolute = false;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            is_absolute = byte == b'.';
            match byte {
                b'.' if label.is_empty() => return Err(failed("a label is empty")),
                b'.' => push_label(&mut wire, &mut label).map_err(failed)?,
                b'\\' => {
                    let (escaped, after) =
                        unescape(rest).ok_or_else(|| failed("a `\\` has nothing to escape"))?;
                    label.push(escaped);
                    rest = after;
                }
                0..=0x20 | 0x7f.. => {
                    return Err(failed("only printable ASCII may be in it; use the xn-- form"));
                }
                byte => label.push(byte),
            }
        }
        if is_absolute {
            wire.push(0);
        } else {
            push_label(&mut wire, &mut label).map_err(failed)?;
            wire.extend_from_slice(&origin.0);
        }
        if NAME_BYTES_MAX < wire.len() {
            return Err(failed("it is longer than 255 bytes"));
        }
        wire.make_ascii_lowercase();
        Ok(Self(wire.into()))
    }

    /// Returns the wire form.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Returns the name above, unless it is the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let len = usize::from(self.0[0]);
        (len != 0).then(|| Self(self.0[1 + len..].into()))
    }

    /// Iterates over the labels, the first one first, without the root's.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first()?;
            let (label, after) = after.split_at(usize::from(*len));
            rest = after;
            (!label.is_empty()).then_some(label)
        })
    }

    /// Whether it is `above` or lies below it.
    #[must_use]
    pub fn is_under(&self, above: &Self) -> bool {
        let mut rest = &*self.0;
        while above.0.len() < rest.len() {
            rest = &rest[1 + usize::from(rest[0])..];
        }
        rest == &*above.0
    }

    /// Returns the name without the end that it has in common with `above`: `@` for itself.
    #[must_use]
    pub fn relative_to(&self, above: &Self) -> String {
        let depth = self.labels().count() - above.labels().count();
        let labels: Vec<_> = self.labels().take(depth).map(show_label).collect();
        if labels.is_empty() { "@".to_owned() } else { labels.join(".") }
    }

    /// Returns it with another label in front; `None` if it would be too long.
    #[must_use]
    pub fn child(&self, label: &[u8]) -> Option<Self> {
        let len = u8::try_from(label.len()).ok().filter(|it| (1..=63).contains(it))?;
        let wire = [&[len], label, &self.0].concat().to_ascii_lowercase();
        (wire.len() <= NAME_BYTES_MAX).then(|| Self(wire.into()))
    }
}

fn push_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), &'static str> {
    let len = u8::try_from(label.len()).ok().filter(|it| usize::from(*it) <= LABEL_BYTES_MAX);
    wire.push(len.ok_or("a label is longer than 63 bytes")?);
    wire.append(label);
    Ok(())
}

/// Reads what follows a backslash: three digits, or the byte itself (RFC 1035, 5.1).
fn unescape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (first, after) = rest.split_first()?;
    if !first.is_ascii_digit() {
        return Some((*first, after));
    }
    let (digits, after) = rest.split_at_checked(3)?;
    let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((value, after))
}

fn show_label(label: &[u8]) -> String {
    let show = |byte: &u8| match byte {
        b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
            format!("\\{}", char::from(*byte))
        }
        0x21..=0x7e => char::from(*byte).to_string(),
        _ => format!("\\{byte:03}"),
    };
    label.iter().map(show).collect()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.0 == [0] {
            return f.pad(".");
        }
        let text: String = self.labels().map(|it| show_label(it) + ".").collect();
        f.pad(&text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text, &Self::root())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let origin: Name = "example.com".parse().unwrap();
        match Name::parse(text, &origin) {
            Ok(name) => {
                assert_eq!(name.to_string(), shown);
                assert_eq!(Name::from_wire(name.wire()), Some(name));
            }
            Err(err) => assert_eq!(err.why, shown),
        }
    }

    #[test]
    fn a_name_is_read_as_people_write_it() {
        check("www", "www.example.com.");
        check("WWW.Example.ORG.", "www.example.org.");
        check("@", "example.com.");
        check(".", ".");
        check("*", "*.example.com.");
        check("_a2a._tcp", "_a2a._tcp.example.com.");
        check("a\\.b", "a\\.b.example.com.");
        check("a\\000b.", "a\\000b.");
        check("", "it is empty; write `@` for the zone itself");
        check("a..b", "a label is empty");
        check(".a", "a label is empty");
        check("a\\", "a `\\` has nothing to escape");
        check("a\\25", "a `\\` has nothing to escape");
        check("a\\256", "a `\\` has nothing to escape");
        check("a b", "only printable ASCII may be in it; use the xn-- form");
        check("m\u{fc}nchen", "only printable ASCII may be in it; use the xn-- form");
        check(&"a".repeat(64), "a label is longer than 63 bytes");
        check(&"a.".repeat(128), "it is longer than 255 bytes");
    }

    #[test]
    fn a_name_knows_who_it_is_under() {
        let zone: Name = "example.com".parse().unwrap();
        let under = |text: &str| text.parse::<Name>().unwrap().is_under(&zone);
        assert!(under("example.com") && under("a.b.example.com"));
        assert!(!under("com") && !under("notexample.com") && !under("example.org"));
        let name: Name = "a.b.example.com".parse().unwrap();
        assert_eq!(name.relative_to(&zone), "a.b");
        assert_eq!(zone.relative_to(&zone), "@");
        assert_eq!(name.parent().unwrap().to_string(), "b.example.com.");
        assert_eq!(zone.child(b"WWW").unwrap().to_string(), "www.example.com.");
        assert_eq!(zone.child(b""), None);
        assert_eq!(Name::root().parent(), None);
    }

    #[test]
    fn bytes_that_are_no_name_are_refused() {
        for wire in [&b""[..], b"\x01a", b"\x03ab\0", b"\0\0", b"\xc0\x0c", &[1; 300]] {
            assert_eq!(Name::from_wire(wire), None, "{wire:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_shown_is_read_as_the_same(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8)
        ) {
            let name = labels.iter().rev().try_fold(Name::root(), |it, label| it.child(label));
            let name = name.unwrap();
            prop_assert_eq!(name.to_string().parse::<Name>().unwrap(), name);
        }
    }
}
