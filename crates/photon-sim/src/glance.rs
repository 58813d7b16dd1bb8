//! Commands on their way to a region: what a look at it answers, as shells do it.
//! Must not know what is asked.

use photon_region::{Command, Input, Output, Refusal, Reply, Ticket};

use crate::planet::Planet;
use crate::promises::{Broken, Promise};
use crate::trace::trace_output;

impl Planet<'_, '_> {
    /// Brings a command to a region, as shells do: it is looked at first, and given to the machine
    /// if that is not enough. Some are given to it in any case, to be answered alike.
    pub(crate) fn submit(
        &mut self,
        here: usize,
        ticket: Ticket,
        command: Command,
    ) -> Result<(), Broken> {
        let Some(glanced) = self.glance(here, &command) else {
            return self.feed(here, Input::Command(ticket, command));
        };
        self.report.glanced += 1;
        match ticket % 4 {
            0 => {
                self.glanced = Some((ticket, glanced));
                self.feed(here, Input::Command(ticket, command))?;
                let is_answered = self.glanced.take().is_none();
                Promise::Contract.holds(is_answered || self.sites[here].machine.is_none(), || {
                    format!("{} answers {ticket} at a glance only", self.atlas.ids[here])
                })
            }
            1 => self.feed(here, Input::Command(ticket, command)),
            _ => self.answer(here, Output::Reply(ticket, Ok(glanced))),
        }
    }

    fn glance(&self, here: usize, command: &Command) -> Option<Reply> {
        let site = &self.sites[here];
        site.machine.as_ref()?.glance(site.clock.read(self.now), command)
    }

    /// Carries out what a look at a region gave.
    fn answer(&mut self, here: usize, output: Output) -> Result<(), Broken> {
        self.report.events += 1;
        self.digest.number(self.now ^ (here as u64) << 56);
        self.digest.output(&output);
        if self.trace.is_on() {
            trace_output(self.trace, self.now, &self.atlas, here, &output);
        }
        self.carry_out(here, output)
    }

    /// Compares a reply with what a look gave, if the command was looked at.
    pub(crate) fn compare_with_glance(
        &mut self,
        here: usize,
        ticket: Ticket,
        reply: &Result<Reply, Refusal>,
    ) -> Result<(), Broken> {
        let Some((_, glanced)) = self.glanced.take_if(|(it, _)| *it == ticket) else {
            return Ok(());
        };
        Promise::Contract.holds(reply.as_ref() == Ok(&glanced), || {
            format!("{} answers {reply:?}, and {glanced:?} at a glance", self.atlas.ids[here])
        })
    }
}
