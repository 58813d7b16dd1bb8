//! What the crowd does when it is turned away, and which refusals break a promise.
//! Must not know how a region works.

use photon_region::Refusal;

use crate::asked::Asked;
use crate::clock::{MS, SECOND};
use crate::promises::{Broken, Promise};
use crate::site::pick;
use crate::tellers::Tellers;
use crate::workload::{Body, Crowd, Stage, Turn};

impl Crowd {
    pub(crate) fn refused(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        asked: &Asked,
        refusal: &Refusal,
    ) -> Result<(), Broken> {
        self.check_refusal(stage, here, asked, refusal)?;
        match asked {
            Asked::Submit(index, _) => {
                let submission = &mut self.submissions[*index as usize];
                submission.is_over |= is_final(refusal);
                if !submission.is_over {
                    stage.later(self.rng.u64(50 * MS..600 * MS), Turn::Submit(*index));
                }
                Ok(())
            }
            Asked::Follow(index) => self.follower_refused(stage, here, *index, refusal),
            Asked::List(index) => {
                stage.later(100 * MS, Turn::List(*index));
                Ok(())
            }
            Asked::Enlist(_) | Asked::Poll(_) => {
                self.fleet.turned_away(stage, asked, refusal, &mut self.rng);
                Ok(())
            }
            Asked::Work(asking) => self.fleet.refused(stage, asking, refusal, &mut self.rng),
            Asked::Scribe(index, step) => {
                self.scribes.refused(stage, (*index, step), refusal, &mut self.rng)
            }
            Asked::Mover(index, deed) => {
                self.movers.refused(stage, (*index, *deed), refusal, &mut self.rng)
            }
            Asked::Answer(task, asked, tries) => {
                let is_over = matches!(
                    refusal,
                    Refusal::NotAsked { .. } | Refusal::Ended { .. } | Refusal::NoSuchTask(_)
                );
                if !is_over {
                    self.answer_again(stage, (*task, *asked), *tries);
                }
                Ok(())
            }
            Asked::Tell(deed) => {
                Tellers::again(stage, *deed, &mut self.rng);
                Ok(())
            }
            Asked::Topic(deed) => self.turned_away_from_topic(stage, *deed, refusal),
            Asked::Redrive(index) => {
                self.redrive_refused(stage, *index, refusal);
                Ok(())
            }
            Asked::Look
            | Asked::LookAround
            | Asked::Dead
            | Asked::Cancel(_)
            | Asked::Retire
            | Asked::Operate => Ok(()),
        }
    }

    fn follower_refused(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        index: u32,
        refusal: &Refusal,
    ) -> Result<(), Broken> {
        let follower = &mut self.followers[index as usize];
        if follower.is_audit && !stage.ledger.is_strict() {
            follower.is_over = true;
            return Ok(());
        }
        if follower.is_audit {
            let (task, name) = (follower.task, stage.atlas.ids[here]);
            return Err(Promise::Acknowledged
                .broken(format!("{name} does not know task {task} at the end: {refusal}")));
        }
        follower.site = pick(stage.alive, &mut self.rng).unwrap_or(follower.site);
        stage.later(self.rng.u64(100 * MS..SECOND), Turn::Follow(index));
        Ok(())
    }

    /// Checks that a refusal is not itself the sign of a broken promise.
    fn check_refusal(
        &self,
        stage: &mut Stage<'_>,
        here: usize,
        asked: &Asked,
        refusal: &Refusal,
    ) -> Result<(), Broken> {
        if !stage.ledger.is_strict() {
            return Ok(());
        }
        match refusal {
            Refusal::NoSuchTask(task) => {
                let known = stage.ledger.task(*task);
                let is_lost = known.is_some_and(|it| it.acked_by == Some(here));
                Promise::Acknowledged
                    .holds(!is_lost, || format!("task {task} is unknown where it was accepted"))
            }
            Refusal::OutsidePlacement { placement, .. } => {
                let is_member = stage.atlas.may_hold(*placement, here);
                Promise::Contract.holds(!is_member, || {
                    format!("{} is in {placement} and denies it", stage.atlas.ids[here])
                })
            }
            Refusal::KeyReused { task } => {
                let Asked::Submit(index, Body::Same) = asked else { return Ok(()) };
                let submission = &self.submissions[*index as usize];
                let key = submission.spec.idempotency.as_ref().map(|it| &it.key);
                Err(Promise::OneEnding
                    .broken(format!("the key {key:?} was used once and refused for task {task}")))
            }
            Refusal::Ended { task, state } => stage.ledger.ended(stage.sites, *task, *state),
            Refusal::Overloaded { .. }
            | Refusal::DiskFull { .. }
            | Refusal::NoSuchAgent(_)
            | Refusal::NoSuchSkill(_)
            | Refusal::NoSuchPlacement(_)
            | Refusal::Confined { .. }
            | Refusal::AttachedElsewhere { .. }
            | Refusal::StaleToken { .. }
            | Refusal::NotAsked { .. }
            | Refusal::NoteGap { .. }
            | Refusal::Data(_)
            | Refusal::Govern(_)
            | Refusal::TooLarge { .. }
            | Refusal::PostReused { .. }
            | Refusal::NotAdmitted { .. }
            | Refusal::ClockAhead { .. }
            | Refusal::HomeUnreachable { .. } => Ok(()),
        }
    }
}

/// Whether there is no use in submitting the same again.
fn is_final(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::OutsidePlacement { .. }
        | Refusal::Confined { .. }
        | Refusal::TooLarge { .. }
        | Refusal::KeyReused { .. } => true,
        Refusal::Overloaded { .. }
        | Refusal::DiskFull { .. }
        | Refusal::NoSuchAgent(_)
        | Refusal::NoSuchSkill(_)
        | Refusal::NoSuchTask(_)
        | Refusal::NoSuchPlacement(_)
        | Refusal::AttachedElsewhere { .. }
        | Refusal::StaleToken { .. }
        | Refusal::Ended { .. }
        | Refusal::NotAsked { .. }
        | Refusal::NoteGap { .. }
        | Refusal::Data(_)
        | Refusal::Govern(_)
        | Refusal::PostReused { .. }
        | Refusal::NotAdmitted { .. }
        | Refusal::ClockAhead { .. }
        | Refusal::HomeUnreachable { .. } => false,
    }
}
