//! How much a region takes on at a time.
//! Must not know what a command does.

use std::time::Duration;

use crate::contract::{AtHome, Command};
use crate::desk::Desk;
use crate::refusal::{Queue, Refusal};
use crate::region::Region;
use crate::topics::TopicCommand;
use crate::verdict::Patience;

impl Region {
    /// Refuses a command while too much is in flight.
    pub(crate) fn admit(&self, command: &Command, patience: Patience) -> Result<(), Refusal> {
        if patience != Patience::Fresh {
            return Ok(());
        }
        let max = match command {
            // What has been done is not done again because it could not be told.
            Command::Told { .. } => usize::MAX,
            // What is new is refused first, so that what was accepted can be finished.
            Command::Submit(_)
            | Command::Register(_)
            | Command::AtHome(AtHome::Topic { .. })
            | Command::Topic(TopicCommand::Keep { .. }) => self.config.limits.in_flight_max * 3 / 4,
            Command::Deregister(_)
            | Command::Agent(_)
            | Command::Agents { .. }
            | Command::AgentChanges { .. }
            | Command::Route { .. }
            | Command::Task(_)
            | Command::Tasks { .. }
            | Command::Events { .. }
            | Command::Acquire { .. }
            | Command::Webhooks(_)
            | Command::TakeDue { .. }
            | Command::AtHome(_)
            | Command::Topic(_)
            | Command::Data(_)
            | Command::Govern(_)
            | Command::Topology => self.config.limits.in_flight_max,
        };
        let retry_after = Duration::from_secs(1);
        let may_wait = command.may_wait();
        if max <= self.in_flight() {
            let max = max as u64;
            return Err(Refusal::Overloaded { what: Queue::InFlight, max, retry_after });
        }
        if may_wait && Desk::PARKED_MAX <= self.desk.parked() {
            let max = Desk::PARKED_MAX as u64;
            return Err(Refusal::Overloaded { what: Queue::InFlight, max, retry_after });
        }
        Ok(())
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.desk.held() + self.asks.len() + self.data.waiting()
    }
}
