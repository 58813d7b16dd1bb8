//! A token bucket: how soon more bytes may be sent.
//! Must not wait itself.

use std::time::Duration;

use tokio::time::Instant;

/// Lets bytes through at a rate; more of them wait. What it lets through at once, it lends: the
/// next bytes wait until the debt is paid.
#[derive(Debug)]
pub(super) struct Bucket {
    bytes_per_second_max: Option<u64>,
    /// When all that was let through is paid for.
    paid_at: Instant,
}

impl Bucket {
    /// What may be let through at once after a rest, as the time in which it is earned.
    const BURST: Duration = Duration::from_millis(50);

    /// Lets everything through if there is no bound.
    pub(super) fn new(bytes_per_second_max: Option<u64>, now: Instant) -> Self {
        Self { bytes_per_second_max, paid_at: now }
    }

    /// Returns until when to wait, if not at all.
    pub(super) fn wait_until(&self, now: Instant) -> Option<Instant> {
        (now < self.paid_at).then_some(self.paid_at)
    }

    /// Takes note of what was let through.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) {
        let Some(rate) = self.bytes_per_second_max else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let earliest = now.checked_sub(Self::BURST).unwrap_or(now);
        self.paid_at = self.paid_at.max(earliest) + cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many bytes pass in `secs`, in pieces of 1,000 bytes, from a bucket at rest.
    fn passed(rate: Option<u64>, secs: u64) -> u64 {
        let start = Instant::now();
        let (mut now, mut bytes) = (start, 0);
        let mut bucket = Bucket::new(rate, start);
        while now < start + Duration::from_secs(secs) {
            match bucket.wait_until(now) {
                Some(at) => now = at,
                None if bytes < 10_000_000 => {
                    bucket.take(1_000, now);
                    bytes += 1_000;
                }
                None => break,
            }
        }
        bytes
    }

    #[test]
    fn a_bucket_keeps_its_rate_and_without_one_lets_all_through() {
        assert_eq!(passed(None, 1), 10_000_000);
        assert!((1_000_000..=1_060_000).contains(&passed(Some(1_000_000), 1)));
        assert!((10_000..=12_000).contains(&passed(Some(1_000), 10)));
    }
}
