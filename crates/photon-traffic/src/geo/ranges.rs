//! A map from addresses to small numbers, as ranges: where each begins, in order.
//! Must not know what the numbers mean.

/// An address as a number: 32 bits of IPv4, or the upper 64 of IPv6.
pub trait Address: Copy + Ord + std::fmt::Debug {
    /// How many bits it has.
    const BITS: u32;
    /// Returns its upper 16 bits.
    fn top(self) -> usize;
    /// Widens it to 64 bits, so that one arithmetic does for all.
    fn wide(self) -> u64;
    /// Takes the lower bits of what was widened.
    fn narrow(wide: u64) -> Self;
}

impl Address for u32 {
    const BITS: u32 = 32;
    fn top(self) -> usize {
        (self >> 16) as usize
    }
    fn wide(self) -> u64 {
        u64::from(self)
    }
    fn narrow(wide: u64) -> Self {
        wide as Self
    }
}

impl Address for u64 {
    const BITS: u32 = 64;
    fn top(self) -> usize {
        (self >> 48) as usize
    }
    fn wide(self) -> u64 {
        self
    }
    fn narrow(wide: u64) -> Self {
        wide
    }
}

/// Ranges of addresses that cover all of them, each with a number. Neighbours differ.
#[derive(Clone, Debug)]
pub struct Ranges<A> {
    starts: Box<[A]>,
    values: Box<[u16]>,
    /// For each upper 16 bits, the range that the first address with them is in.
    tops: Box<[u32]>,
}

/// What is known of one address: its number, and the widest prefix around it that shares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The number.
    pub value: u16,
    /// How many bits the prefix has.
    pub bits: u8,
}

impl<A: Address> Ranges<A> {
    /// Makes a map in which all addresses have one number.
    #[must_use]
    pub fn whole(value: u16) -> Self {
        Self::new([(A::narrow(0), value)])
    }

    /// Makes a map of where ranges begin, in order; the first has to begin at the first address.
    pub fn new(ranges: impl IntoIterator<Item = (A, u16)>) -> Self {
        let (mut starts, mut values) = (Vec::new(), Vec::new());
        for (start, value) in ranges {
            assert!(starts.last().is_none_or(|it| *it < start), "ranges are in order");
            if values.last() != Some(&value) {
                starts.push(start);
                values.push(value);
            }
        }
        assert_eq!(starts.first(), Some(&A::narrow(0)), "ranges cover all addresses");
        let mut tops = Vec::with_capacity((1 << 16) + 1);
        let mut range = 0;
        for top in 0..1_u64 << 16 {
            let first = A::narrow(top << (A::BITS - 16));
            while starts.get(range + 1).is_some_and(|it| *it <= first) {
                range += 1;
            }
            tops.push(range as u32);
        }
        tops.push(starts.len() as u32 - 1);
        Self { starts: starts.into(), values: values.into(), tops: tops.into() }
    }

    /// Returns how many ranges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether all addresses have one number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// Returns the number of an address.
    #[must_use]
    pub fn value(&self, address: A) -> u16 {
        self.values[self.range(address)]
    }

    /// Returns the number of an address, and the widest prefix around it that lies in its range.
    #[must_use]
    pub fn span(&self, address: A) -> Span {
        let range = self.range(address);
        let address = address.wide();
        // What differs in its first bit from an address outside the range shares a prefix with it.
        let shared = |outside: u64| (address ^ outside).leading_zeros() + A::BITS + 1 - 64;
        let below = (range != 0).then(|| shared(self.starts[range].wide() - 1));
        let above = self.starts.get(range + 1).map(|it| shared(it.wide()));
        let bits = below.unwrap_or(0).max(above.unwrap_or(0)) as u8;
        Span { value: self.values[range], bits }
    }

    /// Iterates over where each range begins, and its number.
    pub fn iter(&self) -> impl Iterator<Item = (A, u16)> {
        self.starts.iter().copied().zip(self.values.iter().copied())
    }

    fn range(&self, address: A) -> usize {
        let top = address.top();
        let (first, last) = (self.tops[top] as usize, self.tops[top + 1] as usize);
        // The first one begins at or before the address, so that at least it does.
        first + self.starts[first + 1..=last].partition_point(|it| *it <= address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges() -> Ranges<u32> {
        Ranges::new([
            (0, 0),
            (0x0a00_0000, 7),
            (0x0b00_0000, 0),
            (0xc000_0200, 8),
            (0xc000_0300, 0),
        ])
    }

    #[test]
    fn an_address_has_the_number_of_its_range() {
        let ranges = ranges();
        for (address, value, bits) in [
            (0x0a01_0203, 7, 8),
            (0x0aff_ffff, 7, 8),
            (0x0b00_0000, 0, 8),
            (0x0900_0000, 0, 7),
            (0x7f00_0001, 0, 2),
            (0xc000_02ff, 8, 24),
            (0xc000_0100, 0, 23),
            (0xffff_ffff, 0, 3),
        ] {
            assert_eq!(ranges.span(address), Span { value, bits }, "{address:x}");
            assert_eq!(ranges.value(address), value);
        }
        assert_eq!(Ranges::<u64>::whole(3).span(9), Span { value: 3, bits: 0 });
    }

    proptest! {
        #[test]
        fn the_prefix_around_an_address_is_the_widest_that_shares_its_number(
            starts in prop::collection::btree_map(1..u32::MAX, 0_u16..4, 0..40),
            address: u32,
        ) {
            let all = std::iter::once((0, 0)).chain(starts.iter().map(|(k, v)| (*k, *v)));
            let ranges = Ranges::new(all);
            let slow = |at: u32| starts.range(..=at).next_back().map_or(0, |it| *it.1);
            prop_assert_eq!(ranges.value(address), slow(address));
            let Span { value, bits } = ranges.span(address);
            let ends = |bits: u8| {
                let mask = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                (address & !mask, address | mask)
            };
            let is_one = |(first, last): (u32, u32)| {
                slow(first) == value && starts.range(first..=last).all(|it| *it.1 == value)
            };
            prop_assert!(is_one(ends(bits)));
            prop_assert!(bits == 0 || !is_one(ends(bits - 1)));
        }

        #[test]
        fn wide_addresses_are_found_as_well(
            starts in prop::collection::btree_map(1..u64::MAX, 0_u16..4, 0..40),
            address: u64,
        ) {
            let all = std::iter::once((0, 0)).chain(starts.iter().map(|(k, v)| (*k, *v)));
            let slow = starts.range(..=address).next_back().map_or(0, |it| *it.1);
            prop_assert_eq!(Ranges::new(all).value(address), slow);
        }
    }
}
