//! A story of a region that is cut off: another one takes its tasks over as soon as it has surely
//! stopped to decide about them, and not before.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use photon_region::{Command, Reply, TaskId};
use photon_state::PlacementId;
use planet::{NAMES, Planet, agent_in, id, task_in};

const TICK: Duration = Duration::from_millis(100);

impl Planet {
    fn submit(&mut self, name: &'static str) -> TaskId {
        let spec = agent_in(PlacementId::global(), "shout", 9);
        self.get(name, Command::Register(spec)).unwrap();
        let spec = task_in(PlacementId::global());
        match self.get(name, Command::Submit(spec)) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    /// Whether a region would decide about a task: it has taken it over, and holds its tenure.
    fn decides(&self, name: &str, task: TaskId) -> bool {
        let region = &self.regions[name];
        let is_it =
            |(placement, shard, _)| (placement, shard) == (PlacementId::global(), task.shard());
        region.explain(task).contains("tenure true") && region.taken_over().any(is_it)
    }
}

#[test]
fn a_home_is_taken_over_when_its_tenure_has_lapsed_and_not_before() {
    let mut planet = Planet::new();
    let task = planet.submit("eu");
    planet.pass(5 * TICK);
    assert!(planet.decides("eu", task));
    let (cut_at, mut until, mut from) = (planet.now.mono, Duration::ZERO, None);
    planet.cut("eu");
    while from.is_none() && planet.now.mono < cut_at + 30 * TICK {
        planet.pass(TICK);
        let who: Vec<&str> = NAMES.into_iter().filter(|name| planet.decides(name, task)).collect();
        assert!(who.len() < 2, "{who:?} decide");
        match who.first() {
            Some(&"eu") => until = planet.now.mono - cut_at,
            Some(_) => from = Some(planet.now.mono - cut_at),
            None => {}
        }
    }
    // It stood by its last beats for a second; others know when they granted those.
    let from = from.expect("somebody takes it over");
    assert!((8 * TICK..=10 * TICK).contains(&until), "it decides for {until:?}");
    assert!(until < from && from <= 13 * TICK, "the next one decides after {from:?}");
    planet.link_two("eu", "us");
    planet.link_two("eu", "ap");
    planet.pass(10 * TICK);
    let (home, epoch) = planet.regions["eu"].home_and_epoch(task).unwrap();
    assert!(home != id("eu") && epoch == 2, "{home} is its home, under epoch {epoch}");
}
