//! The search for an order in which a model gives the answers that were given.
//! Must not know when anything happened, only what came before what.

use rustc_hash::FxHashSet;

use super::{Call, Model, Moment};

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Searched {
    /// There is an order.
    Order,
    /// There is none: the search got no further than the answer of this operation.
    NoOrder(usize),
    /// It took too many steps, so that nothing is known.
    GaveUp,
}

/// The invocations and answers that have not been placed yet, in the order of their moments.
struct Line {
    /// What each entry is: the number of an operation, and whether its answer.
    entries: Vec<(usize, End)>,
    next: Vec<usize>,
    before: Vec<usize>,
    /// Where each operation begins and ends.
    ends: Vec<(usize, Option<usize>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Invocation,
    Answer,
}

impl Line {
    fn new<M: Model>(calls: &[Call<M>]) -> Self {
        let mut all: Vec<(Moment, usize, End)> = Vec::with_capacity(2 * calls.len());
        for (number, call) in calls.iter().enumerate() {
            all.push((call.asked, number, End::Invocation));
            if let Some((_, at)) = &call.answer {
                all.push((*at, number, End::Answer));
            }
        }
        all.sort_by_key(|(at, ..)| *at);
        // Entry 0 is before all others; after the last one comes 0 again.
        let mut ends = vec![(0, None); calls.len()];
        for (place, (_, number, end)) in (1..).zip(&all) {
            match end {
                End::Invocation => ends[*number].0 = place,
                End::Answer => ends[*number].1 = Some(place),
            }
        }
        let len = all.len() + 1;
        let mut entries = vec![(usize::MAX, End::Invocation)];
        entries.extend(all.into_iter().map(|(_, number, end)| (number, end)));
        let next = (0..len).map(|it| (it + 1) % len).collect();
        let before = (0..len).map(|it| (it + len - 1) % len).collect();
        Self { entries, next, before, ends }
    }

    fn take_out(&mut self, number: usize) {
        let (first, last) = self.ends[number];
        for place in [Some(first), last].into_iter().flatten() {
            let (before, next) = (self.before[place], self.next[place]);
            self.next[before] = next;
            self.before[next] = before;
        }
    }

    fn put_back(&mut self, number: usize) {
        let (first, last) = self.ends[number];
        for place in [last, Some(first)].into_iter().flatten() {
            let (before, next) = (self.before[place], self.next[place]);
            self.next[before] = place;
            self.before[next] = place;
        }
    }
}

/// The most steps of one search; beyond it, it is given up.
pub(crate) const STEPS_MAX: usize = 200_000;

/// Looks for an order of operations in which a model gives all answers that were given.
pub(crate) fn search<M: Model>(model: &M, calls: &[Call<M>], steps_max: usize) -> Searched {
    let mut line = Line::new(calls);
    let mut open = calls.iter().filter(|it| it.answer.is_some()).count();
    let twins = twins(calls);
    let mut placed = vec![0_u64; calls.len().div_ceil(64)];
    // Where the search has been before: what was placed, and where that left the thing.
    let mut known: FxHashSet<(Box<[u64]>, M::State)> = FxHashSet::default();
    let mut path: Vec<(usize, M::State)> = Vec::new();
    let mut state = model.begin();
    let mut place = line.next[0];
    let (mut steps, mut farthest) = (0, (0, 0));
    while 0 < open {
        steps += 1;
        if steps_max < steps {
            return Searched::GaveUp;
        }
        let (number, end) = line.entries[place];
        if place != 0 && end == End::Invocation {
            if twins[number].is_some_and(|it| placed[it / 64] & (1 << (it % 64)) == 0) {
                place = line.next[place];
                continue;
            }
            let (call, bit) = (&calls[number], 1_u64 << (number % 64));
            let answer = call.answer.as_ref().map(|(answer, _)| answer);
            let after = model.step(&state, &call.ask, answer);
            // What was never answered and changes nothing need not have been done.
            let after = after.filter(|it| answer.is_some() || *it != state);
            placed[number / 64] |= bit;
            match after {
                Some(after) if known.insert((placed.clone().into(), after.clone())) => {
                    path.push((number, std::mem::replace(&mut state, after)));
                    open -= usize::from(answer.is_some());
                    line.take_out(number);
                    place = line.next[0];
                }
                Some(_) | None => {
                    placed[number / 64] &= !bit;
                    place = line.next[place];
                }
            }
            continue;
        }
        // Something was answered that is not placed yet: what comes later cannot come first.
        if place != 0 && farthest.0 <= path.len() {
            farthest = (path.len(), number);
        }
        let Some((last, earlier)) = path.pop() else { return Searched::NoOrder(farthest.1) };
        state = earlier;
        placed[last / 64] &= !(1 << (last % 64));
        open += usize::from(calls[last].answer.is_some());
        line.put_back(last);
        place = line.next[line.ends[last].0];
    }
    Searched::Order
}

/// Returns, for each operation that was never answered, the one before it that is the same. Of such
/// two either may have been done, so that it is enough to look at the earlier one first.
fn twins<M: Model>(calls: &[Call<M>]) -> Vec<Option<usize>> {
    let mut lost: Vec<usize> = Vec::new();
    let twin = |(number, call): (usize, &Call<M>)| {
        if call.answer.is_some() {
            return None;
        }
        let twin = lost.iter().rev().copied().find(|it| calls[*it].ask == call.ask);
        lost.push(number);
        twin
    };
    calls.iter().enumerate().map(twin).collect()
}

#[cfg(test)]
mod tests {
    use super::super::oracle::{self, Cell, CellAsk};
    use super::*;

    fn check(script: &[(CellAsk, Option<u8>, u32, u32)], expected: Searched) {
        let calls = oracle::history(script);
        assert_eq!(search(&Cell, &calls, STEPS_MAX), expected, "{script:?}");
        let is_order = oracle::has_order(&Cell, &calls);
        assert_eq!(is_order, expected == Searched::Order, "the oracle differs");
    }

    const READ: CellAsk = CellAsk::Read;

    fn write(value: u8) -> CellAsk {
        CellAsk::Write(value)
    }

    fn swap(from: u8, to: u8) -> CellAsk {
        CellAsk::Swap(from, to)
    }

    #[test]
    fn what_follows_on_an_answer_comes_after_it() {
        check(&[], Searched::Order);
        check(&[(write(1), Some(1), 1, 2), (READ, Some(1), 3, 4)], Searched::Order);
        check(&[(write(1), Some(1), 1, 2), (READ, Some(0), 3, 4)], Searched::NoOrder(1));
        // While it is written, both are right, but not the old value after the new one.
        let during = |first, second| {
            [(write(1), Some(1), 1, 10), (READ, Some(first), 2, 3), (READ, Some(second), 4, 5)]
        };
        check(&during(0, 0), Searched::Order);
        check(&during(0, 1), Searched::Order);
        check(&during(1, 0), Searched::NoOrder(2));
    }

    #[test]
    fn of_two_swaps_of_one_value_one_succeeds() {
        let both = |second| {
            [(swap(0, 1), Some(1), 1, 4), (swap(0, 2), Some(second), 2, 3), (READ, Some(1), 5, 6)]
        };
        check(&both(0), Searched::Order);
        check(&both(1), Searched::NoOrder(0));
    }

    #[test]
    fn what_was_never_answered_may_have_been_done_at_any_time_later_or_never() {
        let lost = (write(1), None, 1, 0);
        check(&[lost, (READ, Some(0), 2, 3)], Searched::Order);
        check(&[lost, (READ, Some(1), 2, 3)], Searched::Order);
        check(&[lost, (READ, Some(0), 2, 3), (READ, Some(1), 4, 5)], Searched::Order);
        let reads = [(READ, Some(1), 2, 3), (READ, Some(0), 4, 5)];
        check(&[&[lost][..], &reads].concat(), Searched::NoOrder(2));
        // It was done once, at the most.
        let again = [(READ, Some(1), 2, 3), (write(2), Some(1), 4, 5), (READ, Some(1), 6, 7)];
        check(&[&[lost][..], &again].concat(), Searched::NoOrder(3));
    }

    #[test]
    fn what_was_asked_again_and_again_without_an_answer_is_looked_at_once() {
        let lost: Vec<_> = (1..30).map(|it| (swap(0, 1), None, it, 0)).collect();
        let script = [&lost[..], &[(READ, Some(7), 101, 102)]].concat();
        assert_eq!(search(&Cell, &oracle::history(&script), 200), Searched::NoOrder(29));
        // Each counts, for all that.
        let twice = [(swap(0, 1), None, 1, 0), (swap(0, 1), None, 2, 0)];
        let reads = [(READ, Some(1), 3, 4), (write(0), Some(1), 5, 6), (READ, Some(1), 7, 8)];
        check(&[&twice[..], &reads].concat(), Searched::Order);
        check(&[&twice[..1], &reads].concat(), Searched::NoOrder(3));
    }

    #[test]
    fn a_search_that_takes_too_long_is_given_up() {
        let script: Vec<_> = (1..30).map(|it| (write(it), Some(1), 1, 100)).collect();
        let script = [&script[..], &[(READ, Some(77), 101, 102)]].concat();
        let calls = oracle::history(&script);
        assert_eq!(search(&Cell, &calls, 10_000), Searched::GaveUp);
    }
}
