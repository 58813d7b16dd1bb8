//! What is asked of the home of a task, and answered, as people read it.
//! Must not know what it means.

use std::fmt;

use photon_region::Token;

use super::{TaskAsk, TaskSaid};

/// A token as people read it: epoch and attempt.
struct Short(Token);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.epoch(), self.0.attempt())
    }
}

impl fmt::Display for TaskAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Heartbeat(token) => write!(f, "heartbeat under {}", Short(token)),
            Self::Note(token, first, last) => {
                write!(f, "notes {first} to {last} under {}", Short(token))
            }
            Self::Finish(token, state) => {
                write!(f, "finish as {} under {}", state.as_str(), Short(token))
            }
            Self::Pause(token, state) => {
                write!(f, "pause as {} under {}", state.as_str(), Short(token))
            }
            Self::Fail(token) => write!(f, "fail under {}", Short(token)),
            Self::Decline(token) => write!(f, "decline under {}", Short(token)),
            Self::Answer(asked) => write!(f, "answer what was asked under generation {asked}"),
            Self::Cancel => f.write_str("cancel"),
        }
    }
}

impl fmt::Display for TaskSaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Stands(state, generation) => {
                write!(f, "{}, generation {generation}", state.as_str())
            }
            Self::Ended(state) => write!(f, "it is {} already", state.as_str()),
            Self::Stale(Some(token)) => write!(f, "stale, {} is in force", Short(token)),
            Self::Stale(None) => f.write_str("stale, none is in force"),
            Self::NotAsked(state) => write!(f, "nobody asked, it is {}", state.as_str()),
            Self::Gap(due) => write!(f, "note {due} is due"),
        }
    }
}
