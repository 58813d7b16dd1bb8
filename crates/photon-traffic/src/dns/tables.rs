//! All zones and names that are answered for: immutable once shared, cheap to copy and change.
//! Must not know messages.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::name::Name;
use super::names::{Names, Node, RecordSet, Special};
use super::query::Query;
use super::wire::rtype;
use super::zone::{Answers, Zone};

/// What names stand for.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    names: Names,
    /// By number; numbers of zones that are gone are given again.
    zones: Vec<Option<Arc<Zone>>>,
    numbers: BTreeMap<Name, u32>,
    /// The addresses of names elsewhere that aliases stand for.
    elsewhere: Arc<HashMap<Name, Addresses>>,
}

/// The addresses of a name elsewhere, as they were found last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those of IPv4.
    pub v4: Vec<Ipv4Addr>,
    /// Those of IPv6.
    pub v6: Vec<Ipv6Addr>,
    /// How long they may be kept, in seconds.
    pub ttl: u32,
}

/// What a name comes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// The name exists; or a wildcard stands for it.
    Node(&'a Zone, &'a Node),
    /// The name is in a zone that is kept elsewhere: the node has the name servers of that.
    Cut(&'a Zone, &'a Node),
    /// It is in the zone, but does not exist.
    Nothing(&'a Zone),
    /// It is in no zone that is kept here.
    Elsewhere,
}

impl Tables {
    /// Puts a zone in, or changes it, with its serial number. Zones above it come first, and names
    /// of those that lie in it are put again afterwards: they are its own.
    pub fn put_zone(&mut self, mut zone: Zone, serial: u32) {
        let apex = zone.apex.clone();
        let number = self.numbers.get(&apex).copied();
        let number = number.unwrap_or_else(|| self.next_number());
        let held = self.zones[number as usize].as_ref();
        zone.cuts = held.map_or(0, |it| it.cuts);
        zone.set_serial(serial);
        let servers = zone.name_servers.clone();
        self.zones[number as usize] = Some(Arc::new(zone));
        self.numbers.insert(apex.clone(), number);
        let node = self.names.find(apex.wire()).filter(|it| it.zone == number);
        let sets = node.into_iter().flat_map(|it| it.sets.iter());
        let others = sets.filter(|it| it.rtype != rtype::NS).cloned();
        let sets = std::iter::once(servers).chain(others).collect();
        let special = node.and_then(|it| it.special.clone());
        if self.names.set(number, apex.wire().len(), apex.wire(), sets, special) {
            self.names.link(self.above(&apex), apex.wire());
        }
    }

    /// Returns the number of the zone above a zone, and how long its name is.
    fn above(&self, apex: &Name) -> Option<(u32, usize)> {
        let zone = self.zone_of(&apex.parent()?)?;
        Some((self.numbers[&zone.apex], zone.apex.wire().len()))
    }

    /// Returns a number for a zone that has none.
    fn next_number(&mut self) -> u32 {
        let free = self.zones.iter().position(Option::is_none).unwrap_or(self.zones.len());
        if free == self.zones.len() {
            self.zones.push(None);
        }
        free as u32
    }

    /// Lets go of a zone and all of its names.
    pub fn remove_zone(&mut self, apex: &Name) {
        let Some(number) = self.numbers.remove(apex) else { return };
        self.names.remove_zone(number);
        self.names.unlink(self.above(apex), apex.wire());
        self.zones[number as usize] = None;
    }

    /// Says what a name of a zone stands for; nothing takes it away. If it is not of this zone, but
    /// of one below it or of none, nothing is done.
    pub fn put_name(&mut self, apex: &Name, name: &Name, answers: Answers) {
        if self.zone_of(name).is_none_or(|it| it.apex != *apex) {
            return;
        }
        let number = self.numbers[apex];
        let Some(zone) = self.zones[number as usize].clone() else { return };
        let mut sets = answers.sets;
        if name == apex {
            sets.insert(0, zone.name_servers.clone());
        } else {
            let was_cut =
                self.names.find(name.wire()).is_some_and(|it| it.set(rtype::NS).is_some());
            let is_cut = sets.iter().any(|it| it.rtype == rtype::NS);
            if was_cut != is_cut {
                let mut zone = (*zone).clone();
                zone.cuts = zone.cuts + u32::from(is_cut) - u32::from(was_cut);
                self.zones[number as usize] = Some(Arc::new(zone));
            }
        }
        let special = answers.special.map(Box::new);
        self.names.set(number, apex.wire().len(), name.wire(), sets.into(), special);
    }

    /// Sets the serial number of a zone.
    pub fn set_serial(&mut self, apex: &Name, serial: u32) {
        let Some(number) = self.numbers.get(apex) else { return };
        if let Some(zone) = &mut self.zones[*number as usize] {
            Arc::make_mut(zone).set_serial(serial);
        }
    }

    /// Says what the names elsewhere come to that aliases stand for.
    pub fn set_elsewhere(&mut self, addresses: HashMap<Name, Addresses>) {
        self.elsewhere = Arc::new(addresses);
    }

    pub(super) fn elsewhere(&self, name: &Name) -> Option<&Addresses> {
        self.elsewhere.get(name)
    }

    /// Iterates over the zones by name.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.numbers.values().filter_map(|it| self.zones[*it as usize].as_deref())
    }

    /// Returns a zone by its name.
    #[must_use]
    pub fn zone(&self, apex: &Name) -> Option<&Zone> {
        self.zones[*self.numbers.get(apex)? as usize].as_deref()
    }

    /// Returns the zone that a name is in: the nearest one above it.
    #[must_use]
    pub fn zone_of(&self, name: &Name) -> Option<&Zone> {
        std::iter::successors(Some(name.clone()), Name::parent).find_map(|it| self.zone(&it))
    }

    /// Returns how many names there are in all zones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Iterates over the names of a zone, in no order.
    pub fn names_of(&self, apex: &Name) -> impl Iterator<Item = &Node> {
        self.numbers.get(apex).into_iter().flat_map(|it| self.names.of_zone(*it))
    }

    /// Returns the node of a name in its wire form and lower case.
    #[must_use]
    pub fn node(&self, name: &[u8]) -> Option<&Node> {
        self.names.find(name)
    }

    /// Returns the zone of a node; a name above all zones has none.
    fn zone_at(&self, node: &Node) -> Option<&Zone> {
        self.zones.get(node.zone as usize)?.as_deref()
    }

    /// Looks a question's name up.
    pub(super) fn find(&self, query: &Query) -> Found<'_> {
        self.look_up(query.name(), query.depth(), |labels| query.above(labels))
    }

    /// Looks up a name that a record points to.
    pub(super) fn find_name(&self, name: &[u8]) -> Found<'_> {
        let mut starts = Vec::with_capacity(8);
        let mut at = 0;
        while name[at] != 0 {
            starts.push(at);
            at += 1 + usize::from(name[at]);
        }
        starts.push(at);
        self.look_up(name, starts.len() - 1, |labels| &name[starts[labels]..])
    }

    fn look_up<'n>(
        &self,
        name: &'n [u8],
        depth: usize,
        above: impl Fn(usize) -> &'n [u8],
    ) -> Found<'_> {
        if let Some(node) = self.names.find(name) {
            let Some(zone) = self.zone_at(node) else { return Found::Elsewhere };
            let cut = if zone.cuts == 0 { None } else { self.cut(zone, 0, depth, &above) };
            return cut.map_or(Found::Node(zone, node), |cut| Found::Cut(zone, cut));
        }
        // Every name between an existing one and the root exists: halving finds the nearest.
        let (mut nearest, mut low, mut high) = (None, 1, depth + 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.names.find(above(middle)) {
                Some(node) => (nearest, high) = (Some((middle, node)), middle),
                None => low = middle + 1,
            }
        }
        let nearest = nearest.and_then(|(labels, it)| Some((labels, self.zone_at(it)?)));
        let Some((labels, zone)) = nearest else { return Found::Elsewhere };
        if zone.cuts != 0
            && let Some(cut) = self.cut(zone, labels, depth, &above)
        {
            return Found::Cut(zone, cut);
        }
        let mut wildcard = [0; super::NAME_BYTES_MAX + 2];
        let encloser = above(labels);
        wildcard[..2].copy_from_slice(b"\x01*");
        wildcard[2..2 + encloser.len()].copy_from_slice(encloser);
        match self.names.find(&wildcard[..2 + encloser.len()]) {
            Some(node) => Found::Node(zone, node),
            None => Found::Nothing(zone),
        }
    }

    /// Returns the cut nearest to the apex that a name is at or below.
    fn cut<'n>(
        &self,
        zone: &Zone,
        from: usize,
        depth: usize,
        above: &impl Fn(usize) -> &'n [u8],
    ) -> Option<&Node> {
        let apex_bytes = zone.apex.wire().len();
        let below = (from..depth).take_while(|it| apex_bytes < above(*it).len());
        let cuts = below.filter_map(|it| self.names.find(above(it)));
        cuts.filter(|it| it.set(rtype::NS).is_some()).last()
    }

    /// Iterates over the routes of a zone, with the names that they are of, in no order.
    pub fn routes_of(
        &self,
        apex: &Name,
    ) -> impl Iterator<Item = (&Node, &Arc<super::route::Route>)> {
        self.names_of(apex).filter_map(|node| match node.special.as_deref() {
            Some(Special::Route(route)) => Some((node, route)),
            Some(Special::Alias(_)) | None => None,
        })
    }
}

impl Node {
    /// Iterates over its records by type.
    pub fn sets(&self) -> impl Iterator<Item = &RecordSet> {
        self.sets.iter()
    }

    /// Returns what else answers for it.
    #[must_use]
    pub fn special(&self) -> Option<&Special> {
        self.special.as_deref()
    }
}
