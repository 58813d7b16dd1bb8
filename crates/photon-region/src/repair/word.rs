//! What two regions tell each other to find records in which they differ, and its binary form.
//! Must not decide what to do about them.

use bytes::Bytes;
use photon_state::codec::{DecodeError, Reader, Writer};
use photon_state::crdt::{Outline, Value};
use photon_state::{Dot, Key, PlacementId, Seen, Shelf, Source, Tally};

use super::Repair;

/// One step of a comparison. Each says all that the next step needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// What whole shelves amount to.
    Roots(Vec<(Shelf, u64)>),
    /// What the children of buckets that differ amount to, shortened.
    Prints {
        shelf: Shelf,
        /// How far below the root the buckets are whose children these are.
        depth: u32,
        buckets: Vec<(u16, [u32; Tally::FANOUT])>,
    },
    /// The prints of all records in leaves that differ, shortened.
    List { shelf: Shelf, leaves: Vec<u16>, prints: Vec<u64> },
    /// Records that the other region has not listed, and prints that it has listed in vain.
    Differ { shelf: Shelf, keys: Vec<Key>, prints: Vec<u64> },
    /// What is in force in records, by what has been seen of their placement.
    Outlines {
        shelf: Shelf,
        seen: Seen,
        records: Vec<(Key, Outline)>,
        /// Whether the other region shall tell the same of its own.
        asks: bool,
    },
    /// Sums that the other region lacks a part of.
    Sums { shelf: Shelf, values: Vec<(Key, Value)> },
}

impl Word {
    /// Bytes of a print that travel: enough to tell apart the records of a leaf.
    const PRINT_BYTES: u32 = 6;

    /// Shortens the print of a record.
    pub(crate) fn short(print: u64) -> u64 {
        print >> (64 - 8 * Self::PRINT_BYTES)
    }

    /// Iterates over the shelves that it is about.
    pub(crate) fn shelves(&self) -> Vec<Shelf> {
        match self {
            Self::Roots(roots) => roots.iter().map(|(shelf, _)| *shelf).collect(),
            Self::Prints { shelf, .. }
            | Self::List { shelf, .. }
            | Self::Differ { shelf, .. }
            | Self::Outlines { shelf, .. }
            | Self::Sums { shelf, .. } => vec![*shelf],
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        match self {
            Self::Roots(roots) => {
                writer.tag(1);
                write_all(&mut writer, roots, |writer, (shelf, root)| {
                    writer.shelf(shelf);
                    writer.fixed(&root.to_le_bytes());
                });
            }
            Self::Prints { shelf, depth, buckets } => {
                writer.tag(2);
                writer.shelf(shelf);
                writer.uint((*depth).into());
                write_all(&mut writer, buckets, |writer, (bucket, prints)| {
                    writer.fixed(&bucket.to_le_bytes());
                    prints.iter().for_each(|it| writer.fixed(&it.to_le_bytes()));
                });
            }
            Self::List { shelf, leaves, prints } => {
                writer.tag(3);
                writer.shelf(shelf);
                write_all(&mut writer, leaves, |writer, it| writer.fixed(&it.to_le_bytes()));
                write_all(&mut writer, prints, write_print);
            }
            Self::Differ { shelf, keys, prints } => {
                writer.tag(4);
                writer.shelf(shelf);
                write_all(&mut writer, keys, |writer, it| writer.bytes(it.as_bytes()));
                write_all(&mut writer, prints, write_print);
            }
            Self::Outlines { shelf, seen, records, asks } => {
                writer.tag(5);
                writer.shelf(shelf);
                writer.seen(seen);
                writer.uint(u64::from(*asks));
                write_outlines(&mut writer, records);
            }
            Self::Sums { shelf, values } => {
                writer.tag(6);
                writer.shelf(shelf);
                write_all(&mut writer, values, |writer, (key, value)| {
                    writer.bytes(key.as_bytes());
                    writer.value(value);
                });
            }
        }
        writer.into_bytes()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::sharing(bytes);
        let word = Self::read(&mut reader)?;
        reader.end()?;
        Ok(word)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.tag()? {
            1 => {
                let root = |it: &mut Reader<'_>| Ok((it.shelf()?, u64::from_le_bytes(it.fixed()?)));
                let roots = read_all(reader, root)?;
                // So there are no more than shelves that both regions share.
                if !roots.is_sorted_by(|(a, _), (b, _)| a < b) {
                    return Err(reader.malformed("order of shelves"));
                }
                Self::Roots(roots)
            }
            2 => read_prints(reader)?,
            3 => read_list(reader)?,
            4 => {
                let shelf = reader.shelf()?;
                let keys = read_all(reader, |it| it.key())?;
                let prints = read_all(reader, read_print)?;
                if !is_short(&keys, Repair::LISTED_MAX) || !is_short(&prints, Repair::LISTED_MAX) {
                    return Err(reader.malformed("list of what differs"));
                }
                Self::Differ { shelf, keys, prints }
            }
            5 => {
                let (shelf, seen) = (reader.shelf()?, reader.seen()?);
                let (asks, records) = (reader.uint()? != 0, read_outlines(reader)?);
                Self::Outlines { shelf, seen, records, asks }
            }
            6 => {
                let shelf = reader.shelf()?;
                let values = read_all(reader, |it| Ok((it.key()?, it.value()?)))?;
                if values.iter().any(|(_, value)| value.shape() != shelf.2) {
                    return Err(reader.malformed("shape of a value"));
                }
                Self::Sums { shelf, values }
            }
            _ => return Err(reader.malformed("comparison")),
        })
    }
}

/// Tells of which placements a comparison is. For those who check what a region sends.
#[must_use]
pub fn inspect_comparison(bytes: &Bytes) -> Option<Vec<PlacementId>> {
    let word = Word::decode(bytes).ok()?;
    let mut placements: Vec<_> = word.shelves().iter().map(|(placement, ..)| *placement).collect();
    if let Word::Outlines { seen, .. } = &word {
        placements.extend(seen.iter().map(|(stream, _)| stream.placement));
    }
    Some(placements)
}

fn write_all<T>(writer: &mut Writer, all: &[T], mut write: impl FnMut(&mut Writer, &T)) {
    writer.uint(all.len() as u64);
    all.iter().for_each(|it| write(writer, it));
}

fn read_all<T>(
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut all = Vec::new();
    for _ in 0..reader.count()? {
        all.push(read(reader)?);
    }
    Ok(all)
}

fn read_prints(reader: &mut Reader<'_>) -> Result<Word, DecodeError> {
    let (shelf, depth) = (reader.shelf()?, reader.uint32()?);
    let buckets = read_all(reader, |it| {
        let bucket = u16::from_le_bytes(it.fixed()?);
        let mut prints = [0; Tally::FANOUT];
        for print in &mut prints {
            *print = u32::from_le_bytes(it.fixed()?);
        }
        Ok((bucket, prints))
    })?;
    let is_odd = |it: &(u16, _)| 1 << (4 * depth) <= u32::from(it.0);
    // None comes twice: all of a level together cost no more than the root.
    let are_fit =
        is_short(&buckets, Repair::BUCKETS_MAX) && buckets.is_sorted_by(|(a, _), (b, _)| a < b);
    if Tally::DEPTH <= depth || !are_fit || buckets.iter().any(is_odd) {
        return Err(reader.malformed("bucket"));
    }
    Ok(Word::Prints { shelf, depth, buckets })
}

fn read_list(reader: &mut Reader<'_>) -> Result<Word, DecodeError> {
    let shelf = reader.shelf()?;
    let leaves = read_all(reader, |it| Ok(u16::from_le_bytes(it.fixed()?)))?;
    let prints = read_all(reader, read_print)?;
    let are_fit = is_short(&leaves, Repair::BUCKETS_MAX) && is_short(&prints, Repair::LISTED_MAX);
    if !are_fit || !leaves.is_sorted_by(|a, b| a < b) {
        return Err(reader.malformed("list"));
    }
    Ok(Word::List { shelf, leaves, prints })
}

/// Whether there are no more than an honest region says at once.
fn is_short<T>(all: &[T], max: usize) -> bool {
    all.len() <= max
}

fn write_print(writer: &mut Writer, print: &u64) {
    let bytes: [u8; 8] = print.to_le_bytes();
    let [a, b, c, d, e, f, ..] = bytes;
    writer.fixed(&[a, b, c, d, e, f]);
}

fn read_print(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let [a, b, c, d, e, f] = reader.fixed::<6>()?;
    Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

/// Writes outlines; each source is told once, at the front.
fn write_outlines(writer: &mut Writer, records: &[(Key, Outline)]) {
    let mut sources: Vec<Source> = Vec::new();
    for (_, outline) in records {
        let dots: Vec<Dot> = match outline {
            Outline::Fields(all) => all.iter().map(|(_, dot, _)| *dot).collect(),
            Outline::Sums(all) => all.iter().map(|(dot, _)| *dot).collect(),
        };
        for dot in dots {
            if !sources.contains(&dot.source) {
                sources.push(dot.source);
            }
        }
    }
    write_all(writer, &sources, |writer, it| {
        writer.text(it.origin.as_str());
        writer.uint(it.incarnation);
    });
    let dot = |writer: &mut Writer, dot: &Dot| {
        let place = sources.iter().position(|it| *it == dot.source);
        writer.uint(place.expect("it was put there above") as u64);
        writer.uint(dot.seq);
    };
    write_all(writer, records, |writer, (key, outline)| {
        writer.bytes(key.as_bytes());
        match outline {
            Outline::Fields(all) => {
                writer.tag(1);
                write_all(writer, all, |writer, (field, it, at)| {
                    writer.bytes(field);
                    dot(writer, it);
                    writer.hlc(*at);
                });
            }
            Outline::Sums(all) => {
                writer.tag(2);
                write_all(writer, all, |writer, (it, check)| {
                    dot(writer, it);
                    writer.fixed(&check.to_le_bytes());
                });
            }
        }
    });
}

fn read_outlines(reader: &mut Reader<'_>) -> Result<Vec<(Key, Outline)>, DecodeError> {
    let sources =
        read_all(reader, |it| Ok(Source { origin: it.region()?, incarnation: it.uint()? }))?;
    let dot = |reader: &mut Reader<'_>| {
        let place = usize::try_from(reader.uint()?).ok();
        let source = place.and_then(|it| sources.get(it)).copied();
        let source = source.ok_or_else(|| reader.malformed("source"))?;
        Ok(Dot { source, seq: reader.uint()? })
    };
    let records = read_all(reader, |reader| {
        let key = reader.key()?;
        let outline = match reader.tag()? {
            1 => Outline::Fields(read_all(reader, |it| Ok((it.owned()?, dot(it)?, it.hlc()?)))?),
            2 => Outline::Sums(read_all(reader, |it| {
                Ok((dot(it)?, u64::from_le_bytes(it.fixed()?)))
            })?),
            _ => return Err(reader.malformed("outline")),
        };
        Ok((key, outline))
    })?;
    let are_fit = is_short(&records, Repair::OUTLINED_MAX)
        && records.iter().all(|(_, outline)| outline.is_sorted());
    if !are_fit || !records.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err(reader.malformed("order of outlines"));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use photon_state::Dataset;
    use photon_state::crdt::Shape;

    use super::*;

    fn shelf(shape: Shape) -> Shelf {
        (PlacementId::global(), Dataset(5), shape)
    }

    /// Checks that a word is understood as it was said, and not when it says something twice.
    fn check(word: &Word, is_fit: bool) {
        let read = Word::decode(&word.encode());
        assert_eq!(read.as_ref().ok(), is_fit.then_some(word), "{read:?}");
    }

    #[test]
    fn what_would_be_looked_at_twice_is_refused() {
        let (fields, sums) = (shelf(Shape::Fields), shelf(Shape::Counter));
        check(&Word::Roots(vec![(fields, 1), (sums, 2)]), true);
        check(&Word::Roots(vec![(fields, 1); 2]), false);
        let prints = |buckets: &[u16]| {
            let buckets = buckets.iter().map(|it| (*it, [7; Tally::FANOUT])).collect();
            Word::Prints { shelf: fields, depth: 3, buckets }
        };
        check(&prints(&[0, 4, 5]), true);
        check(&prints(&[0, 0]), false);
        check(&prints(&(0..257).collect::<Vec<_>>()), false);
        let list = |leaves: Vec<u16>, prints| Word::List { shelf: fields, leaves, prints };
        check(&list(vec![3, 9], vec![5, 5]), true);
        check(&list(vec![9, 3], vec![]), false);
        check(&list(vec![3], vec![0; 8_193]), false);
        let outlines = |keys: &[&[u8]], outline: Outline| {
            let records = keys.iter().map(|it| (Key::new(it), outline.clone())).collect();
            Word::Outlines { shelf: fields, seen: Seen::default(), records, asks: false }
        };
        let origin = photon_state::RegionId::try_from("eu").unwrap();
        let dot = |seq| Dot { source: Source { origin, incarnation: 1 }, seq };
        check(&outlines(&[b"a", b"b"], Outline::Sums(vec![(dot(1), 0)])), true);
        check(&outlines(&[b"a", b"a"], Outline::Sums(vec![])), false);
        check(&outlines(&[b"a"], Outline::Sums(vec![(dot(1), 0), (dot(2), 0)])), false);
        let version = |field: &'static [u8], seq| {
            (Bytes::from_static(field), dot(seq), photon_state::Hlc::default())
        };
        let fields = |all: Vec<_>| outlines(&[b"a"], Outline::Fields(all));
        check(&fields(vec![version(b"x", 2), version(b"x", 3), version(b"y", 1)]), true);
        check(&fields(vec![version(b"x", 2), version(b"x", 2)]), false);
    }
}
