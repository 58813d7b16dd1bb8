"""What went down with the home of a task is told again, and no attempt ends without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from photon_agents import Failed, Problem, Rejected, Reply, Task
from planet import JSON, TERMINAL, Job, Planet, Region, problem
from serving import agent_of, check

TEXTS = ["0", "1", "2"]


async def tell(task: Task) -> None:
    """Tells three artifacts, the last one as a stream."""
    for number, text in enumerate(TEXTS[:-1]):
        await task.emit(f"a{number}", text=text)
    await task.artifact("a2").write(TEXTS[-1])


def texts(job: Job) -> list[str]:
    return [job.output(f"a{number}") for number in range(len(TEXTS))]


def ends(planet: Planet, verb: str, act: Callable[[int, Region, Any, JSON], Any]) -> list[JSON]:
    """Has something done at each end that is said, given its number; returns the bodies."""
    said: list[JSON] = []

    def fault(region: Region, request: httpx.Request, body: JSON) -> httpx.Response | None:
        if not request.url.path.endswith(verb):
            return None
        said.append(body)
        answer: httpx.Response | None = act(len(said), region, request, body)
        return answer

    planet.fault = fault
    return said


def run(
    act: Callable[[Job, int], httpx.Response | None],
    handler: Any = tell,
    *,
    verb: str = "complete",
    state: str = "completed",
    **extra: Any,
) -> tuple[Job, list[JSON]]:
    """Runs a task until it stands as it should; `act` is done at each end that is said."""
    planet = Planet()
    job = planet.submit(**extra)
    said = ends(planet, verb, lambda number, *_: act(job, number))
    check(agent_of(handler), planet, lambda: planet.until(lambda: job.state == state))
    return job, said


def test_notes_that_went_down_with_a_home_are_told_again() -> None:
    planet = Planet()
    job = planet.submit()

    async def handler(task: Task) -> None:
        for number in range(5):
            await task.emit(f"a{number}", text=str(number))
        job.lose_home(2)
        await task.emit("a5", text="5")

    check(agent_of(handler), planet, lambda: planet.ended(job))
    assert [job.output(f"a{number}") for number in range(6)] == list("012345")


async def fails(task: Task) -> None:
    await tell(task)
    raise Failed("no")


async def refuses(task: Task) -> None:
    await tell(task)
    raise Rejected("no")


async def asks(task: Task) -> None:
    await tell(task)
    await task.ask("which?")


ENDS = [
    (tell, "complete", "completed"),
    (fails, "fail", "failed"),
    (refuses, "fail", "rejected"),
    (asks, "pause", "input_required"),
]


@pytest.mark.parametrize("known", [0, 1, 2])
@pytest.mark.parametrize(("handler", "verb", "state"), ENDS)
def test_no_attempt_ends_without_what_a_lost_home_alone_had(
    handler: Any, verb: str, state: str, known: int
) -> None:
    def act(job: Job, number: int) -> None:
        if number == 1:
            job.lose_home(known)

    job, said = run(act, handler, verb=verb, state=state)
    assert (texts(job), len(job.notes)) == (TEXTS, 3)
    assert [body["notes"] for body in said] == [3, 3]


def test_a_home_that_is_lost_again_and_again_is_told_each_time() -> None:
    job, said = run(lambda job, number: job.lose_home(number - 1) if number <= 3 else None)
    assert (texts(job), len(said)) == (TEXTS, 4)


def test_nothing_is_repeated_that_a_home_has() -> None:
    planet = Planet()
    job = planet.submit()

    async def handler(task: Task) -> str:
        await asyncio.sleep(0.02)
        return "done"

    check(agent_of(handler), planet, lambda: planet.ended(job))
    assert (planet.count("events"), planet.count("complete"), job.end["body"]["notes"]) == (1, 1, 1)


def test_an_attempt_that_told_nothing_says_so() -> None:
    job, _ = run(lambda job, number: None, lambda task: None)
    assert job.end["body"]["notes"] == 0


@pytest.mark.parametrize("known", [0, 1, 2])
def test_notes_that_were_refused_do_not_count(known: int) -> None:
    async def handler(task: Task) -> None:
        await task.emit("a0", text="0")
        with pytest.raises(Problem, match="too-large"):
            await task.emit("too-large", text="x")
        await task.artifact("too-large").write("never looked after")
        await task.emit("a1", text="1")
        await task.artifact("a2").write("2")

    job, said = run(lambda job, number: job.lose_home(known) if number == 1 else None, handler)
    assert (texts(job), len(job.notes)) == (TEXTS, 3)
    assert [body["notes"] for body in said] == [3, 3]


@pytest.mark.parametrize(("handler", "verb", "state"), ENDS)
def test_an_end_that_was_heard_and_lost_with_its_home_is_said_again(
    handler: Any, verb: str, state: str
) -> None:
    planet = Planet()
    job = planet.submit()

    def act(number: int, region: Region, request: Any, body: JSON) -> Any:
        if number == 1:
            return planet.lose(region, request, body)
        if number == 2:
            assert job.state == state
            job.lose_home(1)
        return None

    said = ends(planet, verb, act)

    async def story() -> None:
        await planet.until(lambda: len(said) == 3 and job.state == state)

    check(agent_of(handler), planet, story)
    assert texts(job) == TEXTS


def test_what_heartbeats_say_of_an_end_that_was_heard_ends_nothing() -> None:
    planet = Planet(ttl_ms=300)
    job = planet.submit()
    beats: list[JSON] = []

    def fault(region: Region, request: httpx.Request, body: JSON) -> httpx.Response | None:
        verb = request.url.path.rpartition("/")[2]
        if verb == "complete" and planet.count("complete") == 1:
            return problem(503, "home-unreachable", retry_after_ms=150)
        if verb == "heartbeat" and planet.count("complete"):
            beats.append(body)
            return problem(409, "ended", state="completed")
        if verb == "complete" and planet.count("complete") == 2:
            assert beats
            job.lose_home()
        return None

    planet.fault = fault
    check(agent_of(tell), planet, lambda: planet.ended(job))
    assert (texts(job), planet.count("complete")) == (TEXTS, 3)


@pytest.mark.parametrize("known", [0, 3])
def test_an_end_that_is_refused_fails_with_all_that_was_told(known: int) -> None:
    planet = Planet()
    job = planet.submit()

    async def handler(task: Task) -> Reply:
        await tell(task)
        return Reply(message="too large")

    def fault(region: Region, request: httpx.Request, body: JSON) -> httpx.Response | None:
        if request.url.path.endswith("complete"):
            return problem(413, "too-large", max=1)
        if request.url.path.endswith("fail") and planet.count("fail") == 1:
            job.lose_home(known)
        return None

    planet.fault = fault
    check(agent_of(handler), planet, lambda: planet.ended(job))
    assert (job.state, job.end["body"]["non_retryable"]) == ("failed", True)
    assert (texts(job), job.end["body"]["notes"]) == (TEXTS, 3)


def dropped(planet: Planet, job: Job, handler: Any = tell) -> None:
    """Runs an agent until it has let go of a task, which it shows by taking another one."""

    async def story() -> None:
        await planet.until(lambda: job.attempt)
        await planet.ended(planet.submit(skill="other"))

    agent = agent_of(handler, capacity=1)
    agent.skill("other")(lambda task: None)
    check(agent, planet, story)


def test_what_was_given_to_another_meanwhile_is_told_no_more() -> None:
    planet = Planet()
    job = planet.submit()
    said: list[str] = []

    def fault(region: Region, request: httpx.Request, body: JSON) -> None:
        verb = request.url.path.rpartition("/")[2]
        if job.id not in request.url.path or verb == "heartbeat":
            return
        if "complete" in said:
            job.attempt = 2
        elif verb == "complete":
            job.lose_home(1)
        said.append(verb)

    planet.fault = fault
    dropped(planet, job)
    assert said[-2:] == ["complete", "events"]
    assert (job.state, len(job.notes)) == ("working", 1)


@pytest.mark.parametrize("expected", [{"expected": 0}, {"expected": 4}, {"expected": 99}, {}])
@pytest.mark.parametrize("verb", ["complete", "events"])
def test_a_lease_is_lost_whose_home_wants_what_was_never_told(verb: str, expected: JSON) -> None:
    planet = Planet()
    job = planet.submit()
    path = f"/v1/leases/{job.id}/{verb}"
    planet.fault = lambda region, request, body: (
        problem(409, "note-gap", **expected) if request.url.path == path else None
    )
    dropped(planet, job)
    assert [it for _, it in planet.requests].count(path) == 1
    assert job.state not in TERMINAL
