//! Who a client is sent to: endpoints in tiers for each class of clients, and who of them is well.
//! Must not know messages; what it is made of is checked in `plan`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use photon_state::RegionId;
use smallvec::SmallVec;

use super::spec::ProbeSpec;
use crate::geo::{ClassMap, Span};

/// The most endpoints of a route: each is a bit of a mask. Routes with more are refused.
pub const ENDPOINTS_MAX: usize = 64;
/// The most endpoints that one answer names; more are cut.
pub const ANSWERS_MAX: usize = 8;

/// A set of endpoints of one route.
pub type Mask = u64;

/// A route as it is used for answers. All of it is fixed but for who is well.
#[derive(Debug)]
pub struct Route {
    /// How long the answer may be kept, in seconds.
    pub ttl: u32,
    /// How many endpoints to answer with at most.
    pub answers: usize,
    /// Who may be answered with.
    pub endpoints: Box<[Endpoint]>,
    pub(super) choice: Choice,
    /// Those that have addresses of IPv4, and of IPv6.
    pub(super) with: [Mask; 2],
    /// Those that are well.
    pub(super) well: AtomicU64,
}

/// Somewhere that clients are sent.
#[derive(Debug)]
pub struct Endpoint {
    /// What it is called.
    pub name: Arc<str>,
    /// Its addresses of IPv4.
    pub v4: Box<[[u8; 4]]>,
    /// Its addresses of IPv6.
    pub v6: Box<[[u8; 16]]>,
    /// The region that it is in.
    pub region: Option<RegionId>,
    /// How often it is chosen beside others as good.
    pub weight: u16,
    /// How it is probed.
    pub probe: Option<Arc<ProbeSpec>>,
    /// What its state takes from its score, in hundredths of a point.
    pub(super) burden: AtomicU16,
}

/// How endpoints are put in order.
#[derive(Debug)]
pub(super) enum Choice {
    /// The same for all clients.
    Same(Box<[Mask]>),
    /// Tiers by class of clients: of the first in which somebody is well, one is chosen.
    Tiers { classes: Arc<ClassMap>, of: Box<[Box<[Mask]>]> },
    /// Points by class of clients and endpoint, in hundredths.
    Scores { classes: Arc<ClassMap>, of: Box<[Box<[u16]>]> },
}

/// Which addresses are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
}

/// Who was chosen for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The endpoints by their place in the route, the best first.
    pub endpoints: SmallVec<[u8; ANSWERS_MAX]>,
    /// The class of the client and the widest network that is of it; nothing if all are answered
    /// alike.
    pub span: Option<Span>,
}

impl Route {
    /// Chooses endpoints that have addresses of a family. There are none only if none has.
    pub fn pick(&self, client: IpAddr, family: Family, rng: &mut fastrand::Rng) -> Pick {
        let able = self.with[family as usize];
        let well = able & self.well.load(Ordering::Relaxed);
        // With nobody well, to answer as if all were is better than not to answer.
        let able = if well == 0 { able } else { well };
        let (span, mut tier) = match &self.choice {
            Choice::Same(tiers) => (None, first(tiers, able)),
            Choice::Tiers { classes, of } => {
                let span = classes.span(client);
                (Some(span), first(&of[usize::from(span.value)], able))
            }
            Choice::Scores { classes, of } => {
                let span = classes.span(client);
                (Some(span), self.best(&of[usize::from(span.value)], able))
            }
        };
        let mut endpoints = SmallVec::new();
        while tier != 0 && endpoints.len() < self.answers {
            let chosen = self.draw(tier, rng);
            endpoints.push(chosen);
            tier &= !(1 << chosen);
        }
        Pick { endpoints, span }
    }

    /// Returns who of them has the most points; several if they have as many.
    fn best(&self, points: &[u16], able: Mask) -> Mask {
        let (mut best, mut most) = (0, 0);
        for index in bits(able) {
            let burden = self.endpoints[index].burden.load(Ordering::Relaxed);
            let left = points[index].saturating_sub(burden);
            if best == 0 || most < left {
                (best, most) = (1 << index, left);
            } else if most == left {
                best |= 1 << index;
            }
        }
        best
    }

    /// Draws one endpoint of a tier by weight.
    fn draw(&self, tier: Mask, rng: &mut fastrand::Rng) -> u8 {
        if tier.is_power_of_two() {
            return tier.trailing_zeros() as u8;
        }
        let weight = |index: usize| u32::from(self.endpoints[index].weight);
        let sum: u32 = bits(tier).map(weight).sum();
        if sum == 0 {
            let nth = rng.u32(..tier.count_ones()) as usize;
            return bits(tier).nth(nth).expect("there are so many") as u8;
        }
        let mut left = rng.u32(..sum);
        for index in bits(tier) {
            match left.checked_sub(weight(index)) {
                Some(less) => left = less,
                None => return index as u8,
            }
        }
        unreachable!("what was drawn is less than the sum")
    }

    /// Returns who is well.
    #[must_use]
    pub fn well(&self) -> Mask {
        self.well.load(Ordering::Relaxed)
    }

    /// Says who is well, from now on.
    pub fn set_well(&self, well: Mask) {
        self.well.store(well, Ordering::Relaxed);
    }

    /// Says what the state of an endpoint takes from its score, in hundredths of a point.
    pub fn set_burden(&self, endpoint: usize, hundredths: u16) {
        self.endpoints[endpoint].burden.store(hundredths, Ordering::Relaxed);
    }

    /// Whether clients are told apart by where they are.
    #[must_use]
    pub fn is_by_client(&self) -> bool {
        match self.choice {
            Choice::Same(_) => false,
            Choice::Tiers { .. } | Choice::Scores { .. } => true,
        }
    }
}

/// Returns those who are able in the first tier in which somebody is.
fn first(tiers: &[Mask], able: Mask) -> Mask {
    tiers.iter().map(|it| it & able).find(|it| *it != 0).unwrap_or(0)
}

/// Iterates over the endpoints of a mask.
pub(super) fn bits(mut mask: Mask) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(next)
    })
}
