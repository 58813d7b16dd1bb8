//! The imagined net: how long a message takes, whether it arrives, and who is linked to whom.
//! Must not know what a message says.

use photon_region::Place;

use crate::clock::Micros;

/// How badly the net behaves; all zero is a good day.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions {
    /// At most this is added to the delay.
    pub(crate) jitter: Micros,
    /// Probability that a message is lost.
    pub(crate) loss: f64,
    /// Probability that a message is overtaken by later ones.
    pub(crate) reorder: f64,
    /// Probability that a message arrives twice.
    pub(crate) duplicate: f64,
}

/// One direction between two regions.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    delay: Micros,
    /// When the last message arrives that keeps its place.
    last: Micros,
    /// Whether nothing passes.
    is_cut: bool,
    /// Until when what arrives is held back.
    held_until: Micros,
    /// By how much it is slower than the distance asks for.
    extra: Micros,
}

/// The link between two regions, as each of them believes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pair {
    /// Which session it is; messages of an earlier one are late.
    pub(crate) session: u32,
    /// Whether the lesser and the greater site count themselves as linked.
    pub(crate) linked: [bool; 2],
    /// Whether somebody is dialling.
    pub(crate) is_dialled: bool,
}

/// All lines and links of a planet.
#[derive(Debug)]
pub(crate) struct Net {
    count: usize,
    lines: Vec<Line>,
    pairs: Vec<Pair>,
    pub(crate) conditions: Conditions,
    rng: fastrand::Rng,
}

impl Net {
    /// Joins places by lines as long as the distance between them.
    pub(crate) fn new(places: &[Place], rng: fastrand::Rng) -> Self {
        let count = places.len();
        let line = |index: usize| Line {
            delay: one_way(places[index / count], places[index % count]),
            ..Line::default()
        };
        Self {
            count,
            lines: (0..count * count).map(line).collect(),
            pairs: vec![Pair::default(); count * count],
            conditions: Conditions::default(),
            rng,
        }
    }

    /// Returns when a message arrives that is sent now: never, once or twice.
    pub(crate) fn carry(&mut self, now: Micros, from: usize, to: usize) -> [Option<Micros>; 2] {
        let Conditions { jitter, loss, reorder, duplicate } = self.conditions;
        let line = &mut self.lines[from * self.count + to];
        let rng = &mut self.rng;
        if line.is_cut || (0.0 < loss && rng.f64() < loss) {
            return [None, None];
        }
        let trip = line.delay + line.extra;
        let mut straggle = || now + trip + if jitter == 0 { 0 } else { rng.u64(0..jitter) };
        let arrival = straggle();
        let copy = straggle();
        let copy = (0.0 < duplicate && self.rng.f64() < duplicate).then_some(copy);
        if 0.0 < reorder && self.rng.f64() < reorder {
            return [Some(arrival + self.rng.u64(0..2 * line.delay + 2)), copy];
        }
        line.last = line.last.max(arrival);
        [Some(line.last), copy]
    }

    /// Cuts a direction, or mends it.
    pub(crate) fn set_cut(&mut self, from: usize, to: usize, is_cut: bool) {
        self.lines[from * self.count + to].is_cut = is_cut;
    }

    /// Lets a direction hold back what arrives, until then.
    pub(crate) fn hold(&mut self, from: usize, to: usize, until: Micros) {
        let line = &mut self.lines[from * self.count + to];
        line.held_until = line.held_until.max(until);
    }

    /// Returns until when a direction holds back what arrives, if it does.
    pub(crate) fn held_until(&self, now: Micros, from: usize, to: usize) -> Option<Micros> {
        Some(self.lines[from * self.count + to].held_until).filter(|it| now < *it)
    }

    /// Returns by how much a direction is slower than its distance asks for.
    pub(crate) fn extra(&mut self, from: usize, to: usize) -> &mut Micros {
        &mut self.lines[from * self.count + to].extra
    }

    /// Whether a direction is cut.
    pub(crate) fn is_cut(&self, now: Micros, from: usize, to: usize) -> bool {
        self.lines[from * self.count + to].is_cut || self.held_until(now, from, to).is_some()
    }

    /// Mends every line.
    pub(crate) fn mend(&mut self) {
        self.lines.iter_mut().for_each(|line| line.is_cut = false);
    }

    /// Whether something passes both ways.
    pub(crate) fn passes(&self, now: Micros, a: usize, b: usize) -> bool {
        !self.is_cut(now, a, b) && !self.is_cut(now, b, a)
    }

    /// Returns how long a message takes at the least.
    pub(crate) fn delay(&self, from: usize, to: usize) -> Micros {
        let line = &self.lines[from * self.count + to];
        line.delay + line.extra
    }

    /// Returns the link between two sites.
    pub(crate) fn pair(&mut self, a: usize, b: usize) -> &mut Pair {
        &mut self.pairs[a.min(b) * self.count + a.max(b)]
    }

    /// Whether `here` counts itself as linked to `peer`.
    pub(crate) fn linked(&mut self, here: usize, peer: usize) -> &mut bool {
        &mut self.pair(here, peer).linked[usize::from(peer < here)]
    }
}

/// The relay of `photon up` uses the same formula: half a round trip of 26.4 ms + 0.01421 ms/km.
fn one_way(from: Place, to: Place) -> Micros {
    ((26_400.0 + 14.21 * from.distance_km(to)) / 2.0).round() as Micros
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUBLIN: Place = Place { latitude: 53.35, longitude: -6.26 };
    const SINGAPORE: Place = Place { latitude: 1.35, longitude: 103.82 };

    #[test]
    fn a_line_holds_back_for_a_while_and_a_slow_one_takes_longer() {
        let mut net = Net::new(&[DUBLIN, SINGAPORE], fastrand::Rng::with_seed(1));
        let delay = net.delay(0, 1);
        net.hold(0, 1, 500);
        net.hold(0, 1, 300);
        assert_eq!(net.held_until(499, 0, 1), Some(500));
        assert_eq!((net.held_until(500, 0, 1), net.held_until(1, 1, 0)), (None, None));
        assert!(net.is_cut(499, 0, 1) && !net.passes(499, 1, 0) && net.passes(500, 1, 0));
        *net.extra(0, 1) += 7;
        assert_eq!(net.carry(1_000, 0, 1), [Some(1_007 + delay), None]);
    }

    #[test]
    fn a_line_is_as_slow_as_its_distance_and_keeps_the_order() {
        let mut net = Net::new(&[DUBLIN, SINGAPORE], fastrand::Rng::with_seed(1));
        let delay = net.delay(0, 1);
        assert!((90_000..95_000).contains(&delay), "{delay} us");
        net.conditions.jitter = 50_000;
        let mut last = 0;
        for now in 0..1_000 {
            let [arrival, copy] = net.carry(now, 0, 1);
            let arrival = arrival.unwrap();
            assert!(copy.is_none() && last <= arrival && now + delay <= arrival);
            last = arrival;
        }
        net.set_cut(0, 1, true);
        assert_eq!(net.carry(0, 0, 1), [None, None]);
        assert!(net.carry(0, 1, 0)[0].is_some() && !net.passes(0, 0, 1));
    }
}
