//! A task as its home decides about it: claimed under greater and greater tokens, told of in
//! numbered notes, ended once; each event has the next generation.
//! Must not know who works on it, nor where its home is.
//!
//! The home does things by itself: it gives the task to workers, takes it away, gives it up, and
//! lets it give way to another one of the same idempotency key, unless somebody had claimed it.
//! Such events show in the next answer, by the generation and the token. A home that is lost may
//! take with it what it had not passed on, so that the next one goes on from before: whoever checks
//! says how often that may have been, and a task that was never set back is held to all of it.

use photon_region::{AtHome, Json, TaskState, Token};

use super::Model;

/// A task.
#[derive(Debug)]
pub(crate) struct Task {
    /// How often a home was lost that may not have passed on all that it had answered.
    pub(crate) setbacks: u32,
}

/// What the home of a task is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TaskAsk {
    Heartbeat(Token),
    /// The worker tells notes: the first number and the last.
    Note(Token, u64, u64),
    Finish(Token, TaskState),
    /// The worker failed, and the task may be tried again.
    Fail(Token),
    Pause(Token, TaskState),
    Decline(Token),
    Cancel,
    /// The client answers what a worker asked under a generation.
    Answer(u64),
}

/// What the home of a task answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TaskSaid {
    /// It was done, and this is where the task stands.
    Stands(TaskState, u64),
    /// The task has ended before.
    Ended(TaskState),
    /// Another token is in force, or none.
    Stale(Option<Token>),
    /// Nobody has asked the client anything, and it has not ended.
    NotAsked(TaskState),
    /// Notes are missing before those that were told: this is the one that is due.
    Gap(u64),
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Standing {
    /// The least generation that it may have.
    generation: u64,
    /// Whether it has just that, as long as the token is the same.
    is_exact: bool,
    /// The least token that may be in force, or come into force.
    token: Token,
    /// Whether that one was in force already.
    is_held: bool,
    /// How many notes were told under it, if that is known.
    notes: Option<u64>,
    /// Under which token it was paused, if nobody has answered since.
    paused: Option<Token>,
    /// Whose worker said last that it failed.
    failed: Option<Token>,
    /// The generation under which it was asked what was answered last.
    answered: u64,
    end: End,
    /// How often it may yet be set back.
    setbacks: u32,
    /// Whether it was set back.
    is_set_back: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    /// It has not ended.
    None,
    /// It has, under the generation that is known, if it is exact.
    As(TaskState),
    /// Nothing is known.
    Unknown,
}

impl TaskAsk {
    /// Returns what is asked of the home, if it is about a task that is there.
    pub(crate) fn of(ask: &AtHome) -> Option<Self> {
        Some(match ask {
            AtHome::Heartbeat(claim) => Self::Heartbeat(claim.token),
            AtHome::Note { claim, first, notes } => {
                Self::Note(claim.token, *first, first + notes.len() as u64 - 1)
            }
            AtHome::Finish { claim, outcome, .. } => Self::Finish(claim.token, outcome.state()),
            AtHome::Fail { claim, .. } => Self::Fail(claim.token),
            AtHome::Pause { claim, why, .. } => Self::Pause(claim.token, why.state()),
            AtHome::Decline(claim) => Self::Decline(claim.token),
            AtHome::Cancel { .. } => Self::Cancel,
            AtHome::Answer { message, .. } => Self::Answer(asked_under(message)),
            AtHome::Topic { .. }
            | AtHome::Submit { .. }
            | AtHome::SetWebhook { .. }
            | AtHome::RemoveWebhook { .. } => {
                return None;
            }
        })
    }
}

/// Reads out of the answer of a client what it answers.
fn asked_under(message: &Json) -> u64 {
    let text = String::from_utf8_lossy(&message.0);
    let digits = text.trim_start_matches("{\"answer\":").trim_end_matches('}');
    digits.parse().expect("clients of the simulator answer with a number")
}

impl Standing {
    /// Of a task that was set back, nothing is known but that it can be set back less often.
    fn set_back(self) -> Option<Self> {
        let setbacks = self.setbacks.checked_sub(1)?;
        Some(Self {
            generation: 0,
            is_exact: false,
            token: Token(0),
            is_held: false,
            notes: None,
            paused: None,
            failed: None,
            answered: 0,
            end: End::Unknown,
            setbacks,
            is_set_back: true,
        })
    }

    /// Lets a worker act under a token that is in force.
    fn under(self, token: Token) -> Option<Self> {
        let may_go_on = self.end == End::None || self.end == End::Unknown;
        // While it waits for the client, nobody is given it.
        if token < self.token || !may_go_on || self.paused.is_some() {
            return None;
        }
        let end = End::None;
        if token == self.token && self.is_held {
            return Some(Self { end, ..self });
        }
        // What was told before of a task that was set back is not known.
        let notes = if self.is_set_back { None } else { Some(0) };
        let generation = self.generation + 1;
        Some(Self { generation, is_exact: false, token, is_held: true, notes, end, ..self })
    }

    /// Takes in a generation that is shown after so many more events.
    fn at(self, generation: u64, events: u64) -> Option<Self> {
        let least = self.generation + events;
        let fits = if self.is_exact { generation == least } else { least <= generation };
        fits.then_some(Self { generation, is_exact: true, ..self })
    }

    /// The same where the home may have done more by itself.
    fn beyond(self, generation: u64, events: u64) -> Option<Self> {
        let least = self.generation + events;
        (least <= generation).then_some(Self { generation, is_exact: true, ..self })
    }

    fn inexact(self) -> Self {
        Self { is_exact: false, ..self }
    }

    /// Ends the token that was in force.
    fn without(self, token: Token) -> Self {
        let token = self.token.max(Token(token.0 + 1));
        Self { token, is_held: false, is_exact: false, notes: Some(0), ..self }
    }

    fn tell(self, first: u64, last: u64) -> Option<(Self, u64)> {
        let Some(notes) = self.notes else { return Some((Self { is_exact: false, ..self }, 0)) };
        let is_next = 0 < first && first <= notes + 1;
        let events = last.saturating_sub(notes);
        is_next.then_some((Self { notes: Some(notes.max(last)), ..self }, events))
    }

    fn ended(self, state: TaskState) -> Self {
        Self { end: End::As(state), ..self }
    }

    /// Waits for the client; nothing happens by itself until then, but that it is given up.
    fn paused(self, token: Token) -> Self {
        Self { paused: Some(token), is_exact: true, ..self.without(token) }
    }

    /// The client was heard, and the task stands so.
    fn answered(self, asked: u64, (state, generation): (TaskState, u64)) -> Option<Self> {
        if self.paused.is_some() && self.answered < asked {
            // What is shown may be later than the answer, which is said again until it is heard.
            let on = Self { paused: None, answered: asked, is_exact: false, ..self };
            let on = Self { generation: self.generation + 1, ..on };
            return (on.generation <= generation).then_some(on);
        }
        // It was said before.
        let is_known = asked <= self.answered || self.is_set_back;
        self.later(state, generation).filter(|_| is_known)
    }

    /// What was asked had been done before, and this is where the task stands since.
    fn later(self, state: TaskState, generation: u64) -> Option<Self> {
        let is_over = state.is_terminal();
        match self.end {
            End::As(it) => (it == state).then(|| self.at(generation, 0))?,
            End::Unknown if is_over => self.ended(state).beyond(generation, 0),
            End::None if is_over => {
                let may_be = state == TaskState::Failed || self.is_set_back;
                self.ended(state).beyond(generation, 0).filter(|_| may_be)
            }
            End::None | End::Unknown => {
                let fits = state.is_paused() == self.paused.is_some() || self.is_set_back;
                // What the home did since counts once more of it shows.
                let is_later = self.generation <= generation;
                (fits && is_later).then(|| self.inexact())
            }
        }
    }

    /// The worker said that it failed, and the task stands so: it is tried again, or it is over.
    fn failed(self, token: Token, (state, generation): (TaskState, u64)) -> Option<Self> {
        if self.failed == Some(token) {
            return self.later(state, generation);
        }
        // It was given up, which its last worker is told as if it had said so.
        if self.end == End::As(TaskState::Failed) && state == TaskState::Failed {
            return self.at(generation, 0).filter(|_| self.token <= token);
        }
        let rests = Self { failed: Some(token), ..self.under(token)?.without(token) };
        match state {
            // A region says it again whenever it may not have been heard, so that what is shown may
            // be later: what the home did since counts once more of it shows.
            TaskState::Submitted | TaskState::Working => {
                let claims = u64::from(state == TaskState::Working);
                let on = Self { generation: rests.generation + 1, ..rests.inexact() };
                (on.generation + claims <= generation).then_some(on)
            }
            TaskState::Failed => rests.ended(state).beyond(generation, 1),
            TaskState::InputRequired
            | TaskState::AuthRequired
            | TaskState::Completed
            | TaskState::Canceled
            | TaskState::Rejected => None,
        }
    }

    /// It was done, and the task stands so.
    fn done(self, ask: &TaskAsk, (state, generation): (TaskState, u64)) -> Option<Self> {
        match *ask {
            TaskAsk::Heartbeat(token) => {
                let is_working = state == TaskState::Working;
                self.under(token).filter(|_| is_working)?.at(generation, 0)
            }
            TaskAsk::Note(token, first, last) => {
                let is_working = state == TaskState::Working;
                let (told, events) = self.under(token).filter(|_| is_working)?.tell(first, last)?;
                told.at(generation, events)
            }
            TaskAsk::Finish(token, outcome) if state == outcome => {
                if self.end == End::As(outcome) && self.token <= token {
                    return self.at(generation, 0);
                }
                let ends = self.under(token)?.ended(outcome);
                match outcome {
                    // It may have been given up before, after as many attempts as are allowed.
                    TaskState::Failed => ends.beyond(generation, 1),
                    TaskState::Submitted
                    | TaskState::Working
                    | TaskState::InputRequired
                    | TaskState::AuthRequired
                    | TaskState::Completed
                    | TaskState::Canceled
                    | TaskState::Rejected => ends.at(generation, 1),
                }
            }
            TaskAsk::Pause(token, paused) if state == paused => {
                if self.paused == Some(token) {
                    return self.at(generation, 0);
                }
                Some(self.under(token)?.at(generation, 1)?.paused(token))
            }
            TaskAsk::Answer(asked) => self.answered(asked, (state, generation)),
            TaskAsk::Fail(token) => self.failed(token, (state, generation)),
            TaskAsk::Decline(token) => {
                let rests = self.under(token)?.without(token);
                match state {
                    TaskState::Submitted => rests.beyond(generation, 1).map(Self::inexact),
                    // Somebody has it again: that claim is counted once it shows.
                    TaskState::Working => {
                        let before = rests.beyond(generation.checked_sub(1)?, 1);
                        before.map(Self::inexact)
                    }
                    TaskState::Failed => rests.ended(state).beyond(generation, 2),
                    TaskState::InputRequired
                    | TaskState::AuthRequired
                    | TaskState::Completed
                    | TaskState::Canceled
                    | TaskState::Rejected => None,
                }
            }
            TaskAsk::Cancel if state == TaskState::Canceled => match self.end {
                End::As(TaskState::Canceled) => self.at(generation, 0),
                End::As(_) => None,
                End::None => self.ended(state).beyond(generation, 1),
                End::Unknown => self.ended(state).beyond(generation, 0),
            },
            TaskAsk::Finish(..) | TaskAsk::Pause(..) | TaskAsk::Cancel => None,
        }
    }

    /// Whether it may have ended because another task stands for it.
    fn may_give_way(self, state: TaskState) -> bool {
        state == TaskState::Rejected && self.token == Token(0)
    }

    /// The task had ended before.
    fn was_over(self, ask: &TaskAsk, state: TaskState) -> Option<Self> {
        // The last token that was in force is told so, too: nobody has claimed it since.
        let last = if self.is_held { self.token.0 } else { self.token.0.saturating_sub(1) };
        let is_last = ask.token().is_none_or(|it| last <= it.0);
        let after = match self.end {
            End::As(it) => (it == state).then_some(self),
            // It was given up, after as many attempts as are allowed; or it gave way to another one
            // of the same key, before anybody had claimed it.
            End::None if state == TaskState::Failed || self.may_give_way(state) => {
                // What ended it may have been what was counted as a failure.
                let events = u64::from(self.failed.is_none());
                let generation = self.generation + events;
                Some(Self { generation, is_exact: false, ..self.ended(state) })
            }
            // The end that a lost home had written has come, and nobody had claimed it since.
            End::None if self.is_set_back => Some(self.ended(state).inexact()),
            End::None => None,
            End::Unknown => Some(self.ended(state)),
        };
        after.filter(|_| is_last && state.is_terminal())
    }

    /// Another token was in force.
    fn was_stale(self, shown: Token, current: Option<Token>) -> Option<Self> {
        match (current, self.end) {
            (None, End::As(_) | End::Unknown) => Some(self),
            (None, End::None) => {
                let last = if self.is_held { shown.max(self.token) } else { shown };
                Some(self.without(last))
            }
            (Some(_), End::As(_)) => None,
            (Some(current), End::None | End::Unknown) => {
                let is_later = shown < current || self.is_set_back && shown != current;
                self.under(current).filter(|_| is_later)
            }
        }
    }

    /// Notes were missing.
    fn had_gap(self, (token, first): (Token, u64), due: u64) -> Option<Self> {
        let held = self.under(token)?;
        let fits = held.notes.is_none_or(|it| it + 1 == due) && (first == 0 || due < first);
        fits.then_some(Self { notes: due.checked_sub(1), ..held })
    }

    /// It was done, and nobody was told.
    fn done_unheard(self, ask: &TaskAsk) -> Option<Self> {
        let (after, events) = match *ask {
            TaskAsk::Heartbeat(_) => return None,
            TaskAsk::Note(token, first, last) => self.under(token)?.tell(first, last)?,
            TaskAsk::Finish(token, outcome) => (self.under(token)?.ended(outcome), 1),
            TaskAsk::Decline(token) => (self.under(token)?.without(token), 1),
            TaskAsk::Pause(token, _) => (self.under(token)?.paused(token), 1),
            TaskAsk::Fail(token) => {
                let rests = self.under(token)?.without(token);
                (Self { failed: Some(token), ..rests }, 1)
            }
            TaskAsk::Answer(asked) if self.paused.is_some() && self.answered < asked => {
                (Self { paused: None, answered: asked, is_exact: false, ..self }, 1)
            }
            TaskAsk::Answer(_) => return None,
            TaskAsk::Cancel if matches!(self.end, End::As(_)) => return None,
            TaskAsk::Cancel => (Self { is_exact: false, ..self.ended(TaskState::Canceled) }, 1),
        };
        let generation = after.generation + events;
        Some(Self { generation, ..after })
    }

    fn step(self, ask: &TaskAsk, answer: Option<&TaskSaid>) -> Option<Self> {
        match answer {
            None => self.done_unheard(ask),
            Some(TaskSaid::Stands(state, generation)) => self.done(ask, (*state, *generation)),
            Some(TaskSaid::Ended(state)) => self.was_over(ask, *state),
            Some(TaskSaid::NotAsked(state)) => {
                let TaskAsk::Answer(asked) = *ask else { return None };
                let fits = self.paused.is_none() && self.answered < asked && !state.is_terminal();
                let goes_on = self.end == End::None || self.end == End::Unknown;
                Some(self).filter(|_| fits && goes_on || self.is_set_back)
            }
            Some(TaskSaid::Stale(current)) => self.was_stale(ask.token()?, *current),
            Some(TaskSaid::Gap(due)) => {
                let told = match *ask {
                    TaskAsk::Note(token, first, _) => (token, first),
                    // They say how many notes there are, which is at least the one that is due.
                    TaskAsk::Finish(token, _) | TaskAsk::Fail(token) | TaskAsk::Pause(token, _) => {
                        (token, u64::MAX)
                    }
                    TaskAsk::Heartbeat(_)
                    | TaskAsk::Decline(_)
                    | TaskAsk::Answer(_)
                    | TaskAsk::Cancel => return None,
                };
                self.had_gap(told, *due)
            }
        }
    }
}

impl TaskAsk {
    fn token(&self) -> Option<Token> {
        match self {
            Self::Heartbeat(token)
            | Self::Note(token, ..)
            | Self::Finish(token, _)
            | Self::Pause(token, _)
            | Self::Fail(token)
            | Self::Decline(token) => Some(*token),
            Self::Cancel | Self::Answer(_) => None,
        }
    }
}

impl Model for Task {
    type State = Standing;
    type Ask = TaskAsk;
    type Answer = TaskSaid;

    fn begin(&self) -> Standing {
        Standing {
            generation: 1,
            is_exact: false,
            token: Token(0),
            is_held: false,
            notes: Some(0),
            paused: None,
            failed: None,
            answered: 0,
            end: End::None,
            setbacks: self.setbacks,
            is_set_back: false,
        }
    }

    fn step(&self, state: &Standing, ask: &TaskAsk, answer: Option<&TaskSaid>) -> Option<Standing> {
        // Whatever is told of a task that was just set back may be so: the later, the better.
        state.step(ask, answer).or_else(|| {
            answer?;
            state.set_back()?.step(ask, answer)
        })
    }

    /// Each note is an event of its own.
    fn parts(&self, ask: &TaskAsk) -> Vec<TaskAsk> {
        match *ask {
            TaskAsk::Note(token, first, last) => {
                (first..=last).map(|it| TaskAsk::Note(token, it, it)).collect()
            }
            TaskAsk::Heartbeat(_)
            | TaskAsk::Finish(..)
            | TaskAsk::Pause(..)
            | TaskAsk::Fail(_)
            | TaskAsk::Decline(_)
            | TaskAsk::Answer(_)
            | TaskAsk::Cancel => Vec::new(),
        }
    }
}

mod words;

#[cfg(test)]
mod tests;
