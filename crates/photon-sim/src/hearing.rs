//! What the net let each region hear of each other one, and which silences faults explain.
//! Must not know what a region makes of it: only what was done to it.

use crate::clock::{MS, Micros};

/// One direction: what a region hears of another one.
#[derive(Clone, Copy, Debug, Default)]
struct Ear {
    /// When the last beat came through.
    heard: Micros,
    /// When the last message arrives that was sent so far.
    arrives: Micros,
    /// When something was last lost or late.
    disturbed: Micros,
    /// When the silence was last one that faults explain, and long enough to be noticed.
    silenced: Micros,
}

/// What the net let each region hear of each other one.
#[derive(Debug)]
pub(crate) struct Hearing {
    count: usize,
    ears: Vec<Ear>,
    /// When each region last began to live.
    born: Vec<Micros>,
    /// When each one last stood still.
    roused: Vec<Micros>,
}

impl Hearing {
    /// A message that takes longer is late: the longest path on Earth takes 156 ms, and jitter
    /// adds up to 120.
    pub(crate) const TRIP_MAX: Micros = 280 * MS;
    /// A shorter silence is noticed by nobody: the timeout of a region with one sender is 900 ms,
    /// by a clock that may run too fast by a fiftieth.
    const SILENCE_MIN: Micros = 850 * MS;

    /// Begins when nobody has heard anything.
    pub(crate) fn new(count: usize) -> Self {
        let ears = vec![Ear::default(); count * count];
        Self { count, ears, born: vec![0; count], roused: vec![0; count] }
    }

    fn ear(&mut self, from: usize, to: usize) -> &mut Ear {
        &mut self.ears[from * self.count + to]
    }

    /// Takes in that a message was sent, and when it arrives.
    pub(crate) fn sent(&mut self, (now, at): (Micros, Micros), from: usize, to: usize) {
        let ear = self.ear(from, to);
        ear.arrives = ear.arrives.max(at);
        if now + Self::TRIP_MAX < at {
            ear.disturbed = ear.disturbed.max(at);
        }
    }

    /// Takes in that a beat came through.
    pub(crate) fn heard(&mut self, now: Micros, from: usize, to: usize) {
        self.look(now, from, to);
        self.ear(from, to).heard = now;
    }

    /// Takes in that something was lost that would have arrived at that time.
    pub(crate) fn disturb(&mut self, at: Micros, from: usize, to: usize) {
        let ear = self.ear(from, to);
        ear.disturbed = ear.disturbed.max(at);
    }

    /// Takes in that the session between two regions is over, as one of them knows: that counts as
    /// a silence at once.
    pub(crate) fn part(&mut self, now: Micros, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            self.disturb(now, from, to);
            self.ear(from, to).silenced = now;
        }
    }

    /// Takes in that a region begins to live.
    pub(crate) fn begin(&mut self, now: Micros, here: usize) {
        self.born[here] = now;
    }

    /// Takes in that a region goes on that has stood still.
    pub(crate) fn rouse(&mut self, now: Micros, here: usize) {
        self.roused[here] = now;
    }

    /// Looks whether a silence has become one that faults explain.
    pub(crate) fn look(&mut self, now: Micros, from: usize, to: usize) {
        let born = self.born[to];
        let ear = self.ear(from, to);
        // What was lost may have been sent before what came through last.
        let is_explained = ear.heard <= ear.disturbed + Self::TRIP_MAX;
        let is_long = ear.heard.max(born) + Self::SILENCE_MIN <= now;
        if is_explained && is_long {
            ear.silenced = now;
        }
    }

    /// Returns when a region began to live.
    pub(crate) fn born(&self, here: usize) -> Micros {
        self.born[here]
    }

    /// Returns when a region last stood still.
    pub(crate) fn roused(&self, here: usize) -> Micros {
        self.roused[here]
    }

    /// Returns when a region had heard the last of another one that is dead.
    pub(crate) fn last_words(&self, from: usize, to: usize) -> Micros {
        let ear = &self.ears[from * self.count + to];
        ear.arrives.max(ear.heard)
    }

    /// Returns when something was last lost or late on the way.
    pub(crate) fn disturbed(&self, from: usize, to: usize) -> Micros {
        self.ears[from * self.count + to].disturbed
    }

    /// Returns when either of two regions had last reason to believe that the other is silent.
    pub(crate) fn silenced(&self, a: usize, b: usize) -> Micros {
        let ear = |from: usize, to: usize| self.ears[from * self.count + to].silenced;
        ear(a, b).max(ear(b, a))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_silence_with_a_fault_in_it_is_explained() {
        let mut hearing = Hearing::new(2);
        hearing.heard(500 * MS, 0, 1);
        hearing.look(2_500 * MS, 0, 1);
        assert_eq!(hearing.silenced(0, 1), 0, "nothing was lost");
        hearing.disturb(2_550 * MS, 0, 1);
        hearing.look(2_600 * MS, 0, 1);
        assert_eq!(hearing.silenced(1, 0), 2_600 * MS);
        hearing.heard(2_700 * MS, 0, 1);
        hearing.disturb(2_800 * MS, 0, 1);
        hearing.heard(3_400 * MS, 0, 1);
        assert_eq!(hearing.silenced(0, 1), 2_700 * MS, "the second silence was too short");
        hearing.part(3_500 * MS, 1, 0);
        assert_eq!(hearing.silenced(0, 1), 3_500 * MS, "an end of a session is known at once");
    }

    #[test]
    fn what_takes_longer_than_any_path_is_late() {
        let mut hearing = Hearing::new(2);
        hearing.sent((MS, 281 * MS), 0, 1);
        assert_eq!(hearing.disturbed(0, 1), 0);
        hearing.sent((MS, 282 * MS), 0, 1);
        assert_eq!((hearing.disturbed(0, 1), hearing.last_words(0, 1)), (282 * MS, 282 * MS));
    }
}
