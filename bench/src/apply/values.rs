//! What is written: records, and values such as applications have.
//! Must not favour a codec: what is random in applications is random here.

use bytes::Bytes;
use photon_region::data::{Edit, FieldEdit, Kind, Write};

use super::BATCH;

/// Bytes of a register.
const VALUE_BYTES: usize = 256;
/// Fields of a map, and bytes of each.
const FIELDS: usize = 16;
const FIELD_BYTES: usize = 24;
/// Words that texts are made of.
const WORDS: [&str; 48] = [
    "amber", "anchor", "autumn", "basket", "bridge", "candle", "canyon", "carbon", "cedar",
    "circle", "cobalt", "copper", "cradle", "desert", "double", "ember", "engine", "fabric",
    "falcon", "forest", "garden", "ginger", "harbor", "hollow", "island", "jacket", "kernel",
    "ladder", "lantern", "marble", "meadow", "mirror", "needle", "ocean", "orchid", "pepper",
    "planet", "quartz", "ribbon", "river", "saddle", "silver", "summer", "thunder", "timber",
    "velvet", "window", "winter",
];

/// Makes an edit.
type Make = fn() -> Edit;

/// One kind of write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    name: &'static str,
    kind: Kind,
    make: Make,
}

impl Work {
    /// Registers with JSON such as an application keeps of its users.
    pub(super) const JSON: Self =
        Self { name: "register, JSON of 256 B", kind: Kind::Register, make: json };
    /// Registers with what no codec makes shorter by much.
    pub(super) const NOISE: Self =
        Self { name: "register, random 256 B", kind: Kind::Register, make: noise };
    /// Counters.
    pub(super) const COUNTER: Self =
        Self { name: "counter", kind: Kind::Counter, make: || Edit::Add(fastrand::i64(1..100)) };
    /// Maps of which one field is written.
    pub(super) const MAP: Self =
        Self { name: "map, a field of 24 B", kind: Kind::Map, make: field };

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether its bytes can be told in fewer: nobody shortens chance.
    pub(super) fn compresses(&self) -> bool {
        self.name != Self::NOISE.name
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Writes every record once, or every field of it.
    pub(super) fn fresh(self, records: usize) -> impl Iterator<Item = Vec<Write>> {
        let all = (0..records).step_by(BATCH);
        all.map(move |first| self.batch(first..(first + BATCH).min(records)))
    }

    /// Writes random records. Those of one request differ, as they must.
    pub(super) fn random(self, records: usize, writes: usize) -> impl Iterator<Item = Vec<Write>> {
        (0..writes / BATCH).map(move |_| {
            let mut chosen = std::collections::BTreeSet::new();
            while chosen.len() < BATCH.min(records) {
                chosen.insert(fastrand::usize(0..records));
            }
            let mut chosen: Vec<usize> = chosen.into_iter().collect();
            fastrand::shuffle(&mut chosen);
            self.batch(chosen)
        })
    }

    fn batch(self, records: impl IntoIterator<Item = usize>) -> Vec<Write> {
        let write = |record: usize| {
            let key = Bytes::from(format!("user:{record:08}"));
            Write { key, edit: (self.make)(), expect: None, ttl: None, spot: None }
        };
        records.into_iter().map(write).collect()
    }
}

fn json() -> Edit {
    Edit::Put(person().into())
}

/// Makes JSON of 256 bytes such as an application keeps of its users.
pub(crate) fn person() -> String {
    let word = || WORDS[fastrand::usize(..WORDS.len())];
    let of = |bound: u8| fastrand::u8(..bound);
    let (first, last, number) = (word(), word(), fastrand::u16(..));
    let (plan, visits) = (["free", "team", "scale"][usize::from(of(3))], fastrand::u32(..100_000));
    let day = format!("2026-{:02}-{:02}", 1 + of(12), 1 + of(28));
    let time = format!("{:02}:{:02}:{:02}", of(24), of(60), of(60));
    let mut text =
        format!(r#"{{"name":"{first} {last}","email":"{}{number}@example.com","#, word());
    text += &format!(r#""plan":"{plan}","visits":{visits},"token":"{:016x}","#, fastrand::u64(..));
    text += &format!(r#""seen":"{day}T{time}Z","note":""#);
    while text.len() < VALUE_BYTES {
        text.push_str(word());
        text.push(' ');
    }
    text.truncate(VALUE_BYTES - 2);
    text.push_str("\"}");
    text
}

fn noise() -> Edit {
    let text = std::iter::repeat_with(fastrand::alphanumeric).take(VALUE_BYTES - 2);
    Edit::Put(format!("\"{}\"", text.collect::<String>()).into())
}

fn field() -> Edit {
    let name = format!("field-{}", fastrand::usize(..FIELDS));
    let text = std::iter::repeat_with(fastrand::alphanumeric).take(FIELD_BYTES - 2);
    let content = format!("\"{}\"", text.collect::<String>());
    Edit::Fields(vec![FieldEdit::Set(name.into(), content.into())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_of_256_bytes() {
        for make in [json, noise] {
            let Edit::Put(value) = make() else { panic!("a register is put") };
            assert_eq!(value.len(), VALUE_BYTES);
            assert!(serde_json::from_slice::<serde_json::Value>(&value).is_ok(), "{value:?}");
        }
    }

    #[test]
    fn a_request_names_no_record_twice() {
        for writes in Work::COUNTER.random(150, 1_000) {
            let keys: std::collections::BTreeSet<_> = writes.iter().map(|it| &it.key).collect();
            assert_eq!((keys.len(), writes.len()), (BATCH, BATCH));
        }
    }
}
