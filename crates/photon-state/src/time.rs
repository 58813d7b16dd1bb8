//! Time as an input: [`Now`] from outside, [`Hlc`] to order writes.
//! Must not read a clock.

use std::time::Duration;

/// The moment at which an input reached us, read once by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the process started; never goes back.
    pub mono: Duration,
    /// Milliseconds since 1970, as the local clock believes; may jump.
    pub wall_ms: u64,
}

/// A hybrid logical clock reading (Kulkarni et al., 2014): wall time, then a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc {
    /// Milliseconds since 1970.
    pub wall_ms: u64,
    /// Breaks ties within one millisecond.
    pub count: u32,
}

/// A remote reading that lies too far ahead to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a clock is {ahead_ms} ms ahead of ours, more than {}", Hlc::AHEAD_MS_MAX)]
pub struct HlcError {
    /// How far ahead it is.
    pub ahead_ms: u64,
}

impl Hlc {
    /// The farthest that a peer's clock may run ahead of ours before its ops must wait.
    pub const AHEAD_MS_MAX: u64 = 2_000;

    /// Returns the next reading, greater than every earlier one even if the wall clock went back.
    #[must_use]
    pub fn tick(self, now: Now) -> Self {
        if self.wall_ms < now.wall_ms {
            return Self { wall_ms: now.wall_ms, count: 0 };
        }
        match self.count.checked_add(1) {
            Some(count) => Self { wall_ms: self.wall_ms, count },
            None => Self { wall_ms: self.wall_ms + 1, count: 0 },
        }
    }

    /// Returns the greater of the two readings, or refuses a clock that runs ahead.
    pub fn observe(self, remote: Self, now: Now) -> Result<Self, HlcError> {
        let ahead_ms = remote.wall_ms.saturating_sub(now.wall_ms);
        if Self::AHEAD_MS_MAX < ahead_ms {
            return Err(HlcError { ahead_ms });
        }
        Ok(self.max(remote))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_ms: u64) -> Now {
        Now { mono: Duration::ZERO, wall_ms }
    }

    #[test]
    fn readings_grow_even_when_the_wall_clock_goes_back() {
        let mut hlc = Hlc::default();
        for wall_ms in [5, 5, 3, 9, 1] {
            let next = hlc.tick(at(wall_ms));
            assert!(hlc < next);
            hlc = next;
        }
        assert_eq!(hlc, Hlc { wall_ms: 9, count: 1 });
    }

    #[test]
    fn a_clock_that_runs_ahead_is_refused() {
        let ours = Hlc { wall_ms: 1_000, count: 0 };
        let near = Hlc { wall_ms: 1_000 + Hlc::AHEAD_MS_MAX, count: 7 };
        assert_eq!(ours.observe(near, at(1_000)), Ok(near));
        let far = Hlc { wall_ms: near.wall_ms + 1, count: 0 };
        assert_eq!(ours.observe(far, at(1_000)), Err(HlcError { ahead_ms: 2_001 }));
    }
}
