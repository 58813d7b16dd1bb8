//! Whether the disk takes long to sync: work is better given elsewhere before anything breaks.
//! Must not read a clock, nor know what is written.

use std::time::Duration;

/// Watches one append after the other until it is durable.
#[derive(Debug, Default)]
pub(crate) struct Syncing {
    /// The append that is watched, and when it was given to the log.
    watched: Option<(u64, Duration)>,
    slow_until: Duration,
}

impl Syncing {
    /// A disk that takes longer to sync is slow: a hundred times what a good one takes.
    const SLOW: Duration = Duration::from_millis(500);
    /// How long that is held against it.
    const HELD_AGAINST: Duration = Duration::from_secs(5);

    /// Takes in that something was given to the log.
    pub(crate) fn appended(&mut self, number: u64, now: Duration) {
        self.watched.get_or_insert((number, now));
    }

    /// Takes in up to where the log is durable, and what it was given last.
    pub(crate) fn durable(&mut self, number: u64, appended: u64, now: Duration) {
        let Some((_, since)) = self.watched.filter(|(watched, _)| *watched <= number) else {
            return;
        };
        if Self::SLOW <= now.saturating_sub(since) {
            self.slow_until = now + Self::HELD_AGAINST;
        }
        self.watched = (number < appended).then_some((appended, now));
    }

    /// Whether the disk is slow.
    pub(crate) fn is_slow(&self, now: Duration) -> bool {
        let is_late = |(_, since)| Self::SLOW <= now.saturating_sub(since);
        now < self.slow_until || self.watched.is_some_and(is_late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_slow_while_it_is_and_for_a_while_after() {
        let ms = Duration::from_millis;
        let mut syncing = Syncing::default();
        assert!(!syncing.is_slow(ms(9_000)), "nothing was written");
        syncing.appended(1, ms(10_000));
        syncing.appended(2, ms(10_400));
        assert!(!syncing.is_slow(ms(10_499)));
        assert!(syncing.is_slow(ms(10_500)), "it is known before it is over");
        syncing.durable(1, 2, ms(10_600));
        assert!(syncing.is_slow(ms(15_599)));
        syncing.durable(2, 2, ms(10_610));
        assert!(!syncing.is_slow(ms(15_600)));
        syncing.appended(3, ms(20_000));
        syncing.durable(3, 3, ms(20_499));
        assert!(!syncing.is_slow(ms(21_000)), "it was in time");
    }
}
