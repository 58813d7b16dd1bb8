//! Stories of what an operator sees of three regions: how far they lag, and what was in conflict.
//! Faults are the simulator's; here it is shown what the machine tells of them.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::time::Duration;

use photon_region::data::{DatasetName, Kind};
use photon_region::{ConflictRate, Notice, PeerVerdict, PeerView};
use planet::{Planet, id};
use records::*;

const SECOND: Duration = Duration::from_secs(1);

impl Planet {
    fn peer(&self, region: &'static str, peer: &str) -> PeerView {
        let view = self.regions[region].view();
        view.peers.into_iter().find(|it| it.region == id(peer)).unwrap()
    }

    /// Lets two regions write the same record without knowing of each other.
    fn clash(&mut self, of: &DatasetName, keys: usize) {
        self.cut("us");
        for n in 0..keys {
            self.write("us", of, put(&format!("k{n}"), "us")).unwrap();
            self.write("eu", of, put(&format!("k{n}"), "eu")).unwrap();
        }
        self.link("us");
    }
}

#[test]
fn lag_is_how_long_ago_the_first_op_was_made_that_a_peer_lacks() {
    let mut planet = Planet::new();
    let of = planet.declare("eu", dataset(Kind::Register));
    planet.pass(5 * SECOND);
    assert_eq!(planet.peer("eu", "us").lag, Some(Duration::ZERO));
    planet.cut("us");
    planet.pass(10 * SECOND);
    // Nothing is lacking there, however long the link is down.
    let peer = planet.peer("eu", "us");
    assert_eq!((peer.lag_ops, peer.lag), (0, Some(Duration::ZERO)));
    planet.write("eu", &of, put("k", "1")).unwrap();
    planet.pass(30 * SECOND);
    planet.write("eu", &of, put("k", "2")).unwrap();
    let peer = planet.peer("eu", "us");
    assert_eq!((peer.lag_ops, peer.lag), (2, Some(30 * SECOND)));
    let global = peer.placements.first().unwrap();
    assert_eq!((global.lag_ops, global.lag), (2, Some(30 * SECOND)));
    assert!(Some(40 * SECOND) <= peer.staleness && peer.staleness <= Some(42 * SECOND));
    assert_eq!(planet.peer("eu", "ap").lag, Some(Duration::ZERO));
    planet.link("us");
    planet.pass(3 * SECOND);
    let peer = planet.peer("eu", "us");
    assert_eq!((peer.lag_ops, peer.lag), (0, Some(Duration::ZERO)));
    assert!(peer.staleness <= Some(2 * SECOND));
}

#[test]
fn a_restart_does_not_hide_what_peers_lack_from_before() {
    let mut planet = Planet::new();
    let of = planet.declare("eu", dataset(Kind::Register));
    planet.pass(2 * SECOND);
    planet.cut("us");
    planet.write("eu", &of, put("k", "1")).unwrap();
    planet.pass(60 * SECOND);
    planet.cut("eu");
    planet.restart_after("eu", 20 * SECOND);
    // It cannot know how far a peer is that has not spoken.
    assert_eq!(planet.peer("eu", "us").lag, None);
    assert_eq!(planet.peer("eu", "us").staleness, None);
    // The peer says what it has, and does not get the rest.
    let seen = planet.regions["us"].store().seen().clone();
    let said =
        photon_region::Message::Seen { incarnation: 1, seen, linked: [].into(), topology: None };
    planet.input("eu", photon_region::Input::Linked(id("us")));
    planet.input("eu", photon_region::Input::Message(id("us"), said));
    assert_eq!(planet.peer("eu", "us").lag, Some(80 * SECOND));
    planet.pass(10 * SECOND);
    assert_eq!(planet.peer("eu", "us").lag, Some(90 * SECOND));
}

#[test]
fn a_region_outside_a_placement_does_not_lag_behind_with_it() {
    let mut planet = Planet::new();
    let rule = photon_region::data::PlacementRule::Fixed(planet::eu_only());
    let spec = photon_region::data::DatasetSpec { rule, ..dataset(Kind::Register) };
    let of = planet.declare("eu", spec);
    planet.pass(2 * SECOND);
    planet.cut("us");
    planet.write("eu", &of, put("k", "1")).unwrap();
    planet.pass(10 * SECOND);
    let peer = planet.peer("eu", "us");
    assert_eq!((peer.lag_ops, peer.lag), (0, Some(Duration::ZERO)));
    assert!(peer.placements.iter().all(|it| it.placement != planet::eu_only()), "{peer:?}");
}

#[test]
fn a_sample_of_a_dataset_with_sensitive_keys_has_no_hash_that_can_be_guessed() {
    let mut planet = Planet::new();
    let spec = photon_region::data::DatasetSpec { sensitive_keys: true, ..dataset(Kind::Register) };
    let of = planet.declare("eu", spec);
    planet.pass(SECOND);
    planet.clash(&of, 1);
    let samples = planet.notices.iter().filter_map(|(_, it)| match it {
        Notice::Conflict(sample) => Some(sample.key_hash),
        Notice::ManyConflicts(_)
        | Notice::FewConflicts(_)
        | Notice::ClockApart { .. }
        | Notice::ClockAgrees { .. }
        | Notice::OwnClockOff { .. }
        | Notice::OwnClockAgrees
        | Notice::OpsWait { .. } => None,
    });
    assert_eq!(samples.collect::<std::collections::BTreeSet<_>>(), [None].into());
}

#[test]
fn conflicts_are_sampled_without_their_keys_and_alarmed_above_a_rate() {
    let mut planet = Planet::new();
    let of = planet.declare("eu", dataset(Kind::Register));
    planet.pass(SECOND);
    planet.clash(&of, 60);
    planet.pass(2 * SECOND);
    planet.clash(&of, 60);
    let at = |planet: &Planet| -> Vec<Notice> {
        let ap = planet.notices.iter().filter(|(region, _)| *region == "ap");
        ap.map(|(_, notice)| notice.clone()).collect()
    };
    let notices = at(&planet);
    let [Notice::Conflict(first), Notice::Conflict(second)] = notices.as_slice() else {
        panic!("{notices:?}")
    };
    assert_eq!((first.left_out, second.left_out), (0, 59));
    assert_eq!(first.key_hash, second.key_hash, "both are of the same record");
    assert!(first.key_hash.is_some());
    assert_eq!(first.arrived.0.source.origin, id("us"));
    assert_eq!(first.held.0.source.origin, id("eu"));

    planet.pass(SECOND);
    let rate = ConflictRate { dataset: of, per_second: 12, per_second_max: 10 };
    assert_eq!(at(&planet)[2..], [Notice::ManyConflicts(rate)]);
    let view = planet.regions["ap"].view();
    assert!(view.conflicts[0].is_alarming && view.conflicts[0].per_second == 12.0);
    planet.pass(20 * SECOND);
    let said = at(&planet);
    assert!(matches!(&said[3..], [Notice::FewConflicts(it)] if it.per_second < 5), "{said:?}");
    assert!(!planet.regions["ap"].view().conflicts[0].is_alarming);
}

#[test]
fn a_region_whose_disk_is_slow_says_so_before_anything_breaks() {
    let mut planet = Planet::new();
    let of = planet.declare("eu", dataset(Kind::Register));
    planet.pass(5 * SECOND);
    assert_eq!(planet.peer("us", "eu").verdict, PeerVerdict::Up);
    planet.stuck.insert("eu");
    planet.ask_write("eu", &of, put("k", "v"));
    planet.pass(SECOND);
    assert_eq!(planet.peer("us", "eu").verdict, PeerVerdict::Degraded);
    assert!(planet.regions["eu"].view().is_disk_slow);
    planet.unstick("eu");
    planet.pass(SECOND);
    assert_eq!(planet.peer("us", "eu").verdict, PeerVerdict::Degraded, "it may be so again");
    planet.pass(5 * SECOND);
    assert_eq!(planet.peer("us", "eu").verdict, PeerVerdict::Up);
    assert!(!planet.regions["eu"].view().is_disk_slow);
}
