//! Texts, taken apart into the words by which they are found.
//! Must not know what is searched.

use rust_stemmers::{Algorithm, Stemmer};

/// Words of a text; what follows is not looked at.
const WORDS_MAX: usize = 512;
/// Letters of a word; of a longer one the rest is not looked at.
const LETTERS_MAX: usize = 40;

/// Words that say nothing of what is looked for.
const STOP: [&str; 46] = [
    "a",
    "agent",
    "agents",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "by",
    "can",
    "do",
    "find",
    "for",
    "from",
    "get",
    "have",
    "help",
    "how",
    "i",
    "in",
    "is",
    "it",
    "me",
    "my",
    "need",
    "of",
    "on",
    "or",
    "please",
    "show",
    "skill",
    "some",
    "something",
    "that",
    "the",
    "this",
    "to",
    "use",
    "want",
    "we",
    "what",
    "which",
    "who",
    "with",
];

/// Returns the words of a text in their order: in small letters, without endings of English, and
/// without those that say nothing. Names of programs are taken apart at their seams, as in
/// `text.upperCase`.
pub(super) fn words(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_small = false;
    for letter in text.chars().chain([' ']) {
        let is_seam = was_small && letter.is_uppercase();
        if !letter.is_alphanumeric() || is_seam || is_symbol(letter) {
            end(&mut word, &stemmer, &mut words);
        }
        was_small = letter.is_lowercase();
        if letter.is_alphanumeric() && word.chars().count() < LETTERS_MAX {
            word.extend(letter.to_lowercase());
        }
        if is_symbol(letter) {
            end(&mut word, &stemmer, &mut words);
        }
        if WORDS_MAX <= words.len() {
            break;
        }
    }
    words
}

/// Whether a letter is a word by itself, as in Chinese and Japanese.
fn is_symbol(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

fn end(word: &mut String, stemmer: &Stemmer, words: &mut Vec<String>) {
    let is_said = !word.is_empty() && !STOP.contains(&word.as_str());
    if is_said {
        words.push(stemmer.stem(word).into_owned());
    }
    word.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_apart_at_its_seams() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text}");
        check("Translating documents", &["translat", "document"]);
        check("find me an agent that books flights", &["book", "flight"]);
        check("text.upperCase/fast_path-2", &["text", "upper", "case", "fast", "path", "2"]);
        check("Übersetzt für alle", &["übersetzt", "für", "all"]);
        check("翻訳 agent", &["翻", "訳"]);
        check("", &[]);
        check(" ., !", &[]);
        assert_eq!(words(&"x".repeat(1_000))[0].len(), LETTERS_MAX);
        assert_eq!(words(&"word ".repeat(2_000)).len(), WORDS_MAX);
    }

    #[test]
    fn stop_words_are_in_order_and_once() {
        assert!(STOP.is_sorted_by(|a, b| a < b));
    }
}
