//! What a read comes to, by what is here at a moment: an answer, a wait, or another region's turn.
//! Must not change anything: several may look at once, while nobody changes the region.

use std::sync::Arc;

use photon_state::{Now, Record, RegionId};

use super::{DataCommand, DatasetSpec};
use crate::contract::{Command, Reply, Ticket};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

/// When is looked, for whom, and whether he may still wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) now: Now,
    pub(super) ticket: Ticket,
    pub(super) patience: Patience,
}

/// What a read comes to.
pub(super) enum Looked {
    /// It is decided here.
    Here(Verdict),
    /// Another region decides.
    Elsewhere(RegionId),
    /// A majority has to be asked for a record.
    Majority(Arc<DatasetSpec>, Record),
    /// The record is in no placement that lives here.
    Nowhere(Arc<DatasetSpec>),
}

impl Region {
    /// Whoever looks without a ticket is no peer's guest.
    const NO_TICKET: Ticket = 0;

    /// Answers a command that only looks at records, if that takes nobody else and no waiting for
    /// the log: what it says is here and durable. It is the reply that [`handle`](Self::handle)
    /// would give at once; where that would wait, ask or refuse, there is none. What lies on pages
    /// is read from them.
    ///
    /// `now` must be read after what was handled last: no later input has an earlier one.
    #[must_use]
    pub fn glance(&self, now: Now, command: &Command) -> Option<Reply> {
        let Command::Data(data) = command else { return None };
        if self.is_halted || self.admit(command, Patience::Fresh).is_err() {
            return None;
        }
        let look = Look { now, ticket: Self::NO_TICKET, patience: Patience::Fresh };
        let Looked::Here(Verdict::Reply(append, reply)) = self.look(look, data)?.ok()? else {
            return None;
        };
        let is_durable = append <= self.durable();
        #[cfg(feature = "planted-bugs")]
        let is_durable = is_durable || self.planted == Some(crate::PlantedBug::AnswerBeforeDurable);
        reply.ok().filter(|_| is_durable)
    }

    /// Looks at what a command is about; nothing if it does more than look.
    fn look(&self, look: Look, command: &DataCommand) -> Option<Result<Looked, Refusal>> {
        match command {
            DataCommand::Read { .. } => Some(self.look_at_record(look, command)),
            DataCommand::Scan { .. } => Some(self.look_at_records(look, command)),
            DataCommand::Dataset(name) => Some(self.show_dataset(name).map(Looked::Here)),
            DataCommand::Declare(_)
            | DataCommand::Drop(_)
            | DataCommand::Datasets
            | DataCommand::Conflicts(_)
            | DataCommand::Digest { .. }
            | DataCommand::MoveMaster { .. }
            | DataCommand::Move { .. }
            | DataCommand::Adopt { .. }
            | DataCommand::Receipts { .. }
            | DataCommand::Compact
            | DataCommand::Write { .. }
            | DataCommand::Watch { .. } => None,
        }
    }

    /// Answers a read, or does what it takes to answer it.
    pub(super) fn read_records(
        &mut self,
        ticket: Ticket,
        command: &DataCommand,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        let (DataCommand::Read { how, .. } | DataCommand::Scan { how, .. }) = command else {
            unreachable!("the caller has matched")
        };
        let look = Look { now: self.now, ticket, patience };
        match self.look(look, command).expect("a read only looks")? {
            Looked::Here(verdict) => Ok(verdict),
            Looked::Elsewhere(to) => self.hand_on(ticket, to, command, how.wait),
            Looked::Majority(spec, record) => {
                let left = patience.until(self.now, how.wait).saturating_sub(self.now.mono);
                Ok(self.gather(ticket, &spec, &record, (&how.session, left)))
            }
            Looked::Nowhere(spec) => {
                self.begin_search(ticket, &spec, command, 1)?;
                Ok(Verdict::Asked)
            }
        }
    }
}
