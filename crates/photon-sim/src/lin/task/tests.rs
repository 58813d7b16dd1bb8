//! What fits an order of what is asked about a task, and what does not.
//! Must not look into the search.

use super::super::{History, STEPS_MAX, Searched, search};
use super::TaskSaid::{Ended, Gap, NotAsked, Stale, Stands};
use super::TaskState::{Canceled, Completed, Failed, InputRequired, Rejected, Submitted, Working};
use super::*;

const A: Token = Token(1 << 32 | 1);
const B: Token = Token(1 << 32 | 2);

/// Looks for an order of operations that come one after the other.
fn check(setbacks: u32, script: &[(TaskAsk, Option<TaskSaid>)], expected: Searched) {
    let mut history = History::<Task>::default();
    for (at, (ask, answer)) in (0..).zip(script) {
        let number = history.asked(at, *ask).unwrap();
        if let Some(answer) = answer {
            history.answered(at, number, *answer);
        }
    }
    let model = Task { setbacks };
    let found = search(&model, &history.calls(&model), STEPS_MAX);
    assert_eq!(found, expected, "{script:?}");
}

fn beat(token: Token, said: TaskSaid) -> (TaskAsk, Option<TaskSaid>) {
    (TaskAsk::Heartbeat(token), Some(said))
}

fn note(first: u64, last: u64, said: TaskSaid) -> (TaskAsk, Option<TaskSaid>) {
    (TaskAsk::Note(A, first, last), Some(said))
}

fn finish(token: Token, said: TaskSaid) -> (TaskAsk, Option<TaskSaid>) {
    (TaskAsk::Finish(token, Completed), Some(said))
}

#[test]
fn every_event_has_the_next_generation() {
    let end = || finish(A, Stands(Completed, 5));
    let told = || note(1, 2, Stands(Working, 4));
    check(0, &[beat(A, Stands(Working, 2)), told(), end()], Searched::Order);
    check(0, &[told(), note(2, 2, Stands(Working, 4)), end()], Searched::Order);
    check(0, &[told(), note(2, 3, Stands(Working, 4))], Searched::NoOrder(1));
    check(0, &[told(), beat(A, Stands(Working, 6))], Searched::NoOrder(1));
    check(0, &[told(), note(5, 5, Gap(3)), end()], Searched::Order);
    check(0, &[told(), note(5, 5, Gap(2))], Searched::NoOrder(1));
    // What was told without an answer counts as soon as something shows it.
    let unheard = (TaskAsk::Note(A, 3, 3), None);
    check(0, &[told(), unheard, beat(A, Stands(Working, 4))], Searched::Order);
    check(0, &[told(), unheard, beat(A, Stands(Working, 5))], Searched::Order);
    check(0, &[told(), unheard, beat(A, Stands(Working, 6))], Searched::NoOrder(2));
}

#[test]
fn a_token_that_was_replaced_is_in_force_no_more() {
    let (first, second) = (beat(A, Stands(Working, 2)), beat(B, Stands(Working, 4)));
    check(0, &[first, second, beat(A, Stale(Some(B)))], Searched::Order);
    check(0, &[first, second, beat(A, Stands(Working, 4))], Searched::NoOrder(2));
    check(0, &[first, beat(A, Stale(None)), beat(A, Stands(Working, 3))], Searched::NoOrder(2));
    let decline = (TaskAsk::Decline(A), Some(Stands(Submitted, 3)));
    check(0, &[decline, beat(B, Stands(Working, 4))], Searched::Order);
    check(0, &[decline, beat(A, Stands(Working, 3))], Searched::NoOrder(1));
    check(0, &[first, second, beat(B, Stale(Some(A)))], Searched::NoOrder(2));
}

#[test]
fn a_failure_that_is_said_again_may_be_answered_with_what_came_after_it() {
    let first = beat(A, Stands(Working, 2));
    let fail = |said| (TaskAsk::Fail(A), Some(said));
    let on = (TaskAsk::Note(B, 1, 3), Some(Stands(Working, 7)));
    check(0, &[first, fail(Stands(Submitted, 3)), on], Searched::Order);
    check(0, &[first, fail(Stands(Working, 4)), on], Searched::Order);
    check(0, &[first, fail(Stands(Working, 7)), on], Searched::Order);
    check(0, &[first, fail(Stands(Working, 7)), beat(A, Stands(Working, 7))], Searched::NoOrder(2));
    check(0, &[first, fail(Stands(Working, 3))], Searched::NoOrder(1));
    let given_up = (TaskAsk::Cancel, Some(Ended(Failed)));
    check(0, &[first, given_up, fail(Stands(Failed, 3))], Searched::Order);
    check(0, &[first, on, given_up, fail(Stands(Failed, 8))], Searched::NoOrder(3));
    check(0, &[first, fail(Stands(Submitted, 2))], Searched::NoOrder(1));
}

#[test]
fn a_task_gives_way_only_before_anybody_had_claimed_it() {
    let rejected = (TaskAsk::Cancel, Some(Ended(Rejected)));
    check(0, &[rejected, rejected], Searched::Order);
    check(0, &[rejected, beat(A, Stands(Working, 2))], Searched::NoOrder(1));
    check(0, &[beat(A, Stands(Working, 2)), rejected], Searched::NoOrder(1));
}

#[test]
fn a_task_ends_once() {
    let cancel = (TaskAsk::Cancel, Some(Stands(Canceled, 3)));
    let end = finish(A, Stands(Completed, 3));
    check(0, &[end, end, (TaskAsk::Cancel, Some(Ended(Completed)))], Searched::Order);
    check(0, &[end, cancel], Searched::NoOrder(1));
    check(0, &[cancel, end], Searched::NoOrder(1));
    check(0, &[cancel, finish(A, Ended(Completed))], Searched::NoOrder(1));
    check(0, &[beat(A, Stands(Working, 2)), finish(A, Ended(Failed))], Searched::Order);
    check(0, &[beat(A, Stands(Working, 2)), finish(A, Ended(Canceled))], Searched::NoOrder(1));
    let unheard = (TaskAsk::Cancel, None);
    check(0, &[unheard, end, beat(A, Ended(Completed))], Searched::Order);
    check(0, &[unheard, beat(A, Ended(Canceled)), end], Searched::NoOrder(2));
}

#[test]
fn a_lost_home_sets_a_task_back_as_often_as_is_said() {
    let end = finish(A, Stands(Completed, 3));
    let again = beat(B, Stands(Working, 3));
    check(0, &[end, again], Searched::NoOrder(1));
    check(1, &[end, again, finish(B, Stands(Completed, 4))], Searched::Order);
    check(1, &[end, again, beat(A, Stands(Working, 3))], Searched::NoOrder(2));
}

#[test]
fn a_task_that_waits_for_its_client_goes_on_once_that_answers() {
    let pause = (TaskAsk::Pause(A, InputRequired), Some(Stands(InputRequired, 3)));
    let answer = |said| (TaskAsk::Answer(3), Some(said));
    let (queued, given) = (answer(Stands(Submitted, 4)), answer(Stands(Working, 5)));
    check(0, &[pause, pause, queued, beat(B, Stands(Working, 5))], Searched::Order);
    check(0, &[pause, given, given, beat(B, Stands(Working, 5))], Searched::Order);
    check(0, &[pause, beat(A, Stale(None)), answer(Ended(Failed))], Searched::Order);
    let unheard = (pause.0, None);
    check(0, &[unheard, queued, beat(B, Stands(Working, 5))], Searched::Order);
    check(0, &[pause, queued, answer(NotAsked(Working))], Searched::NoOrder(2));
    check(0, &[pause, answer(NotAsked(Working))], Searched::NoOrder(1));
    check(0, &[pause, answer(Stands(Submitted, 3))], Searched::NoOrder(1));
    check(0, &[pause, beat(B, Stands(Working, 4))], Searched::NoOrder(1));
    check(0, &[pause, beat(A, Stands(Working, 3))], Searched::NoOrder(1));
    check(0, &[pause, finish(A, Stands(Completed, 4))], Searched::NoOrder(1));
    check(0, &[queued], Searched::NoOrder(0));
}
