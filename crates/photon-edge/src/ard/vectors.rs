//! Texts as vectors of an embedder: how near each is to what is asked.
//! Must not know what a text says, nor who makes the vectors.
//!
//! Vectors are kept as whole numbers from -127 to 127 beside one factor each: a quarter of the
//! room, and near enough (cosines differ by less than 0.01).

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::index::TextId;

/// Bytes of all vectors; texts beyond are found by their words.
const BYTES_MAX: usize = 512 << 20;

/// What names a text: it is known again when all texts are told anew.
type Digest = [u8; 16];

/// What a query means.
#[derive(Clone, Debug)]
pub(super) struct Sense {
    values: Box<[i8]>,
    scale: f32,
    /// A cosine that is as good as none.
    floor: f32,
}

impl Sense {
    /// Takes the vector of a query; nothing if it has no direction.
    pub(super) fn new(vector: &[f32], floor: f32) -> Option<Self> {
        let (values, scale) = packed(vector)?;
        Some(Self { values, scale, floor })
    }
}

/// The vectors of texts.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    /// How many numbers a vector has; all have as many.
    len: usize,
    rows: HashMap<Digest, Row>,
    /// By text: what names it.
    texts: Vec<Option<Digest>>,
}

#[derive(Debug)]
struct Row {
    values: Box<[i8]>,
    scale: f32,
}

impl Vectors {
    /// Returns how many numbers a vector has; 0 if none is known.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes note of a text.
    pub(super) fn add(&mut self, id: TextId, text: &str) {
        if self.texts.len() <= id.get() {
            self.texts.resize(id.get() + 1, None);
        }
        self.texts[id.get()] = Some(digest(text));
    }

    /// Forgets a text; its vector stays for whoever says the same, until [`Vectors::sweep`].
    pub(super) fn remove(&mut self, id: TextId) {
        if let Some(text) = self.texts.get_mut(id.get()) {
            *text = None;
        }
    }

    /// Forgets all texts, and keeps their vectors.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
    }

    /// Forgets the vectors of texts that are no more, once these are many.
    pub(super) fn sweep(&mut self) {
        if self.rows.len() <= 2 * self.texts.len() + 1_000 {
            return;
        }
        let used: HashSet<Digest> = self.texts.iter().flatten().copied().collect();
        self.rows.retain(|digest, _| used.contains(digest));
    }

    /// Whether there is no room for the vectors of more texts.
    pub(super) fn is_full(&self) -> bool {
        BYTES_MAX < self.rows.len() * self.len
    }

    /// Takes note that a text gets no vector, so that it is not asked for again.
    pub(super) fn give_up(&mut self, text: &str) {
        self.rows.insert(digest(text), Row { values: Box::default(), scale: 0.0 });
    }

    /// Whether a text has a vector, or gets none.
    pub(super) fn has(&self, id: TextId) -> bool {
        let text = self.texts.get(id.get()).copied().flatten();
        text.is_some_and(|it| self.rows.contains_key(&it))
    }

    /// Takes the vector of a text. If it is longer or shorter than others, the embedder has become
    /// another one, and nothing that was known is worth anything.
    pub(super) fn set(&mut self, text: &str, vector: &[f32]) {
        if self.len != vector.len() {
            self.rows.clear();
            self.len = vector.len();
        }
        // What has no direction is near to nothing, and need not be asked for again.
        let (values, scale) = packed(vector).unwrap_or_default();
        self.rows.insert(digest(text), Row { values, scale });
    }

    /// Returns the texts that are near to what is asked, with how near: 1 is the same.
    pub(super) fn near(&self, sense: &Sense) -> impl Iterator<Item = (TextId, f32)> {
        let texts = (0..).zip(&self.texts).filter_map(|(number, it)| Some((number, (*it)?)));
        texts.filter_map(move |(number, digest)| {
            let row = self.rows.get(&digest)?;
            if row.values.len() != sense.values.len() {
                return None;
            }
            let cosine = dot(&row.values, &sense.values) as f32 * row.scale * sense.scale;
            let near = (cosine - sense.floor) / (1.0 - sense.floor);
            (0.0 < near).then(|| (TextId::new(number), near.min(1.0)))
        })
    }
}

fn digest(text: &str) -> Digest {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(text)[..16]);
    digest
}

fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// Returns a vector of length 1 as whole numbers, and the factor that they are to be taken by.
fn packed(vector: &[f32]) -> Option<(Box<[i8]>, f32)> {
    let length = vector.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
    let most = vector.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
    if !length.is_normal() || !most.is_normal() {
        return None;
    }
    let values = vector.iter().map(|it| (it / most * 127.0).round() as i8).collect();
    Some((values, (f64::from(most) / 127.0 / length) as f32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(vectors: &Vectors, query: &[f32], floor: f32) -> Vec<(usize, f32)> {
        let sense = Sense::new(query, floor).unwrap();
        vectors.near(&sense).map(|(id, near)| (id.get(), near)).collect()
    }

    #[test]
    fn what_points_the_same_way_is_near_whatever_its_length() {
        let mut vectors = Vectors::default();
        for (number, (text, vector)) in
            [("a", [3.0, 0.0]), ("b", [0.0, 0.1]), ("c", [-1.0, 0.0]), ("d", [0.0, 0.0])]
                .iter()
                .enumerate()
        {
            vectors.add(TextId::new(number), text);
            vectors.set(text, vector);
            assert!(vectors.has(TextId::new(number)));
        }
        assert_eq!(near(&vectors, &[9.0, 0.0], 0.3), [(0, 1.0)]);
        let both = near(&vectors, &[1.0, 1.0], 0.5);
        assert!(both.len() == 2 && both.iter().all(|it| (it.1 - 0.414).abs() < 0.01), "{both:?}");
        assert!(Sense::new(&[0.0, 0.0], 0.0).is_none());
        assert!(Sense::new(&[f32::NAN], 0.0).is_none());
    }

    #[test]
    fn a_vector_outlives_that_all_texts_are_told_anew() {
        let mut vectors = Vectors::default();
        vectors.add(TextId::new(0), "a");
        vectors.set("a", &[1.0]);
        vectors.clear();
        vectors.add(TextId::new(5), "a");
        vectors.add(TextId::new(6), "b");
        assert!(vectors.has(TextId::new(5)) && !vectors.has(TextId::new(6)));
        vectors.remove(TextId::new(5));
        assert!(near(&vectors, &[1.0], 0.0).is_empty());
        vectors.set("b", &[1.0, 2.0]);
        vectors.add(TextId::new(5), "a");
        assert!(!vectors.has(TextId::new(5)), "the embedder is another one");
    }

    proptest! {
        #[test]
        fn cosines_are_nearly_exact(
            a in prop::collection::vec(-1.0_f32..1.0, 64),
            b in prop::collection::vec(-1.0_f32..1.0, 64),
        ) {
            let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
            let mut vectors = Vectors::default();
            vectors.add(TextId::new(0), "a");
            vectors.set("a", &a);
            let found = near(&vectors, &b, -1.0);
            let expected = (cosine + 1.0) / 2.0;
            prop_assert!((found[0].1 - expected).abs() < 0.01, "{} {expected}", found[0].1);
        }
    }
}
