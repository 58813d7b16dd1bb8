"""What goes wrong on the way, and that it does no harm."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import httpx
import pytest

import photon_agents.agent
from photon_agents import Agent, Problem, Task
from photon_agents.planet import Planet as Regions
from planet import JSON, Planet, Region, ok, problem
from serving import agent_of, check


async def forever(task: Task) -> None:
    await asyncio.Event().wait()


def test_a_worker_is_heard_at_once_and_each_third_of_the_time_it_may_be_silent() -> None:
    planet = Planet(ttl_ms=300)
    times: list[float] = []

    def fault(region: Region, request: httpx.Request, body: JSON) -> None:
        if request.url.path.endswith("heartbeat"):
            times.append(time.monotonic())

    planet.fault = fault
    job = planet.submit()

    async def story() -> None:
        began = time.monotonic()
        await planet.until(lambda: len(times) == 4)
        assert times[0] - began < 0.1
        assert 0.25 < times[3] - times[0] < 0.6
        job.state = "canceled"

    check(agent_of(forever), planet, story)


@pytest.mark.parametrize(
    "refusal",
    [
        ok({"state": "canceled", "generation": 3}),
        problem(409, "stale-token"),
        problem(409, "ended", state="canceled"),
        problem(404, "no-such-task"),
    ],
)
def test_a_handler_is_cancelled_when_the_lease_is_lost_and_nothing_more_is_told(
    refusal: httpx.Response,
) -> None:
    planet = Planet(ttl_ms=300)
    job = planet.submit()
    seen: list[Any] = []

    async def handler(task: Task) -> str:
        try:
            await task.say("begun")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(task.cancelled)
        return "too late"

    def fault(region: Region, request: httpx.Request, body: JSON) -> httpx.Response | None:
        is_told = job.notes and request.url.path.endswith("heartbeat")
        return refusal if is_told else None

    planet.fault = fault

    async def story() -> None:
        await planet.until(lambda: seen)
        await asyncio.sleep(0.02)

    check(agent_of(handler), planet, story)
    assert seen == [True]
    assert planet.count("complete") + planet.count("fail") == 0
    assert planet.count("events") == 1


def test_a_step_under_way_ends_when_its_note_finds_the_lease_lost() -> None:
    planet = Planet(ttl_ms=60_000)
    job = planet.submit()
    after: list[str] = []

    async def handler(task: Task) -> None:
        await task.say("begun")
        job.attempt += 1
        await task.step("k", lambda: 1)
        after.append("went on")

    async def story() -> None:
        await planet.until(lambda: planet.count("events") == 2)
        await asyncio.sleep(0.02)

    check(agent_of(handler), planet, story)
    assert after == []
    assert job.checkpoints == []


def test_an_attempt_ends_when_its_time_is_over() -> None:
    planet = Planet()
    ended: list[bool] = []

    async def handler(task: Task) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(task.cancelled)

    planet.submit(closes_at="2020-01-31T12:00:00.000Z")
    check(agent_of(handler), planet, lambda: planet.until(lambda: ended))
    assert ended == [True]
    assert planet.count("complete") + planet.count("fail") == 0


async def all_sorts(task: Task) -> str:
    first = await task.step("one", lambda: 1)
    async with task.artifact("report") as out:
        await out.write("a")
        await asyncio.sleep(0.06)
        await out.write("b")
    return f"{first}"


def check_all_sorts(planet: Planet, **extra: Any) -> None:
    """Whatever went wrong, each thing was told once."""
    job = planet.submit(**extra)
    check(agent_of(all_sorts), planet, lambda: planet.ended(job))
    assert (job.state, job.attempt, job.output(), job.output("report")) == (
        "completed",
        1,
        "1",
        "ab",
    )
    assert len(job.notes) == 4, job.notes


@pytest.mark.parametrize("verb", ["heartbeat", "events", "complete"])
def test_what_was_done_though_its_answer_was_lost_is_done_once(verb: str) -> None:
    planet = Planet()
    seen: set[str] = set()

    def fault(region: Region, request: httpx.Request, body: JSON) -> httpx.Response | None:
        key = f"{request.url.path} {request.content!r}"
        if not request.url.path.endswith(verb) or key in seen:
            return None
        seen.add(key)
        return planet.lose(region, request, body)

    planet.fault = fault
    check_all_sorts(planet)
    assert seen


@pytest.mark.parametrize("verb", ["fail", "pause"])
def test_other_ends_whose_answers_were_lost_count_once(verb: str) -> None:
    planet = Planet()
    job = planet.submit()
    lost: list[str] = []

    async def handler(task: Task) -> None:
        if verb == "fail":
            raise ValueError("no")
        await task.ask("which?")

    def fault(region: Region, request: httpx.Request, body: JSON) -> httpx.Response | None:
        if request.url.path.endswith(verb) and not lost:
            lost.append(verb)
            return planet.lose(region, request, body)
        return None

    planet.fault = fault
    check(agent_of(handler), planet, lambda: planet.until(lambda: planet.count(verb) == 2))
    assert job.state == {"fail": "failed", "pause": "input_required"}[verb]


@pytest.mark.parametrize(
    "refusal",
    [
        problem(503, "home-unreachable", retry_after_ms=40),
        problem(429, "overloaded", retry_after_ms=40),
        problem(408, "body-timeout", retry_after_ms=40),
        problem(500, "internal", retry_after_ms=40),
        problem(400, "broken-body", retry_after_ms=40),
        httpx.Response(502, text="<html>", headers={"retry-after": "0.04"}),
    ],
)
def test_what_will_pass_is_asked_again_but_not_sooner_than_is_wanted(
    refusal: httpx.Response,
) -> None:
    planet = Planet()
    times: dict[str, list[float]] = {}

    def fault(region: Region, request: httpx.Request, body: JSON) -> httpx.Response | None:
        verb = request.url.path.rpartition("/")[2]
        if verb in ("readyz", "regions"):
            return None
        seen = times.setdefault(verb, [])
        seen.append(time.monotonic())
        return refusal if len(seen) == 1 else None

    planet.fault = fault
    check_all_sorts(planet)
    for verb in ("it", "leases", "heartbeat", "events", "complete"):
        assert times[verb][1] - times[verb][0] >= 0.04, verb


def test_an_answer_that_is_no_json_is_none() -> None:
    planet = Planet()
    seen: list[str] = []

    def fault(region: Region, request: httpx.Request, body: JSON) -> httpx.Response | None:
        seen.append(request.url.path)
        return httpx.Response(200, text="<html>") if seen.count(request.url.path) == 1 else None

    planet.fault = fault
    check_all_sorts(planet)


def test_an_agent_that_was_forgotten_is_announced_again() -> None:
    planet = Planet()

    async def story() -> None:
        await planet.until(lambda: planet.count("/leases"))
        planet.agents.clear()
        await planet.ended(planet.submit())
        planet.fault = lambda region, request, body: (
            problem(404, "no-such-agent")
            if request.url.path == "/v1/leases" and not planet.agents
            else None
        )
        planet.agents.clear()
        await planet.ended(planet.submit())
        await planet.until(lambda: planet.agents)

    check(agent_of(lambda task: None), planet, story)
    assert planet.count("agents/it") >= 2


@pytest.mark.parametrize(("status", "kind"), [(401, "unauthorized"), (422, "invalid-body")])
def test_an_agent_that_no_region_wants_ends(status: int, kind: str) -> None:
    planet = Planet("a", "b")
    planet.fault = lambda region, request, body: problem(status, kind)
    with pytest.raises(Problem, match=kind):
        check(agent_of(forever), planet, asyncio.Event().wait, ["http://a", "http://b"])
    assert [it for it, _ in planet.requests] == ["a", "b"]


def test_an_address_where_there_is_no_photon_ends_it() -> None:
    planet = Planet()
    planet.fault = lambda region, request, body: (
        problem(404, "not-found") if request.url.path == "/v1/leases" else None
    )
    with pytest.raises(Problem, match="not-found"):
        check(agent_of(forever), planet, asyncio.Event().wait)


def test_no_more_is_taken_than_there_is_room_for() -> None:
    planet = Planet()
    jobs = [planet.submit() for _ in range(7)]
    most: list[int] = []

    async def handler(task: Task) -> None:
        most.append(sum(it.state == "working" for it in jobs))
        await asyncio.sleep(0.01)

    async def story() -> None:
        for job in jobs:
            await planet.ended(job)

    check(agent_of(handler, capacity=3), planet, story)
    assert max(most) == 3


def test_a_drained_agent_finishes_what_runs_and_takes_no_more() -> None:
    planet = Planet()
    jobs = [planet.submit()]
    go = asyncio.Event

    async def handler(task: Task) -> None:
        await gate.wait()

    async def story() -> None:
        await planet.until(lambda: jobs[0].told)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        asyncio.get_running_loop().call_later(0.02, lambda: jobs.append(planet.submit()))

    gate = go()
    check(agent_of(handler), planet, story)
    assert [job.state for job in jobs] == ["completed", "submitted"]


def test_an_agent_that_is_cancelled_stops_at_once_and_tells_nothing() -> None:
    planet = Planet()
    job = planet.submit()
    ended: list[bool] = []

    async def handler(task: Task) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(task.cancelled)

    async def main() -> None:
        serving = asyncio.ensure_future(agent_of(handler).serve("http://a", transport=planet))
        await planet.until(lambda: job.told)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        left = [it for it in asyncio.all_tasks() if it is not asyncio.current_task()]
        assert left == []

    asyncio.run(main())
    assert (ended, job.state, job.end) == ([True], "working", {})


def run(agent: Agent, planet: Planet, monkeypatch: pytest.MonkeyPatch) -> None:
    def regions(urls: list[str], **options: Any) -> Regions:
        return Regions(urls, **{**options, "transport": planet})

    monkeypatch.setattr(photon_agents.agent, "Planet", regions)
    monkeypatch.setenv("PHOTON_URL", "http://z, http://a/")
    monkeypatch.setenv("PHOTON_TOKEN", "secret")
    agent.run()


def test_a_first_signal_drains_and_the_surroundings_say_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planet = Planet()
    job = planet.submit("x")

    async def handler(task: Task) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        return task.text

    before = signal.getsignal(signal.SIGTERM)
    run(agent_of(handler), planet, monkeypatch)
    assert (job.output(), planet.tokens) == ("x", {"Bearer secret"})
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planet = Planet()
    job = planet.submit("x")

    async def handler(task: Task) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    run(agent_of(handler), planet, monkeypatch)
    assert (job.state, job.end) == ("working", {})
