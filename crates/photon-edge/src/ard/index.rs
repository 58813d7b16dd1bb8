//! An inverted index over texts, each kept once however many use it, and how well each fits a
//! query: BM25 (Robertson and Zaragoza, 2009), with k1 = 1.2 and b = 0.75.
//! Must not know who uses a text, or what it is about.

use std::collections::{BTreeSet, HashMap};

use super::vectors::{Sense, Vectors};
use super::words::words;

/// The place of a text in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TextId(u32);

impl TextId {
    /// Names the text of a number.
    pub(super) fn new(number: usize) -> Self {
        Self(u32::try_from(number).expect("memory ends before"))
    }

    /// Returns its number: below [`Index::capacity`].
    pub(super) fn get(self) -> usize {
        self.0 as usize
    }
}

/// A text that is used.
#[derive(Debug)]
struct Text {
    text: Box<str>,
    /// Its words, each once, with how often it comes.
    words: Vec<(u32, u16)>,
    uses: u32,
}

/// Texts by their words.
#[derive(Debug, Default)]
pub(super) struct Index {
    numbers: HashMap<Box<str>, u32>,
    words: Vec<Box<str>>,
    vacant_words: Vec<u32>,
    /// By word: the texts that have it, and how often.
    postings: Vec<Vec<(u32, u16)>>,
    texts: Vec<Option<Text>>,
    /// By text: how many words it has. It is all that a search needs of most texts.
    lens: Vec<u32>,
    vacant: Vec<u32>,
    by_text: HashMap<Box<str>, u32>,
    /// Words of all texts.
    len: u64,
    vectors: Vectors,
    /// Texts that have no vector yet, if somebody makes them.
    without: BTreeSet<u32>,
}

/// What is asked: words, and what they mean, if that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub(super) text: &'a str,
    pub(super) sense: Option<&'a Sense>,
}

impl Index {
    const K1: f32 = 1.2;
    const B: f32 = 0.75;

    /// Takes a text in, or counts one more use of it.
    pub(super) fn add(&mut self, text: &str) -> TextId {
        if let Some(number) = self.by_text.get(text) {
            let known =
                self.texts[*number as usize].as_mut().expect("a text that is named is used");
            known.uses += 1;
            return TextId(*number);
        }
        let mut counts: HashMap<u32, u16> = HashMap::new();
        let all = words(text);
        for word in &all {
            let count = counts.entry(self.number(word)).or_default();
            *count = count.saturating_add(1);
        }
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.texts.push(None);
            self.lens.push(0);
            u32::try_from(self.texts.len() - 1).expect("memory ends before")
        });
        let mut words: Vec<(u32, u16)> = counts.into_iter().collect();
        words.sort_unstable();
        for (word, count) in &words {
            self.postings[*word as usize].push((number, *count));
        }
        let len = u32::try_from(all.len()).expect("words of a text are bounded");
        self.len += u64::from(len);
        self.by_text.insert(text.into(), number);
        self.vectors.add(TextId(number), text);
        if !self.vectors.has(TextId(number)) {
            self.without.insert(number);
        }
        self.lens[number as usize] = len;
        self.texts[number as usize] = Some(Text { text: text.into(), words, uses: 1 });
        TextId(number)
    }

    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.vacant_words.pop().unwrap_or_else(|| {
            self.postings.push(Vec::new());
            self.words.push(Box::default());
            u32::try_from(self.postings.len() - 1).expect("memory ends before")
        });
        self.words[number as usize] = word.into();
        self.numbers.insert(word.into(), number);
        number
    }

    /// Counts one use of a text less, and forgets it with the last.
    pub(super) fn remove(&mut self, id: TextId) {
        let slot = &mut self.texts[id.get()];
        let text = slot.as_mut().expect("a text is used as often as it was added");
        text.uses -= 1;
        if 0 < text.uses {
            return;
        }
        let gone = slot.take().expect("it was there above");
        for (word, _) in &gone.words {
            let posting = &mut self.postings[*word as usize];
            let at = posting.iter().position(|(text, _)| *text == id.0);
            posting.swap_remove(at.expect("a text is found by each of its words"));
            if posting.is_empty() {
                let word = std::mem::take(&mut self.words[*word as usize]);
                let number = self.numbers.remove(&word).expect("a word has a number");
                self.vacant_words.push(number);
            }
        }
        self.by_text.remove(&gone.text);
        self.vectors.remove(id);
        self.without.remove(&id.0);
        self.len -= u64::from(self.lens[id.get()]);
        self.vacant.push(id.0);
    }

    /// Returns how many texts there may be: the numbers of all are less.
    pub(super) fn capacity(&self) -> usize {
        self.texts.len()
    }

    /// Forgets all texts, but not the vectors of those that may come back.
    pub(super) fn clear(&mut self) {
        let mut vectors = std::mem::take(&mut self.vectors);
        vectors.clear();
        *self = Self { vectors, ..Self::default() };
    }

    /// Whether there are texts whose vectors are to be asked for.
    pub(super) fn lacks_vectors(&self) -> bool {
        !self.without.is_empty() && !self.vectors.is_full()
    }

    /// Returns some of the texts that have no vector yet.
    pub(super) fn without_vectors(&self, limit: usize) -> Vec<String> {
        let limit = if self.vectors.is_full() { 0 } else { limit };
        let texts = self.without.iter().take(limit);
        texts.filter_map(|it| Some(self.texts[*it as usize].as_ref()?.text.to_string())).collect()
    }

    /// Takes the vectors of texts; those that get none are not asked for again.
    pub(super) fn set_vectors(&mut self, texts: &[String], vectors: &[Option<Vec<f32>>]) {
        let len = self.vectors.len();
        for (text, vector) in texts.iter().zip(vectors) {
            match vector {
                Some(vector) => self.vectors.set(text, vector),
                None => self.vectors.give_up(text),
            }
            if let Some(number) = self.by_text.get(text.as_str()) {
                self.without.remove(number);
            }
        }
        if len != self.vectors.len() && len != 0 {
            // The embedder is another one: what was known is known no more.
            self.without = self.by_text.values().copied().collect();
            self.without.retain(|it| !self.vectors.has(TextId(*it)));
        }
        self.vectors.sweep();
    }

    /// Returns the texts that fit a query, by their words or by what they mean, with how well: 1 is
    /// about what a text has that has each of its words once, and is as long as most, or that means
    /// the same.
    pub(super) fn search(&self, query: Query<'_>) -> Vec<(TextId, f32)> {
        let mut found = self.having_words(query.text);
        let Some(sense) = query.sense else { return found };
        let mut places: HashMap<TextId, usize> = HashMap::new();
        places.extend(found.iter().enumerate().map(|(at, (id, _))| (*id, at)));
        for (id, near) in self.vectors.near(sense) {
            match places.get(&id) {
                Some(at) => found[*at].1 += near,
                None => found.push((id, near)),
            }
        }
        found
    }

    fn having_words(&self, query: &str) -> Vec<(TextId, f32)> {
        let mut asked = words(query);
        asked.sort_unstable();
        asked.dedup();
        let count = self.by_text.len() as f32;
        let rarity = |number: &u32| {
            let having = self.postings[*number as usize].len() as f32;
            (1.0 + (count - having + 0.5) / (having + 0.5)).ln()
        };
        let known: Vec<u32> =
            asked.iter().filter_map(|word| self.numbers.get(word.as_str()).copied()).collect();
        let sum: f32 = known.iter().map(rarity).sum();
        if known.is_empty() || sum <= 0.0 {
            return Vec::new();
        }
        // A word that nothing has counts as half of what the others do at the mean.
        let unknown = (asked.len() - known.len()) as f32 * sum / known.len() as f32 / 2.0;
        let mean = (self.len as f32 / count).max(1.0);
        let mut scores = vec![0.0_f32; self.texts.len()];
        let mut found = Vec::new();
        for number in &known {
            let weight = rarity(number) / (sum + unknown);
            for (text, times) in &self.postings[*number as usize] {
                let slot = &mut scores[*text as usize];
                if *slot == 0.0 {
                    found.push(*text);
                }
                let len = self.lens[*text as usize] as f32;
                let times = f32::from(*times);
                let norm = Self::K1 * (1.0 - Self::B + Self::B * len / mean);
                *slot += weight * times * (Self::K1 + 1.0) / (times + norm);
            }
        }
        found.into_iter().map(|text| (TextId(text), scores[text as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn best(index: &Index, query: &str) -> Option<TextId> {
        let found = index.search(Query { text: query, sense: None }).into_iter();
        found.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id)
    }

    #[test]
    fn the_text_with_the_rarer_words_fits_best() {
        let mut index = Index::default();
        let weather = index.add("tells the weather of a city for tomorrow");
        let flights = index.add("books flights to a city");
        let hotels = index.add("books hotels in a city");
        for (query, expected) in [
            ("what is the weather in Berlin tomorrow", Some(weather)),
            ("booking a flight", Some(flights)),
            ("hotel booked", Some(hotels)),
            ("symphonies", None),
            ("", None),
        ] {
            assert_eq!(best(&index, query), expected, "{query}");
        }
    }

    #[test]
    fn a_text_is_found_by_what_it_means() {
        let mut index = Index::default();
        let [letters, sums] = ["translates letters", "adds numbers"].map(|it| index.add(it));
        let texts = index.without_vectors(9);
        assert_eq!(texts, ["translates letters", "adds numbers"]);
        index.set_vectors(&texts, &[Some(vec![1.0, 0.1]), Some(vec![0.0, 1.0])]);
        assert!(index.without_vectors(9).is_empty());
        let sense = Sense::new(&[1.0, 0.0], 0.3).unwrap();
        let search = |text| index.search(Query { text, sense: Some(&sense) });
        assert_eq!(search("uebersetzen")[0].0, letters);
        assert_eq!(search("uebersetzen").len(), 1);
        let both = search("numbers");
        assert!(both.iter().any(|it| it.0 == sums) && both.iter().any(|it| it.0 == letters));
        index.clear();
        assert_eq!(index.add("adds numbers"), letters, "its place is used again");
        assert!(!index.lacks_vectors(), "its vector is known");
        index.add("says nothing");
        index.set_vectors(&["says nothing".to_owned()], &[None]);
        assert!(!index.lacks_vectors(), "it gets none");
        index.set_vectors(&["another".to_owned()], &[Some(vec![1.0])]);
        assert_eq!(index.without_vectors(9).len(), 2, "the embedder is another one");
    }

    #[test]
    fn a_text_is_found_until_its_last_use_is_gone() {
        let mut index = Index::default();
        let id = index.add("sorts numbers");
        assert_eq!(index.add("sorts numbers"), id);
        index.remove(id);
        assert_eq!(best(&index, "sorting"), Some(id));
        index.remove(id);
        assert_eq!(best(&index, "sorting"), None);
        assert_eq!(index.add("sorts words"), id, "its place is used again");
    }

    proptest! {
        #[test]
        fn what_is_left_of_texts_is_as_if_the_others_had_never_been(
            texts in prop::collection::vec("[abc]( [abcd]{1,2}){0,4}", 0..12),
            gone in prop::collection::vec(any::<bool>(), 12),
            query in "[abcd]{1,2}( [abcd]{1,2}){0,2}",
        ) {
            let (mut all, mut few) = (Index::default(), Index::default());
            let ids: Vec<TextId> = texts.iter().map(|it| all.add(it)).collect();
            for ((text, id), is_gone) in texts.iter().zip(&ids).zip(&gone) {
                if *is_gone {
                    all.remove(*id);
                } else {
                    few.add(text);
                }
            }
            let shown = |index: &Index| {
                let query = Query { text: &query, sense: None };
                let found = index.search(query).into_iter();
                let text = |id: TextId| index.texts[id.get()].as_ref().unwrap().text.to_string();
                let mut found: Vec<_> =
                    found.map(|(id, score)| (text(id), (score * 1e4).round() as u32)).collect();
                found.sort();
                found
            };
            // Numbers of words differ, and so does the order in which scores are summed up.
            let (all, few) = (shown(&all), shown(&few));
            prop_assert_eq!(all.len(), few.len());
            for (one, other) in all.iter().zip(&few) {
                prop_assert_eq!(&one.0, &other.0);
                prop_assert!(one.1.abs_diff(other.1) <= 1, "{:?} {:?}", one, other);
            }
        }
    }
}
