//! What the search is compared with: every order of a few operations, tried one by one.
//! Must not share anything with the search but the model and the history.

use std::fmt;

use super::search::{STEPS_MAX, Searched, search};
use super::{Call, Model, Moment};

/// A number that can be read, written and swapped.
pub(super) struct Cell;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CellAsk {
    Read,
    Write(u8),
    /// Writes the second number if the first one is there; answers 1 if it was.
    Swap(u8, u8),
}

impl fmt::Display for CellAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Model for Cell {
    type State = u8;
    type Ask = CellAsk;
    type Answer = u8;

    fn begin(&self) -> u8 {
        0
    }

    fn step(&self, state: &u8, ask: &CellAsk, answer: Option<&u8>) -> Option<u8> {
        let (after, right) = match *ask {
            CellAsk::Read => (*state, *state),
            CellAsk::Write(value) => (value, 1),
            CellAsk::Swap(from, to) if from == *state => (to, 1),
            CellAsk::Swap(..) => (*state, 0),
        };
        answer.is_none_or(|it| *it == right).then_some(after)
    }

    fn parts(&self, _: &CellAsk) -> Vec<CellAsk> {
        Vec::new()
    }
}

/// Makes a history: what is asked, the answer if there is one, and the turns of both.
pub(super) fn history(script: &[(CellAsk, Option<u8>, u32, u32)]) -> Vec<Call<Cell>> {
    let moment = |turn: u32| Moment { turn, at: turn.into() };
    let call = |(ask, answer, asked, answered): &(CellAsk, Option<u8>, u32, u32)| Call {
        ask: *ask,
        asked: moment(*asked),
        answer: answer.map(|it| (it, moment(*answered))),
    };
    script.iter().map(call).collect()
}

/// Whether there is an order, by trying all of them.
pub(super) fn has_order<M: Model>(model: &M, calls: &[Call<M>]) -> bool {
    fn go<M: Model>(model: &M, calls: &[Call<M>], left: &[usize], state: &M::State) -> bool {
        let answers = left.iter().filter_map(|it| calls[*it].answer.as_ref());
        let Some(first) = answers.map(|(_, at)| *at).min() else { return true };
        left.iter().enumerate().any(|(index, it)| {
            // Nothing may come before what was answered before it was asked.
            if first < calls[*it].asked {
                return false;
            }
            let answer = calls[*it].answer.as_ref().map(|(answer, _)| answer);
            let Some(after) = model.step(state, &calls[*it].ask, answer) else { return false };
            let rest = [&left[..index], &left[index + 1..]].concat();
            go(model, calls, &rest, &after)
        })
    }
    let all: Vec<usize> = (0..calls.len()).collect();
    go(model, calls, &all, &model.begin())
}

/// Draws a history of a few clients: mostly of answers that a cell gave, and some that none gives.
fn draw(rng: &mut fastrand::Rng) -> Vec<Call<Cell>> {
    let (mut cell, mut turn) = (0_u8, 0);
    let mut running: Vec<(CellAsk, u32, Option<u8>)> = Vec::new();
    let mut script = Vec::new();
    let lies = rng.bool();
    for _ in 0..rng.u32(8..30) {
        turn += 1;
        match rng.u32(0..3) {
            0 if script.len() + running.len() < 7 => {
                let ask = match rng.u32(0..3) {
                    0 => CellAsk::Read,
                    1 => CellAsk::Write(rng.u8(0..3)),
                    2.. => CellAsk::Swap(rng.u8(0..3), rng.u8(0..3)),
                };
                running.push((ask, turn, None));
            }
            1 if !running.is_empty() => {
                let it = rng.usize(0..running.len());
                let (ask, _, answer) = &mut running[it];
                if answer.is_none() {
                    let right = Cell.step(&cell, ask, None).expect("a cell always answers");
                    let said = match ask {
                        CellAsk::Read => cell,
                        CellAsk::Write(_) => 1,
                        CellAsk::Swap(from, _) => u8::from(*from == cell),
                    };
                    (cell, *answer) = (right, Some(said));
                }
            }
            0.. if !running.is_empty() => {
                let (ask, asked, answer) = running.swap_remove(rng.usize(0..running.len()));
                let answer = answer.filter(|_| rng.u32(0..5) != 0);
                let lie = lies && rng.u32(0..3) == 0;
                let answer = answer.map(|it| if lie { it ^ 1 } else { it });
                script.push((ask, answer, asked, turn));
            }
            0.. => {}
        }
    }
    script.extend(running.into_iter().map(|(ask, asked, _)| (ask, None, asked, 0)));
    script.sort_by_key(|(_, _, asked, _)| *asked);
    history(&script)
}

#[test]
fn the_search_finds_an_order_where_there_is_one_and_nowhere_else() {
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut with, mut without) = (0, 0);
    for _ in 0..10_000 {
        let calls = draw(&mut rng);
        let expected = has_order(&Cell, &calls);
        let found = search(&Cell, &calls, STEPS_MAX);
        assert_eq!(found == Searched::Order, expected, "{found:?}: {}", super::Shown(&calls, None));
        assert_ne!(found, Searched::GaveUp);
        *(if expected { &mut with } else { &mut without }) += 1;
    }
    assert!(1_000 < with && 1_000 < without, "{with} with an order, {without} without");
}
