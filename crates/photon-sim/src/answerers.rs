//! Clients that answer what workers ask.
//! Must not know what becomes of an answer.

use photon_region::{AtHome, Command, Json, TaskId};

use crate::asked::Asked;
use crate::clock::MS;
use crate::site::pick;
use crate::tasklog::answer_name;
use crate::workload::{Crowd, Request, Stage, Turn};

impl Crowd {
    /// Lets a client answer a worker, anywhere. If it gives up, the home does some time later.
    pub(crate) fn answer(
        &mut self,
        stage: &mut Stage<'_>,
        (task, asked): (TaskId, u64),
        tries: u32,
    ) -> Option<Request> {
        let members = stage.ledger.task(task).map_or(0, |it| it.members);
        let Some(site) = pick(stage.alive & members, &mut self.rng) else {
            self.answer_again(stage, (task, asked), tries);
            return None;
        };
        let message = Json(format!("{{\"answer\":{asked}}}").into());
        let named = self.rng.bool().then_some(asked);
        let name = answer_name(asked);
        let command = Command::AtHome(AtHome::Answer { task, name, message, asked: named });
        // A client that is not sure says it again.
        if self.rng.u32(0..8) == 0 {
            self.answer_again(stage, (task, asked), tries);
        }
        Some(Request { site, command, asked: Asked::Answer(task, asked, tries) })
    }

    pub(crate) fn answer_again(
        &mut self,
        stage: &mut Stage<'_>,
        (task, asked): (TaskId, u64),
        tries: u32,
    ) {
        if let Some(left) = tries.checked_sub(1) {
            stage.later(self.rng.u64(50 * MS..700 * MS), Turn::Answer(task, asked, left));
        }
    }
}
