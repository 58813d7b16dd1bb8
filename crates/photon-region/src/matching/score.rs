//! What speaks for an agent, as grades and as points.
//! Must not know agents or regions, only what is measured of them.

use std::time::Duration;

/// How good something is, in thousandths: 1,000 is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grade(u16);

/// What a score is counted in: hundredths of a point. All weights together are 100 points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Points(u16);

/// How much each grade counts beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// How near the agent's region is to the home.
    pub proximity: u16,
    /// How much of its capacity is free.
    pub capacity: u16,
    /// How soon it is done.
    pub latency: u16,
    /// How little it asks.
    pub cost: u16,
}

/// What speaks for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grades {
    /// How near its region is.
    pub proximity: Grade,
    /// How often it succeeds: whatever speaks for the agent itself counts in proportion to it.
    pub success: Grade,
    /// How much of its capacity is free.
    pub capacity: Grade,
    /// How soon it is done.
    pub latency: Grade,
    /// How little it asks.
    pub cost: Grade,
}

impl Grade {
    /// The best.
    pub const BEST: Self = Self(1_000);
    /// What is given for what is not known.
    pub const UNKNOWN: Self = Self(500);
    /// A round trip that takes as long, or longer, has the worst grade.
    const FAR: Duration = Duration::from_millis(300);
    /// How many doublings lead from the best grade to the worst.
    const DOUBLINGS: u64 = 20;

    /// Returns it in thousandths.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    pub(crate) fn of_share(part: u64, whole: u64) -> Self {
        let share = part.saturating_mul(1_000).checked_div(whole).unwrap_or(0);
        Self(u16::try_from(share).unwrap_or(1_000).min(1_000))
    }

    /// Grades a region by the round trip to it: even steps down to [`Self::FAR`].
    pub(crate) fn of_round_trip(it: Duration) -> Self {
        let left = Self::FAR.saturating_sub(it);
        let micros = |it: Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
        Self::of_share(micros(left), micros(Self::FAR))
    }

    /// Grades an agent by what is free of its capacity.
    pub(crate) fn of_capacity(in_use: u32, capacity: u32) -> Self {
        Self::of_share(capacity.saturating_sub(in_use).into(), capacity.into())
    }

    fn times(self, other: Self) -> Self {
        Self::of_share(u64::from(self.0) * u64::from(other.0), 1_000_000)
    }

    /// Grades how long something takes in milliseconds, or what it costs in millionths: a twentieth
    /// less for each doubling, from 1 to 2^20 of them.
    pub(crate) fn of_size(it: u64) -> Self {
        let it = it.max(1);
        let doublings = u64::from(it.ilog2());
        if Self::DOUBLINGS <= doublings {
            return Self(0);
        }
        let whole = 1_u64 << doublings;
        let lost = doublings * 1_000 + (it - whole) * 1_000 / whole; // Even between two doublings.
        Self::of_share(Self::DOUBLINGS * 1_000 - lost, Self::DOUBLINGS * 1_000)
    }
}

impl Grades {
    /// Returns how each term counts: proximity, capacity, latency, cost. Who never succeeds has
    /// nothing but its place.
    fn counted(self) -> [Grade; 4] {
        let Self { proximity, success, capacity, latency, cost } = self;
        [proximity, capacity.times(success), latency.times(success), cost.times(success)]
    }
}

impl Points {
    /// The most that there are.
    pub const MAX: Self = Self(10_000);

    /// Returns it in hundredths of a point.
    #[must_use]
    pub const fn hundredths(self) -> u16 {
        self.0
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns what is missing to the most.
    pub(crate) fn missing(self) -> u16 {
        Self::MAX.0.saturating_sub(self.0)
    }

    /// Returns the points of which so much is [missing](Self::missing).
    pub(crate) fn short_of(missing: u16) -> Self {
        Self(Self::MAX.0.saturating_sub(missing))
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self { proximity: 40, capacity: 30, latency: 20, cost: 10 }
    }
}

impl Weights {
    /// The greatest of one.
    pub const MAX: u16 = 1_000;

    fn sum(self) -> u64 {
        [self.proximity, self.capacity, self.latency, self.cost].map(u64::from).iter().sum()
    }

    fn points(self, parts: &[(u16, Grade)]) -> Points {
        let weighed = parts.iter().map(|(weight, grade)| u64::from(*weight) * u64::from(grade.0));
        let most = u64::from(Points::MAX.0);
        let points = (weighed.sum::<u64>() * most).checked_div(self.sum() * 1_000).unwrap_or(0);
        Points(u16::try_from(points.min(most)).expect("it is no more than there are"))
    }

    /// Returns the points of the region that an agent is attached to.
    pub(crate) fn of_region(self, proximity: Grade) -> Points {
        self.points(&[(self.proximity, proximity)])
    }

    /// Returns the points of an agent wherever it is.
    pub(crate) fn of_agent(self, grades: Grades) -> Points {
        let [_, capacity, latency, cost] = grades.counted();
        self.points(&[(self.capacity, capacity), (self.latency, latency), (self.cost, cost)])
    }

    /// Returns the points that each grade brings by itself: nearness, capacity, latency, cost.
    #[must_use]
    pub fn each(self, grades: Grades) -> [Points; 4] {
        let [proximity, capacity, latency, cost] = grades.counted();
        [
            self.points(&[(self.proximity, proximity)]),
            self.points(&[(self.capacity, capacity)]),
            self.points(&[(self.latency, latency)]),
            self.points(&[(self.cost, cost)]),
        ]
    }

    /// Returns the score that grades come to.
    pub(crate) fn score(self, grades: Grades) -> Points {
        self.of_region(grades.proximity).plus(self.of_agent(grades))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_loses_marks_in_even_steps() {
        let check = |ms, expected| {
            assert_eq!(Grade::of_round_trip(Duration::from_millis(ms)).get(), expected, "{ms} ms");
        };
        check(0, 1_000);
        check(75, 750);
        check(150, 500);
        check(300, 0);
        check(u64::MAX, 0);
    }

    #[test]
    fn each_doubling_of_a_size_costs_a_twentieth() {
        let check = |size, expected| assert_eq!(Grade::of_size(size).get(), expected, "{size}");
        check(0, 1_000);
        check(1, 1_000);
        check(2, 950);
        check(3, 925);
        check(4, 900);
        check(1 << 10, 500);
        check(1 << 19, 50);
        check(1 << 20, 0);
        check(u64::MAX, 0);
    }

    #[test]
    fn what_is_free_is_a_share_of_the_capacity() {
        let check = |in_use, capacity, expected| {
            let grade = Grade::of_capacity(in_use, capacity);
            assert_eq!(grade.get(), expected, "{in_use} of {capacity}");
        };
        check(0, 4, 1_000);
        check(1, 4, 750);
        check(4, 4, 0);
        check(9, 4, 0);
        check(0, 0, 0);
        check(1, u32::MAX, 999);
    }

    #[test]
    fn points_are_hundredths_of_all_weights() {
        let grades = |proximity, capacity, latency, cost| Grades {
            proximity: Grade(proximity),
            success: Grade::BEST,
            capacity: Grade(capacity),
            latency: Grade(latency),
            cost: Grade(cost),
        };
        let check = |weights: [u16; 4], grades, expected| {
            let [proximity, capacity, latency, cost] = weights;
            let weights = Weights { proximity, capacity, latency, cost };
            assert_eq!(weights.score(grades).hundredths(), expected, "{weights:?}, {grades:?}");
        };
        check([40, 30, 20, 10], grades(1_000, 1_000, 1_000, 1_000), 10_000);
        check([40, 30, 20, 10], grades(1_000, 0, 0, 0), 4_000);
        check([40, 30, 20, 10], grades(500, 500, 500, 500), 5_000);
        check([4, 3, 2, 1], grades(0, 0, 0, 1_000), 1_000);
        check([1, 0, 0, 0], grades(250, 1_000, 1_000, 1_000), 2_500);
        check([1_000; 4], grades(1_000, 1_000, 1_000, 1_000), 10_000);
        check([0; 4], grades(1_000, 1_000, 1_000, 1_000), 0);
        let failing = Grades { success: Grade(100), ..grades(1_000, 1_000, 500, 0) };
        check([40, 30, 20, 10], failing, 4_400);
    }
}
