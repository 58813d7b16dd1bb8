//! What the front door counts of itself: requests by route, method and class of status.
//! Must not know how a scraper wants it. Routes are those of the router, so labels are bounded.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};

/// The upper bounds of the histogram's buckets, in seconds; one more bucket takes the rest.
pub(crate) const BUCKETS: [f64; 11] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0];

/// The counts of one route and method.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    /// Replies with a status of 1xx, 2xx, 3xx, 4xx and 5xx.
    pub(crate) classes: [u64; 5],
    /// Replies by the bucket that their duration falls into, up to the head of the reply.
    pub(crate) buckets: [u64; BUCKETS.len() + 1],
    /// All durations together.
    pub(crate) sum: Duration,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    series: Mutex<BTreeMap<&'static str, BTreeMap<String, Series>>>,
    connections_open: AtomicU64,
    connections_refused: AtomicU64,
}

impl Meter {
    /// Counts a reply.
    pub(crate) fn count(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|it| seconds <= *it).unwrap_or(BUCKETS.len());
        let mut series = self.series.lock().expect("no holder panics");
        let routes = series.entry(label(method)).or_default();
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), Series::default());
        }
        let series = routes.get_mut(route).expect("inserted above");
        series.classes[class] += 1;
        series.buckets[bucket] += 1;
        series.sum += took;
    }

    /// Shows the counts of each method and route.
    pub(crate) fn read(&self, mut show: impl FnMut(&str, &str, &Series)) {
        let series = self.series.lock().expect("no holder panics");
        for (method, routes) in &*series {
            for (route, series) in routes {
                show(method, route, series);
            }
        }
    }

    /// Counts a connection that is open as long as the guard lives.
    pub(crate) fn connected(&self) {
        self.connections_open.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed.
    pub(crate) fn disconnected(&self) {
        self.connections_open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection that was refused.
    pub(crate) fn refused(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many connections are open, and how many were refused.
    pub(crate) fn connections(&self) -> (u64, u64) {
        let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (read(&self.connections_open), read(&self.connections_refused))
    }
}

/// Methods that nobody knows share a label, because clients can make up as many as they like.
fn label(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    KNOWN.into_iter().find(|it| *it == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_whatever_clients_send() {
        let meter = Meter::default();
        for method in ["GET", "BREW", "PROPFIND"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            meter.count(&method, "/a", StatusCode::OK, Duration::from_millis(2));
        }
        let mut seen = Vec::new();
        meter.read(|method, route, it| {
            seen.push((method.to_owned(), route.to_owned(), it.classes[1], it.buckets[1]));
        });
        let row = |method: &str, n| (method.to_owned(), "/a".to_owned(), n, n);
        assert_eq!(seen, [row("GET", 1), row("other", 2)]);
    }
}
