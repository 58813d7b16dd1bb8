//! Maps from addresses to classes of clients that are answered alike, shared where they are equal.
//! Must not know why clients are answered alike.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use super::ranges::{Address, Ranges, Span};
use super::{Geo, plain, upper};

/// Which class of clients each address is in.
#[derive(Clone, Debug)]
pub struct ClassMap {
    v4: Ranges<u32>,
    v6: Ranges<u64>,
}

impl ClassMap {
    /// Returns the class of an address.
    #[must_use]
    pub fn class(&self, address: IpAddr) -> u16 {
        match plain(address) {
            IpAddr::V4(address) => self.v4.value(address.to_bits()),
            IpAddr::V6(address) => self.v6.value(upper(address)),
        }
    }

    /// Returns the class of an address, and the widest prefix around it that is all of that class.
    #[must_use]
    pub fn span(&self, address: IpAddr) -> Span {
        match address {
            IpAddr::V4(address) => self.v4.span(address.to_bits()),
            IpAddr::V6(wide) => match wide.to_ipv4_mapped() {
                Some(address) => {
                    let span = self.v4.span(address.to_bits());
                    Span { bits: span.bits + 96, ..span }
                }
                None => self.v6.span(upper(wide)),
            },
        }
    }
}

/// Makes class maps, and gives out the same one for the same classes.
#[derive(Debug, Default)]
pub struct Classes {
    made: BTreeMap<Vec<u16>, Weak<ClassMap>>,
}

impl Classes {
    /// Returns the map for classes that are given by locus.
    ///
    /// # Panics
    /// If a locus has no class.
    pub fn map(&mut self, geo: &Geo, by_locus: &[u16]) -> Arc<ClassMap> {
        assert_eq!(by_locus.len(), geo.loci().len(), "every locus has a class");
        if let Some(made) = self.made.get(by_locus).and_then(Weak::upgrade) {
            return made;
        }
        self.made.retain(|_, it| it.strong_count() != 0);
        let map =
            Arc::new(ClassMap { v4: classify(&geo.v4, by_locus), v6: classify(&geo.v6, by_locus) });
        self.made.insert(by_locus.to_vec(), Arc::downgrade(&map));
        map
    }

    /// Forgets all maps, because the loci are others.
    pub fn forget(&mut self) {
        self.made.clear();
    }
}

fn classify<A: Address>(loci: &Ranges<A>, by_locus: &[u16]) -> Ranges<A> {
    Ranges::new(loci.iter().map(|(start, locus)| (start, by_locus[usize::from(locus)])))
}
