//! Whether this region is one of those that agree.
//! Must not change who is.

use crate::region::Region;

impl Region {
    /// Whether this region knows the planet, and has a name in it: before it has met the others, or
    /// was made a member by them, nobody would ever decide about a task that it accepts.
    pub(crate) fn is_admitted(&self) -> bool {
        self.agree.group.is_some() && self.charter.members().next().is_some()
    }
}
