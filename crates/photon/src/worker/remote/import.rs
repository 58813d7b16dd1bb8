//! How an A2A server is announced as an agent: its name, its skills and its card in Photon.
//! Must not talk to anybody.

use std::collections::BTreeSet;

use photon_edge::v1::types::{AgentCard, AgentPut, Raw};
use serde_json::{Value, json};

/// The most skills of an agent.
const SKILLS_MAX: usize = 64;
/// The most letters of an agent's name.
const NAME_LETTERS_MAX: usize = 63;
/// The most letters of a skill.
const SKILL_LETTERS_MAX: usize = 128;

/// Why an agent cannot be announced.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It has no name that could be an agent's.
    #[error("the card's name `{0}` makes no agent's name: give one with --name")]
    Name(String),
    /// It names nothing that it can do.
    #[error("the card names no skill: say with --skill what the agent can do")]
    NoSkill,
    /// Its card is none that agents may have.
    #[error("the card cannot be kept: {0}")]
    Card(String),
}

/// Returns the name under which an agent is announced, if its operator does not choose one.
pub fn name_of(card_name: &str) -> Result<String, ImportError> {
    let lower = card_name.trim().to_lowercase();
    let name = plain(&lower, NAME_LETTERS_MAX, "._-");
    name.ok_or_else(|| ImportError::Name(card_name.to_owned()))
}

/// Returns how a card's agent is announced. `skills` are those that its operator names; without any
/// it is those of the card, in the letters that skills may have.
pub fn announced(card: &Value, skills: Vec<String>) -> Result<AgentPut, ImportError> {
    let mut card = card.clone();
    let mut found = Vec::new();
    let listed = card.get_mut("skills").and_then(Value::as_array_mut);
    for skill in listed.into_iter().flatten() {
        let id = skill.get("id").and_then(Value::as_str).unwrap_or_default();
        if let Some(id) = plain(id, SKILL_LETTERS_MAX, "._/-") {
            skill["id"] = json!(id);
            found.push(id);
        }
    }
    let mut skills = if skills.is_empty() { found } else { skills };
    let mut known = BTreeSet::new();
    skills.retain(|it| known.insert(it.clone()));
    skills.truncate(SKILLS_MAX);
    if skills.is_empty() {
        return Err(ImportError::NoSkill);
    }
    let card = serde_json::to_string(&card).expect("a value is JSON");
    let card: Raw<AgentCard> =
        serde_json::from_str(&card).map_err(|error| ImportError::Card(error.to_string()))?;
    card.parse().map_err(|error| ImportError::Card(error.to_string()))?;
    let (capacity, cost) = (1, 0.0);
    Ok(AgentPut { skills, capacity, cost, card: Some(card), description: None, placement: None })
}

/// Returns a text in letters and digits and those of `marks`, with a dash in place of others.
fn plain(text: &str, letters_max: usize, marks: &str) -> Option<String> {
    let mut plain = String::new();
    for letter in text.chars() {
        match letter.is_ascii_alphanumeric() || marks.contains(letter) {
            true => plain.push(letter),
            false if plain.ends_with('-') => {}
            false => plain.push('-'),
        }
    }
    let is_edge = |it: char| !it.is_ascii_alphanumeric();
    let mut plain = plain.trim_start_matches(is_edge).to_owned();
    plain.truncate(letters_max);
    let plain = plain.trim_end_matches(is_edge);
    (!plain.is_empty()).then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_what_people_call_an_agent() {
        let check = |card: &str, expected: Option<&str>| {
            assert_eq!(name_of(card).ok().as_deref(), expected, "{card}");
        };
        check("shout", Some("shout"));
        check("Currency Agent (v2)", Some("currency-agent-v2"));
        check("  Über-Agent ", Some("ber-agent"));
        check("", None);
        check("日本語", None);
    }

    #[test]
    fn skills_are_those_of_the_card_unless_they_are_named() {
        let skill = |id: &str| json!({"id": id, "name": id, "description": "", "tags": []});
        let card = |skills: Value| {
            json!({
                "name": "x", "description": "x", "version": "1", "skills": skills,
                "supportedInterfaces": [], "capabilities": {},
                "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
                "futureField": {"kept": true},
            })
        };
        let check = |skills: Value, named: &[&str], expected: Option<&[&str]>| {
            let named = named.iter().map(|it| (*it).to_owned()).collect();
            let put = announced(&card(skills.clone()), named).ok();
            let found = put.as_ref().map(|it| it.skills.clone());
            let expected = expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(found, expected, "{skills}");
            if let Some(put) = put {
                assert!(put.card.is_some_and(|it| it.as_str().contains("futureField")));
            }
        };
        check(
            json!([skill("a.b"), skill("convert currency!")]),
            &[],
            Some(&["a.b", "convert-currency"]),
        );
        check(json!([skill("a"), skill("a")]), &[], Some(&["a"]));
        check(json!([skill("a")]), &["b"], Some(&["b"]));
        check(json!([]), &["b"], Some(&["b"]));
        check(json!([]), &[], None);
        check(json!([skill("???")]), &[], None);
    }
}
