//! All names that are known, by hash, in parts that copies share: a change copies one part.
//! Must not know zones, nor what a query is.

use std::hash::Hasher;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxHasher;

use super::name::Name;
use super::route::Route;

/// How many parts there are: of a million names, one has 250.
const PARTS: usize = 4096;

/// The number of no zone: that of names above zones. They are there so that every name between
/// one that is there and the root is, too.
pub(super) const NO_ZONE: u32 = u32::MAX;

/// What is known of a name. There is one for each name that exists, also if only names below it
/// hold records (an empty non-terminal, RFC 8020).
#[derive(Clone, Debug)]
pub struct Node {
    name: Box<[u8]>,
    /// The zone that it belongs to, as its tables number it.
    pub(super) zone: u32,
    /// How many names there are directly below.
    children: u32,
    /// Its records by type.
    pub(super) sets: Box<[RecordSet]>,
    /// What else answers for it.
    pub(super) special: Option<Box<Special>>,
}

/// The records of a name that have one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// The type.
    pub rtype: u16,
    /// How long they may be kept, in seconds.
    pub ttl: u32,
    /// What each of them holds, in the wire form, behind its length as two bytes.
    pub data: Box<[u8]>,
}

/// Answers that are made rather than looked up.
#[derive(Clone, Debug)]
pub enum Special {
    /// An address of the best endpoint for the client.
    Route(Arc<Route>),
    /// The addresses of another name: what a CNAME would say, where none may be.
    Alias(Arc<Alias>),
}

/// A name whose addresses answer for another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The other name.
    pub target: Name,
    /// How long the answer may be kept, in seconds.
    pub ttl: u32,
}

impl RecordSet {
    /// Iterates over what each record holds.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.data;
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (data, after) = after.split_at(usize::from(u16::from_be_bytes(*len)));
            rest = after;
            Some(data)
        })
    }

    /// Makes one of what each record holds. What is longer than a record can be is left out.
    pub fn new<'a>(rtype: u16, ttl: u32, records: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut data = Vec::new();
        for record in records {
            let Ok(len) = u16::try_from(record.len()) else { continue };
            data.extend_from_slice(&len.to_be_bytes());
            data.extend_from_slice(record);
        }
        Self { rtype, ttl, data: data.into() }
    }
}

impl Node {
    fn empty(name: &[u8], zone: u32) -> Self {
        Self { name: name.into(), zone, children: 0, sets: Box::default(), special: None }
    }

    /// Returns its records of a type.
    #[must_use]
    pub fn set(&self, rtype: u16) -> Option<&RecordSet> {
        self.sets.iter().find(|it| it.rtype == rtype)
    }

    /// Returns its name in the wire form.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    fn is_needed(&self) -> bool {
        !self.sets.is_empty() || self.special.is_some() || self.children != 0
    }
}

/// All names. A clone shares every part until one of them changes it.
#[derive(Clone, Debug)]
pub(super) struct Names {
    parts: Box<[Arc<HashTable<Node>>]>,
    len: usize,
}

impl Default for Names {
    fn default() -> Self {
        let empty = Arc::new(HashTable::new());
        Self { parts: vec![empty; PARTS].into(), len: 0 }
    }
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(name);
    hasher.finish()
}

/// Returns the part of a hash: by other bits than its table goes by.
fn part(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

impl Names {
    /// Returns how many names there are, those counted that hold nothing but names below.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the node of a name in its wire form and lower case.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Node> {
        let hash = hash(name);
        self.parts[part(hash)].find(hash, |it| *it.name == *name)
    }

    /// Sets what a name of a zone holds, and makes the names between it and the zone's apex, which
    /// is `apex_bytes` long. Without records and specials the name goes, if none is below it.
    /// Returns whether the name is new.
    pub(super) fn set(
        &mut self,
        zone: u32,
        apex_bytes: usize,
        name: &[u8],
        sets: Box<[RecordSet]>,
        special: Option<Box<Special>>,
    ) -> bool {
        let is_empty = sets.is_empty() && special.is_none();
        if is_empty && self.find(name).is_none() {
            return false;
        }
        let is_new = self.change(name, zone, |node| {
            node.zone = zone;
            node.sets = sets;
            node.special = special;
        });
        if is_new {
            self.count_child(zone, apex_bytes, name);
        } else if is_empty {
            self.prune(zone, apex_bytes, name);
        }
        is_new
    }

    /// Makes the names between the apex of a zone and that of a zone above it, or the root.
    pub(super) fn link(&mut self, above: Option<(u32, usize)>, apex: &[u8]) {
        let (zone, bytes) = above.unwrap_or((NO_ZONE, 1));
        self.count_child(zone, bytes, apex);
    }

    /// Lets go of those names, once the zone is gone.
    pub(super) fn unlink(&mut self, above: Option<(u32, usize)>, apex: &[u8]) {
        let (zone, bytes) = above.unwrap_or((NO_ZONE, 1));
        if bytes < apex.len() {
            self.drop_child(zone, bytes, apex);
        }
    }

    /// Lets go of all names of a zone.
    pub(super) fn remove_zone(&mut self, zone: u32) {
        for part in &mut self.parts {
            if part.iter().any(|it| it.zone == zone) {
                let part = Arc::make_mut(part);
                let before = part.len();
                part.retain(|it| it.zone != zone);
                self.len -= before - part.len();
            }
        }
    }

    /// Iterates over the nodes of a zone, in no order.
    pub(super) fn of_zone(&self, zone: u32) -> impl Iterator<Item = &Node> {
        self.parts.iter().flat_map(|it| it.iter()).filter(move |it| it.zone == zone)
    }

    /// Changes a node, and says whether it had to be made.
    fn change(&mut self, name: &[u8], zone: u32, edit: impl FnOnce(&mut Node)) -> bool {
        let of = hash(name);
        let part = Arc::make_mut(&mut self.parts[part(of)]);
        match part.entry(of, |it| *it.name == *name, |it| hash(&it.name)) {
            Entry::Occupied(mut held) => {
                edit(held.get_mut());
                false
            }
            Entry::Vacant(room) => {
                let mut node = Node::empty(name, zone);
                edit(&mut node);
                room.insert(node);
                self.len += 1;
                true
            }
        }
    }

    /// Counts a new name at the one above, which may be new itself.
    fn count_child(&mut self, zone: u32, apex_bytes: usize, mut name: &[u8]) {
        while apex_bytes < name.len() {
            name = above(name);
            if !self.change(name, zone, |it| it.children += 1) {
                return;
            }
        }
    }

    /// Lets go of a name that is needed no more, and of those above that it alone was needed for.
    fn prune(&mut self, zone: u32, apex_bytes: usize, name: &[u8]) {
        if self.find(name).is_none_or(Node::is_needed) {
            return;
        }
        let of = hash(name);
        let part = Arc::make_mut(&mut self.parts[part(of)]);
        let Ok(held) = part.find_entry(of, |it| *it.name == *name) else { return };
        held.remove();
        self.len -= 1;
        if apex_bytes < name.len() {
            self.drop_child(zone, apex_bytes, name);
        }
    }

    /// Counts one name less at the one above.
    fn drop_child(&mut self, zone: u32, apex_bytes: usize, name: &[u8]) {
        let above = above(name);
        if self.find(above).is_some() {
            self.change(above, zone, |it| it.children = it.children.saturating_sub(1));
            self.prune(zone, apex_bytes, above);
        }
    }
}

/// Returns the name above one that is not the root's.
fn above(name: &[u8]) -> &[u8] {
    &name[1 + usize::from(name[0])..]
}

#[cfg(test)]
mod tests {
    use super::super::wire::rtype;
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn put(names: &mut Names, text: &str, records: &[&[u8]]) {
        let apex = name("example.com");
        let set = RecordSet::new(rtype::TXT, 60, records.iter().copied());
        let sets = if records.is_empty() { Box::default() } else { [set].into() };
        names.set(0, apex.wire().len(), name(text).wire(), sets, None);
    }

    fn all(names: &Names) -> Vec<String> {
        let text = |it: &Node| Name::from_wire(it.name()).unwrap().to_string();
        let mut all: Vec<_> = names.of_zone(0).map(text).collect();
        assert_eq!(all.len(), names.len());
        all.sort();
        all
    }

    #[test]
    fn names_between_a_name_and_its_zone_exist_as_long_as_it_does() {
        let mut names = Names::default();
        put(&mut names, "a.b.example.com", &[b"1"]);
        put(&mut names, "c.b.example.com", &[b"2"]);
        let four = ["a.b.example.com.", "b.example.com.", "c.b.example.com.", "example.com."];
        assert_eq!(all(&names), four);
        put(&mut names, "a.b.example.com", &[]);
        assert_eq!(all(&names), four[1..]);
        put(&mut names, "b.example.com", &[b"3"]);
        put(&mut names, "c.b.example.com", &[]);
        assert_eq!(all(&names), ["b.example.com.", "example.com."]);
        put(&mut names, "b.example.com", &[]);
        put(&mut names, "never.example.com", &[]);
        assert_eq!(all(&names), [""; 0]);
    }

    #[test]
    fn a_copy_does_not_see_what_changes_later() {
        let mut names = Names::default();
        put(&mut names, "a.example.com", &[b"1", b"22"]);
        let copy = names.clone();
        put(&mut names, "a.example.com", &[b"3"]);
        let records = |of: &Names| {
            let node = of.find(name("a.example.com").wire()).unwrap();
            node.set(rtype::TXT).unwrap().records().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(records(&copy), [b"1".to_vec(), b"22".to_vec()]);
        assert_eq!(records(&names), [b"3".to_vec()]);
        names.remove_zone(0);
        assert_eq!((names.len(), copy.len()), (0, 2));
    }
}
