//! The clocks of one region as it sees them: skewed, drifting, jumping.
//! Must not know what anybody does with the time.

use std::time::Duration;

use photon_state::Now;

/// Virtual time of the world, in microseconds since the run began.
pub(crate) type Micros = u64;

/// One millisecond of virtual time.
pub(crate) const MS: Micros = 1_000;

/// One second of virtual time.
pub(crate) const SECOND: Micros = 1_000_000;

/// What the wall clocks of the world show when a run begins.
const EPOCH_MS: u64 = 1_800_000_000_000;

/// The clocks of one life of a region.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// When this life began, in the time of the world.
    born: Micros,
    /// What the monotonic clock showed then.
    mono_then: Micros,
    /// How fast the clocks run: parts per million too fast; negative is too slow.
    pub(crate) drift_ppm: i64,
    /// How far the wall clock is ahead; negative is behind.
    pub(crate) skew_ms: i64,
    /// How much farther the schedule has set it ahead.
    pub(crate) jump_ms: i64,
}

impl Clock {
    /// Begins a life: the monotonic clock starts anywhere, the wall clock goes on.
    pub(crate) fn restart(&mut self, at: Micros, mono: Micros) {
        self.born = at;
        self.mono_then = mono;
    }

    /// Returns what the region reads at a moment of the world.
    pub(crate) fn read(&self, at: Micros) -> Now {
        let mono = self.mono_then + drifted(at - self.born, self.drift_ppm);
        let wall_ms = (EPOCH_MS + drifted(at, self.drift_ppm) / MS)
            .saturating_add_signed(self.skew_ms + self.jump_ms);
        Now { mono: Duration::from_micros(mono), wall_ms }
    }

    /// Returns when, in the time of the world, the monotonic clock has reached `mono`.
    pub(crate) fn moment(&self, mono: Duration) -> Micros {
        let nanos = mono.as_nanos().div_ceil(1_000);
        let mono = Micros::try_from(nanos).unwrap_or(Micros::MAX / 4).min(Micros::MAX / 4);
        let ahead = u128::from(mono.saturating_sub(self.mono_then));
        let speed = u128::from(1_000_000_u64.saturating_add_signed(self.drift_ppm));
        let elapsed = (ahead * 1_000_000).div_ceil(speed);
        self.born.saturating_add(Micros::try_from(elapsed).unwrap_or(Micros::MAX / 4))
    }
}

fn drifted(elapsed: Micros, drift_ppm: i64) -> Micros {
    let drift = elapsed.cast_signed() * drift_ppm / 1_000_000;
    elapsed.saturating_add_signed(drift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wakeup_is_never_early_and_hardly_late() {
        for drift_ppm in [-10_000, -37, 0, 41, 10_000] {
            let mut clock = Clock { drift_ppm, ..Clock::default() };
            clock.restart(7_777, 123_456);
            for elapsed in [0, 1, 999, 1_000_000, 86_400_000_000] {
                let mono = Duration::from_micros(123_456 + elapsed);
                let at = clock.moment(mono);
                let read = clock.read(at).mono;
                assert!(mono <= read + Duration::from_micros(1), "{drift_ppm} {elapsed}");
                assert!(read <= mono + Duration::from_micros(2), "{drift_ppm} {elapsed}");
            }
        }
    }
}
