//! What an agent may do: the operator says it, or the client is asked.
//! Must not talk to anybody.

use photon_edge::v1::types::{Message, Part, Role};
use serde_json::{Value, json};

use super::wire::{Choice, ChoiceKind, Wish, cut};

/// Bytes of a tool call that are shown to the client; of a longer one beginnings are.
const CALL_BYTES_MAX: usize = 16 << 10;
/// Bytes of each of its values that are shown then.
const VALUE_BYTES_MAX: usize = 3 << 10;
/// What of a tool call is shown, however long it is.
const CALL_KEYS: [&str; 5] = ["toolCallId", "title", "kind", "rawInput", "locations"];
/// Bytes of a title or name that are shown.
const NAME_BYTES_MAX: usize = 1 << 10;

/// What is said to an agent that wants to do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Permissions {
    /// No.
    #[default]
    Reject,
    /// Yes, each time.
    Allow,
    /// The client is asked.
    Ask,
}

/// A wish that waits for what is said to it.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Names the answer.
    pub(super) id: Value,
    /// What it is about.
    pub(super) wish: Wish,
}

/// Returns what an operator's word means among the choices of an agent. An agent that offers
/// nothing of the kind hears that its turn is off.
pub(super) fn outcome(choices: &[Choice], allow: Allow) -> Value {
    let kinds = match allow {
        Allow::Yes => [ChoiceKind::AllowOnce, ChoiceKind::AllowAlways],
        Allow::No => [ChoiceKind::RejectOnce, ChoiceKind::RejectAlways],
    };
    let found = kinds.iter().find_map(|kind| choices.iter().find(|it| it.kind == *kind));
    found.map_or_else(off, selected)
}

/// The word of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allow {
    Yes,
    No,
}

/// Says that a choice was made.
pub(super) fn selected(choice: &Choice) -> Value {
    json!({"outcome": {"outcome": "selected", "optionId": choice.option_id}})
}

/// Says that nothing was chosen, because the turn is off.
pub(super) fn off() -> Value {
    json!({"outcome": {"outcome": "cancelled"}})
}

/// Returns as much of what an agent tells as may be shown.
pub(super) fn shown(told: &Value, bytes_max: usize) -> Value {
    let known = beginning(told).or(told.as_str()).map(ToOwned::to_owned);
    let whole = known.unwrap_or_else(|| told.to_string());
    match whole.len() <= bytes_max {
        true => told.clone(),
        false => json!({"beginning": cut(&whole, bytes_max), "truncated": true}),
    }
}

/// Returns what there is of something that was too long to be shown.
fn beginning(shown: &Value) -> Option<&str> {
    shown.get("truncated").and_then(Value::as_bool).filter(|it| *it)?;
    shown.get("beginning")?.as_str()
}

/// Returns what was shown, in words.
fn in_words(shown: &Value) -> String {
    match (beginning(shown), shown.as_str()) {
        (Some(beginning), _) => format!("{beginning}... (too long to show whole)"),
        (None, Some(text)) => text.to_owned(),
        (None, None) => shown.to_string(),
    }
}

/// Returns the question to the client: in words, and as data. `before` is said first.
pub(super) fn question(id: String, wish: &Wish, before: &str) -> Message {
    let mut call = wish.tool_call.clone();
    let is_long = CALL_BYTES_MAX < call.to_string().len();
    if is_long {
        let keys = CALL_KEYS.iter().filter_map(|key| {
            let told = call.get(key).filter(|it| !it.is_null())?;
            Some(((*key).to_owned(), shown(told, VALUE_BYTES_MAX)))
        });
        call = keys.collect();
        call["truncated"] = true.into();
    }
    let title = call.get("title").filter(|it| !it.is_null());
    let title = title.map(|it| in_words(&shown(it, NAME_BYTES_MAX)));
    let title = title.as_deref().unwrap_or("something");
    let mut text = format!("{before}The agent wants to do: {title}");
    if let Some(input) = call.get("rawInput").filter(|it| !it.is_null()) {
        text.push_str(&format!("\n{}", in_words(input)));
    }
    if is_long {
        text.push_str("\n(What it wants to do is too long to show whole.)");
    }
    text.push_str("\nAnswer with one of:");
    for choice in &wish.options {
        let (id, name) = (&choice.option_id, &choice.name);
        text.push_str(&format!("\n* {} ({})", cut(id, NAME_BYTES_MAX), cut(name, NAME_BYTES_MAX)));
    }
    let data = json!({"permission": {"toolCall": call, "options": wish.options}});
    let data = Part { data: Some(data), ..Part::default() };
    let message = Message::new(Role::Agent, vec![Part::text(text), data]);
    Message { message_id: id, ..message }
}

/// Returns which choice a client has made: by its id, or else by its name, in whatever letters.
pub(super) fn chosen<'a>(choices: &'a [Choice], answer: &Message) -> Option<&'a Choice> {
    let data = answer.parts.iter().filter_map(|it| it.data.as_ref()?.get("optionId")?.as_str());
    let texts = answer.parts.iter().filter_map(|it| it.text.as_deref());
    let said: Vec<_> = data.chain(texts).map(str::trim).filter(|it| !it.is_empty()).collect();
    let [said] = said.as_slice() else { return None };
    let by = |is_it: &dyn Fn(&Choice) -> bool| {
        let mut found = choices.iter().filter(|it| is_it(it));
        // Two of one name are none.
        found.next().filter(|_| found.next().is_none())
    };
    by(&|it| it.option_id == *said)
        .or_else(|| by(&|it| it.option_id.to_lowercase() == said.to_lowercase()))
        .or_else(|| by(&|it| it.name.trim().to_lowercase() == said.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(list: &[(&str, &str, &str)]) -> Vec<Choice> {
        let choice = |&(id, name, kind): &(&str, &str, &str)| {
            let choice = json!({"optionId": id, "name": name, "kind": kind});
            serde_json::from_value(choice).unwrap()
        };
        list.iter().map(choice).collect()
    }

    #[test]
    fn the_word_of_an_operator_is_the_narrowest_choice() {
        let check = |list: &[(&str, &str, &str)], allow, expected: Option<&str>| {
            let outcome = outcome(&choices(list), allow);
            assert_eq!(outcome["outcome"]["optionId"].as_str(), expected, "{outcome}");
        };
        let all = [
            ("1", "", "allow_always"),
            ("2", "", "allow_once"),
            ("3", "", "reject_always"),
            ("4", "", "reject_once"),
        ];
        check(&all, Allow::Yes, Some("2"));
        check(&all, Allow::No, Some("4"));
        check(&all[..1], Allow::Yes, Some("1"));
        check(&all[2..3], Allow::No, Some("3"));
        check(&all[..2], Allow::No, None);
        check(&[("1", "", "maybe")], Allow::Yes, None);
    }

    #[test]
    fn a_client_chooses_by_id_or_by_name() {
        let list = choices(&[
            ("yes", "Allow", "allow_once"),
            ("no", "Reject", "reject_once"),
            ("NO", "reject", "reject_always"),
        ]);
        let check = |part: Value, expected: Option<&str>| {
            let part = serde_json::from_value(part).unwrap();
            let found = chosen(&list, &Message::new(Role::User, vec![part]));
            assert_eq!(found.map(|it| it.option_id.as_str()), expected);
        };
        check(json!({"text": "yes"}), Some("yes"));
        check(json!({"text": " YES\n"}), Some("yes"));
        check(json!({"text": "allow"}), Some("yes"));
        check(json!({"text": "NO"}), Some("NO"));
        check(json!({"text": "No"}), None);
        check(json!({"text": "reject"}), None);
        check(json!({"text": "do as you like"}), None);
        check(json!({"data": {"optionId": "no"}}), Some("no"));
    }

    #[test]
    fn a_question_says_what_for_and_what_may_be_answered() {
        let wish = |input: String| Wish {
            session_id: "s".to_owned(),
            tool_call: json!({"toolCallId": "c", "title": "Run it", "rawInput": {"cmd": input}}),
            options: choices(&[("yes", "Allow", "allow_once")]),
        };
        let asked = question("q".to_owned(), &wish("ls".to_owned()), "");
        let text = asked.parts[0].text.as_deref().unwrap();
        assert_eq!(
            text,
            "The agent wants to do: Run it\n{\"cmd\":\"ls\"}\nAnswer with one of:\n* yes (Allow)"
        );
        let data = asked.parts[1].data.as_ref().unwrap();
        assert_eq!(data["permission"]["options"][0]["optionId"], "yes");
        assert_eq!(data["permission"]["toolCall"]["rawInput"]["cmd"], "ls");
        let asked = question("q".to_owned(), &wish("x".repeat(CALL_BYTES_MAX)), "");
        let call = &asked.parts[1].data.as_ref().unwrap()["permission"]["toolCall"];
        assert_eq!((&call["title"], &call["truncated"]), (&json!("Run it"), &json!(true)));
        let text = asked.parts[0].text.as_deref().unwrap();
        let told = "Run it\n{\"cmd\":\"xxx";
        assert!(text.contains(told) && text.contains("x... (too long to show whole)"), "{text}");
    }
}
