//! The machine, as one changes it and others look at it meanwhile.
//! Must not let the one who changes it wait for more than a look, nor know what is asked.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use photon_region::{Command, Input, Region, Reply};

use crate::driver::Clock;

/// A machine that one driver changes, one input at a time, and at which every thread may look
/// between two inputs.
#[derive(Debug)]
pub(crate) struct Window {
    region: RwLock<Region>,
    clock: Clock,
}

impl Window {
    /// Shows a machine that has been started.
    pub(crate) fn new(region: Region, clock: Clock) -> Self {
        Self { region: RwLock::new(region), clock }
    }

    /// Gives the machine an input, and lets the driver take its outputs before anybody looks.
    pub(crate) fn change(&self, input: Input) -> RwLockWriteGuard<'_, Region> {
        let mut region = self.region.write().expect("no other driver has panicked");
        // Read while nobody looks: who has looked did so at an earlier time.
        region.handle(self.clock.now(), input);
        region
    }

    /// Lets the driver take what the start of the machine asked for.
    pub(crate) fn start(&self) -> RwLockWriteGuard<'_, Region> {
        self.region.write().expect("no other driver has panicked")
    }

    /// Lets the driver look.
    pub(crate) fn look(&self) -> RwLockReadGuard<'_, Region> {
        self.region.read().expect("no other driver has panicked")
    }

    /// Answers a command if a look is enough, and the driver neither has the machine nor waits for
    /// it: whoever looks does not wait, so that the driver waits for those at most who look.
    pub(crate) fn glance(&self, command: &Command) -> Option<Reply> {
        let region = self.region.try_read().ok()?;
        region.glance(self.clock.now(), command)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};

    use photon_region::data::{
        DataCommand, DatasetName, DatasetSpec, Edit, Kind, Mode, Outside, PlacementRule, Policy,
        ReadHow, ReadLevel, Write, WriteLevel,
    };
    use photon_region::{Config, Limits, Output, Place, Topology};
    use photon_state::{PlacementId, RegionId, Seen};

    use super::*;

    fn window() -> Window {
        let id = RegionId::try_from("eu-west-1").unwrap();
        let spec = DatasetSpec {
            name: name(),
            kind: Kind::Register,
            rule: PlacementRule::Fixed(PlacementId::global()),
            outside: Outside::Forward,
            mode: Mode::MultiMaster,
            policy: Policy::LastWriter,
            write_level: WriteLevel::Eventual,
            read_level: ReadLevel::Session,
            ttl: None,
            retention: None,
            sensitive_keys: false,
        };
        let mut region = Region::new(Config {
            region: id,
            incarnation: 1,
            regions: BTreeMap::from([(id, Place { latitude: 0.0, longitude: 0.0 })]),
            placements: BTreeMap::new(),
            datasets: vec![spec],
            voters: std::collections::BTreeSet::new(),
            topology: Topology::Mesh,
            weights: photon_region::Weights::default(),
            limits: Limits::default(),
            seed: 1,
        });
        let clock = Clock::start(&crate::faults::NO_FAULTS);
        region.start(clock.now());
        assert_eq!(appends(&mut region), AT_START);
        region.handle(clock.now(), Input::Durable(AT_START));
        assert_eq!(region.poll(), None);
        Window::new(region, clock)
    }

    fn name() -> DatasetName {
        DatasetName::try_from("notes").unwrap()
    }

    /// What a region writes when it starts for the first time: its name among those that agree.
    const AT_START: u64 = 1;

    fn read() -> Command {
        let (dataset, key, how) = (name(), "k".into(), ReadHow::default());
        Command::Data(DataCommand::Read { dataset, key, how })
    }

    fn write(ticket: u64) -> Input {
        let edit = Edit::Put("1".into());
        let write = Write { key: "k".into(), edit, expect: None, ttl: None, spot: None };
        let (dataset, writes, level) = (name(), vec![write], None);
        let (session, wait) = (Seen::default(), std::time::Duration::ZERO);
        let command = DataCommand::Write { dataset, writes, level, session, wait };
        Input::Command(ticket, Command::Data(command))
    }

    fn appends(region: &mut Region) -> u64 {
        let outputs = std::iter::from_fn(|| region.poll());
        outputs.map(|it| u64::from(matches!(it, Output::Append(_)))).sum()
    }

    #[test]
    fn nobody_looks_while_the_machine_is_changed() {
        let window = window();
        assert!(window.glance(&read()).is_some());
        let mut changed = window.change(write(1));
        assert_eq!(window.glance(&read()), None);
        assert_eq!(appends(&mut changed), 1);
        drop(changed);
        assert_eq!(window.glance(&read()), None, "what is written is not durable yet");
        drop(window.change(Input::Durable(AT_START + 1)));
        assert!(window.glance(&read()).is_some());
    }

    #[test]
    fn those_who_look_without_end_do_not_keep_the_driver_out() {
        let (window, is_over) = (window(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        drop(window.glance(&read()));
                    }
                });
            }
            let mut appended = AT_START;
            for ticket in 1..=1_000 {
                appended += appends(&mut window.change(write(ticket)));
                drop(window.change(Input::Durable(appended)));
            }
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(appended, AT_START + 1_000);
        });
    }
}
