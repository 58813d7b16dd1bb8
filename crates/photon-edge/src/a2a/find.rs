//! The router: finds whom a message is for by what it says.
//! Must not know how agents are searched, nor what else a client says of its message.

use ::a2a::Message;
use photon_region::{Refusal, Target};
use photon_state::PlacementId;

use super::fault::Fault;
use crate::{Front, ard};

/// Finds the skill, or else the agent, that fits best what a message says; nothing if none does.
pub(super) async fn fitting(
    front: &Front,
    message: &Message,
    placement: PlacementId,
) -> Result<Option<Target>, Fault> {
    let text = text_of(message);
    if text.trim().is_empty() {
        return Ok(None);
    }
    // Where its task may not be, nobody even looks at what it says.
    let region = front.region();
    if let Some(members) = front.planet().placements.get(&placement)
        && !members.contains(&region)
    {
        let members = members.clone();
        return Err(Refusal::OutsidePlacement { region, placement, members }.into());
    }
    let best = ard::best(front, text, placement).await;
    let best = best.map_err(|err| Fault::unavailable(err.to_string()))?;
    Ok(best.map(|(agent, skill)| skill.map_or(Target::Agent(agent), Target::Skill)))
}

/// Returns the texts of a message, as far as a search takes them.
fn text_of(message: &Message) -> String {
    let mut text = String::new();
    for part in message.parts.iter().filter_map(|it| it.as_text()) {
        let mut room = ard::TEXT_BYTES_MAX.saturating_sub(text.len()).min(part.len());
        while !part.is_char_boundary(room) {
            room -= 1;
        }
        text.push_str(&part[..room]);
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use ::a2a::{Part, Role};
    use serde_json::json;

    use super::*;

    #[test]
    fn all_texts_are_looked_at_as_far_as_a_search_takes_them() {
        let said = |parts| text_of(&Message::new(Role::User, parts));
        let parts = vec![Part::text("one"), Part::data(json!({ "two": 2 })), Part::text("three")];
        assert_eq!(said(parts), "one\nthree");
        assert_eq!(said(vec![Part::data(json!(1))]), "");
        let long = "ü".repeat(ard::TEXT_BYTES_MAX);
        let text = said(vec![Part::text("a"), Part::text(long), Part::text("b".repeat(9))]);
        assert!(text.starts_with("a\nü") && text.ends_with('ü'), "{}", text.len());
        assert!((ard::TEXT_BYTES_MAX - 1..=ard::TEXT_BYTES_MAX).contains(&text.len()));
    }
}
