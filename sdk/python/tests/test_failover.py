"""An agent whose region is lost goes on in another one, with the work that it has."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from photon_agents import Agent, Failed, Task
from photon_agents.planet import Planet as Regions
from planet import JSON, Planet, Region, ok, problem
from serving import agent_of, check

SOON = 0.2


def lose_region(
    planet: Planet, lose: Any, urls: list[str], handler: Any = None
) -> tuple[list[str], Any]:
    """Loses region `a` between two steps of a task; returns where the agent was attached."""
    job = planet.submit()
    done: list[str] = []
    gate = asyncio.Event()

    async def steps(task: Task) -> str:
        await task.step("one", lambda: done.append("one"))
        await gate.wait()
        await task.step("two", lambda: done.append("two"))
        return "done"

    async def story() -> None:
        await planet.until(lambda: job.checkpoints and planet.count("regions"))
        lose(planet.regions["a"])
        gate.set()
        await planet.ended(job)
        await planet.ended(planet.submit())

    regions = check(agent_of(steps, failover_after=SOON), planet, story, urls)
    assert (job.attempt, job.output(), done[:2]) == (1, "done", ["one", "two"])
    return regions, job


def kill(region: Region) -> None:
    region.is_dead = True


def stall(region: Region) -> None:
    region.is_stalled = True


@pytest.mark.parametrize("lose", [kill, stall])
@pytest.mark.parametrize(
    "urls", [["http://a"], ["http://a", "http://c", "http://b"]], ids=["learned", "given"]
)
def test_work_goes_on_where_the_agent_goes(lose: Any, urls: list[str]) -> None:
    regions, job = lose_region(Planet("a", "b", "c"), lose, urls)
    assert regions == ["a", "b" if len(urls) == 1 else "c"]
    assert set(job.told) == set(regions)


@pytest.mark.parametrize("kind", ["stopping", "starting", "disk-full"])
def test_a_region_that_takes_no_work_is_left(kind: str) -> None:
    planet = Planet("a", "b")

    def lose(lost: Region) -> None:
        planet.fault = lambda region, request, body: problem(503, kind) if region is lost else None

    regions, _ = lose_region(planet, lose, ["http://a"])
    assert regions == ["a", "b"]


def test_a_region_that_cannot_reach_a_home_is_not_left() -> None:
    planet = Planet("a", "b")
    job = planet.submit()

    async def story() -> None:
        planet.fault = lambda region, request, body: (
            problem(503, "home-unreachable") if request.url.path.endswith("heartbeat") else None
        )
        await asyncio.sleep(3 * SOON)
        planet.fault = None
        await planet.ended(job)

    async def handler(task: Task) -> None:
        await asyncio.sleep(2 * SOON)

    assert check(agent_of(handler, failover_after=SOON), planet, story) == ["a"]


def test_a_region_that_will_not_have_the_agent_is_passed_over() -> None:
    planet = Planet("a", "b", "c")
    planet.fault = lambda region, request, body: (
        problem(421, "outside-placement", members=["a", "c"])
        if region.name == "b" and request.method == "PUT"
        else None
    )
    regions, _ = lose_region(planet, kill, ["http://a"])
    assert regions == ["a", "c"]


@pytest.mark.parametrize("lose", [kill, stall])
@pytest.mark.parametrize(
    ("verb", "state"),
    [("complete", "completed"), ("fail", "failed"), ("pause", "input_required")],
)
def test_a_task_that_may_not_be_where_the_agent_is_goes_through_another_region(
    lose: Any, verb: str, state: str
) -> None:
    planet = Planet("a", "b", "c", ttl_ms=300)
    planet.regions["b"].outside = {"t1"}
    planet.fault = lambda region, request, body: (
        problem(503, "home-unreachable")
        if region.name == "c" and ("c", request.url.path) not in planet.requests[:-1]
        else None
    )
    job = planet.submit()
    through = {("c", f"/v1/leases/t1/{it}") for it in ("heartbeat", "events", verb)}

    async def handler(task: Task) -> None:
        await planet.until(lambda: planet.regions["a"] in lost)
        await task.step("one", lambda: 1)
        await planet.until(lambda: ("c", "/v1/leases/t1/heartbeat") in planet.requests)
        if verb == "fail":
            raise Failed("no")
        if verb == "pause":
            await task.ask("which?")

    lost: list[Region] = []

    async def story() -> None:
        await planet.until(lambda: job.told and planet.count("regions"))
        lose(planet.regions["a"])
        lost.append(planet.regions["a"])
        await planet.until(lambda: job.state == state)

    assert check(agent_of(handler, failover_after=SOON), planet, story) == ["a", "b"]
    assert through <= set(planet.requests)
    assert (job.attempt, job.told[-1]) == (1, "c")


def test_a_member_that_is_lost_as_well_is_passed_over() -> None:
    planet = Planet("a", "b", "c", "d")
    planet.regions["b"].outside = {"t1"}

    def lose(region: Region) -> None:
        kill(region)
        kill(planet.regions["c"])

    regions, job = lose_region(planet, lose, ["http://a"])
    assert (regions, job.told[-1]) == (["a", "b"], "d")


def test_an_agent_with_one_region_waits_for_it() -> None:
    planet = Planet("a")
    job = planet.submit()
    gate = asyncio.Event()

    async def handler(task: Task) -> str:
        await gate.wait()
        return "done"

    async def story() -> None:
        await planet.until(lambda: job.told)
        planet.regions["a"].is_dead = True
        gate.set()
        await asyncio.sleep(2 * SOON)
        planet.regions["a"].is_dead = False
        await planet.ended(job)
        await planet.ended(planet.submit())

    check(agent_of(handler, failover_after=SOON), planet, story)
    assert (job.attempt, job.output()) == (1, "done")


def test_an_agent_starts_with_the_first_region_that_is_there() -> None:
    planet = Planet("a", "b")
    planet.regions["a"].is_dead = True

    async def story() -> None:
        await planet.until(lambda: planet.count("/leases"))

    assert check(agent_of(print), planet, story, ["http://a", "http://b"]) == ["b"]


def test_an_agent_follows_when_it_was_announced_elsewhere() -> None:
    planet = Planet("a", "b")

    async def story() -> None:
        await planet.until(lambda: planet.count("/leases") and planet.count("regions"))
        planet.agents["it"]["region"] = "b"
        planet.submit()
        await planet.until(lambda: ("b", "/v1/leases") in planet.requests)
        await planet.ended(planet.submit())

    assert check(agent_of(lambda task: None), planet, story) == ["a", "b"]
    assert planet.count("agents/it") == 1


@pytest.mark.parametrize("elsewhere", ["a", "unknown"])
def test_an_agent_is_called_back_from_where_it_cannot_be(elsewhere: str) -> None:
    planet = Planet("a", "b")

    async def story() -> None:
        await planet.until(lambda: planet.count("regions"))
        planet.regions["a"].is_dead = True
        await planet.until(lambda: planet.agents["it"]["region"] == "b")
        await planet.until(lambda: planet.requests[-1] == ("b", "/v1/leases"))
        planet.agents["it"]["region"] = elsewhere
        await planet.ended(planet.submit())
        await planet.until(lambda: planet.agents["it"]["region"] == "b")
        await planet.ended(planet.submit())

    regions = check(agent_of(lambda task: None, failover_after=SOON), planet, story)
    assert regions == ["a", "b", "b"]


def regions_of(transport: httpx.AsyncBaseTransport, url: str) -> Regions:
    return Regions(
        [url], token="t", agent="it", announcement={}, failover_after=1, transport=transport
    )


def test_a_token_is_not_sent_in_the_clear_because_a_region_says_so() -> None:
    apis = ["https://b/", "http://c", "ftp://d", "nonsense"]

    def answer(request: httpx.Request) -> httpx.Response:
        regions = [{"name": it, "api": it} for it in apis]
        return ok({"here": "a", "regions": [*regions, {"name": "a", "api": "https://inside"}]})

    async def learned(url: str) -> list[str]:
        regions = regions_of(httpx.MockTransport(answer), url)
        assert await regions._learn()
        await regions.close()
        return regions._candidates()

    assert asyncio.run(learned("https://a")) == ["https://a", "https://b"]
    assert asyncio.run(learned("http://a")) == ["http://a", "https://b", "http://c"]


def test_the_nearest_regions_are_tried_first_and_those_that_are_down_last() -> None:
    def region(name: str, verdict: str, trip: float | None) -> JSON:
        return {"name": name, "api": f"http://{name}", "verdict": verdict, "round_trip_ms": trip}

    all = [region("far", "up", 200.0), region("down", "down", 1.0), region("near", "up", 2.0)]

    async def learned() -> list[str]:
        answer = ok({"here": "a", "regions": [region("a", "up", None), *all]})
        regions = regions_of(httpx.MockTransport(lambda _: answer), "http://a")
        await regions._learn()
        await regions.close()
        return regions._candidates()

    assert asyncio.run(learned()) == ["http://a", "http://near", "http://far", "http://down"]


def test_an_agent_can_be_stopped_while_no_region_is_there() -> None:
    planet = Planet("a")
    planet.regions["a"].is_dead = True
    assert check(Agent("it", skills=["s"]), planet, lambda: asyncio.sleep(0.03)) == []
