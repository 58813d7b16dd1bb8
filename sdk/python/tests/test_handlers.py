"""What a handler gets, what it may give, and what it may raise."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from photon_agents import Agent, Failed, Part, Rejected, Reply, Task
from planet import Job, Planet
from serving import agent_of, check


def do(handler: Any, text: str = "", **extra: Any) -> Job:
    """Does one task, and returns it once it has ended."""
    planet = Planet()
    job = planet.submit(text, **extra)
    check(
        handler if isinstance(handler, Agent) else agent_of(handler),
        planet,
        lambda: planet.ended(job),
    )
    return job


def test_text_is_shouted() -> None:
    async def upper(task: Task) -> str:
        return task.text.upper()

    job = do(upper, "hello")
    assert job.state == "completed"
    assert job.notes == [{"artifact": {"id": "output", "parts": [{"text": "HELLO"}], "last": True}}]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (None, []),
        ("", [{"text": ""}]),
        ({"a": [1, None]}, [{"data": {"a": [1, None]}}]),
        ([], [{"data": []}]),
        (False, [{"data": False}]),
        (b"\xff\x00", [{"raw": "/wA="}]),
        (Part("url", "x:y", "f", "a/b"), [{"url": "x:y", "filename": "f", "mediaType": "a/b"}]),
        ([Part("text", "a"), Part("data", None)], [{"text": "a"}, {"data": None}]),
        (Reply(b"", media_type="a/b"), [{"raw": "", "mediaType": "a/b"}]),
    ],
)
def test_what_a_handler_returns_is_the_output(value: Any, parts: list[Any]) -> None:
    async def handler(task: Task) -> Any:
        return value

    job = do(handler)
    assert (job.state, job.artifact()) == ("completed", parts)


def test_a_reply_names_its_artifact_and_says_a_last_word() -> None:
    async def handler(task: Task) -> Reply:
        return Reply("x", artifact="report", name="report.md", message="done")

    job = do(handler)
    assert job.notes[0]["artifact"]["name"] == "report.md"
    assert job.output("report") == "x"
    assert job.end["body"]["message"]["parts"] == [{"text": "done"}]
    assert job.end["body"]["message"]["role"] == "ROLE_AGENT"


def test_a_handler_that_is_not_async_runs_in_a_thread() -> None:
    def handler(task: Task) -> str:
        return str(threading.current_thread() is threading.main_thread())

    assert do(handler).output() == "False"


@pytest.mark.parametrize(
    ("error", "state", "reason", "final"),
    [
        (Failed("no luck"), "failed", "no luck", False),
        (Failed("never", retryable=False), "failed", "never", True),
        (Rejected("not mine"), "rejected", "not mine", False),
        (KeyError("k"), "failed", "KeyError: 'k'", False),
        (RuntimeError(), "failed", "RuntimeError", False),
        (ValueError("\ud800"), "failed", "ValueError: ?", False),
    ],
)
def test_what_a_handler_raises_is_told(
    error: Exception, state: str, reason: str, final: bool
) -> None:
    async def handler(task: Task) -> None:
        raise error

    job = do(handler)
    body = job.end["body"]
    assert (job.state, body["reason"], body["non_retryable"]) == (state, reason, final)


def test_a_traceback_goes_to_the_log_and_not_to_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(task: Task) -> None:
        raise ValueError("why")

    with caplog.at_level(logging.WARNING, "photon_agents"):
        job = do(handler)
    assert "Traceback" not in job.end["body"]["reason"]
    assert any(it.exc_info for it in caplog.records)


def test_a_cancellation_of_its_own_fails_the_attempt() -> None:
    async def handler(task: Task) -> None:
        inner = asyncio.ensure_future(asyncio.sleep(9))
        inner.cancel()
        await inner

    assert do(handler).end["body"]["reason"] == "CancelledError"


def test_what_is_no_json_fails_the_attempt() -> None:
    async def handler(task: Task) -> Any:
        return {"a": object()}

    assert do(handler).end["body"]["reason"].startswith("TypeError: ")


def test_a_skill_without_a_handler_is_rejected() -> None:
    agent = Agent("it", skills=["s"])
    job = do(agent)
    assert (job.state, job.end["body"]["reason"]) == ("rejected", "no handler for `s`")


def test_tasks_find_their_handlers() -> None:
    def named(name: str) -> Any:
        async def handler(task: Task) -> str:
            return name

        return handler

    agent = Agent("it")
    agent.skill("s")(named("s"))
    assert do(agent, skill=None).output() == "s"
    agent.skill("r")(named("r"))
    assert do(agent, skill=None).state == "rejected"
    assert do(agent, skill="r").output() == "r"
    for key in ("skill", "photon/skill"):
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [], "metadata": {key: "r"}}
        assert do(agent, skill=None, message=message).output() == "r"
    agent.default(named("default"))
    assert do(agent, skill=None).output() == "default"
    assert do(agent, skill="other").output() == "default"
    with pytest.raises(ValueError, match="has a handler"):
        agent.skill("s")(named("s"))


def test_a_task_says_all_about_itself() -> None:
    seen: list[Task] = []

    async def handler(task: Task) -> None:
        seen.append(task)

    extra: dict[str, Any] = {"closes_at": "2999-01-31T12:00:00.5Z", "placement": "eu"}
    parts = [{"text": "a"}, {"raw": "/w==", "filename": "f"}, {"data": {"b": 1}}, {"url": "x:y"}]
    extra["message"] = {"messageId": "m", "role": "ROLE_USER", "parts": parts}
    extra["message"]["metadata"] = {"k": 1}
    extra["turns"] = [{"messageId": "n", "role": "ROLE_USER", "parts": [{"text": "b"}]}]
    do(handler, **extra)
    task = seen[0]
    assert (task.id, task.skill, task.attempt, task.context_id) == ("t1", "s", 1, "c")
    assert (task.placement, task.text, task.message.text) == ("eu", "a\nb", "a")
    assert [it.value for it in task.parts] == ["a", b"\xff", {"b": 1}, "x:y", "b"]
    assert task.message.metadata == {"k": 1}
    assert task.closes_at is not None
    assert task.closes_at.isoformat() == "2999-01-31T12:00:00.500000+00:00"
    assert not task.cancelled


def test_pieces_are_sent_together_soon_and_in_order() -> None:
    async def handler(task: Task) -> str:
        async with task.artifact("report", name="r") as out:
            for number in range(50):
                await out.write(f"{number} ")
            await asyncio.sleep(0.08)
            await out.write(b"\x00")
            await out.write(b"\x01")
        return "done"

    job = do(handler)
    pieces = [it["artifact"] for it in job.notes if it["artifact"]["id"] == "report"]
    assert pieces[0]["text"] == "".join(f"{it} " for it in range(50))
    assert pieces[1]["parts"] == [{"raw": "AAE="}]
    assert [it["append"] for it in pieces] == [False, True]
    assert [it.get("last", False) for it in pieces] == [False, True]
    assert job.output() == "done"


def test_much_text_is_cut_between_characters() -> None:
    text = "aé€😀" * 20_000

    async def handler(task: Task) -> None:
        async with task.artifact("output") as out:
            await out.write(text)

    job = do(handler)
    assert job.output() == text
    assert all(len(it["artifact"]["text"].encode()) <= 16 << 10 for it in job.notes)
    assert job.notes[-1]["artifact"]["last"] is True


def test_what_is_returned_beside_a_streamed_output_is_the_last_word() -> None:
    async def handler(task: Task) -> str:
        async with task.artifact("output") as out:
            await out.write("streamed")
        return "two pages"

    job = do(handler)
    assert job.output() == "streamed"
    assert job.end["body"]["message"]["parts"] == [{"text": "two pages"}]


def test_artifacts_and_remarks_are_told_in_one_go() -> None:
    async def handler(task: Task) -> None:
        await task.say("half done")
        await task.emit("a", text="x", name="n")
        await task.emit("b", data={"k": 1})
        await task.emit("c", raw=b"x", filename="f", media_type="a/b")
        await task.emit("d", url="x:y")
        with pytest.raises(ValueError, match="visible ASCII"):
            await task.emit("ä", text="")

    job = do(handler)
    assert job.notes[0] == {"status": "half done"}
    assert job.notes[1]["artifact"]["name"] == "n"
    assert job.artifact("b") == [{"data": {"k": 1}}]
    assert job.artifact("c") == [{"raw": "eA==", "filename": "f", "mediaType": "a/b"}]
    assert job.artifact("d") == [{"url": "x:y"}]


def test_what_a_region_refuses_is_said_to_who_told_it() -> None:
    from photon_agents import Problem

    async def handler(task: Task) -> str:
        with pytest.raises(Problem, match="too-large"):
            await task.emit("too-large", text="x")
        with pytest.raises(Problem, match="too-large"):
            async with task.artifact("too-large") as out:
                await out.write("x")
        both = asyncio.gather(
            task.emit("too-large", text="x"), task.say("b"), return_exceptions=True
        )
        assert [type(it) for it in await both] == [Problem, type(None)]
        return "fine"

    job = do(handler)
    assert (job.state, job.output(), len(job.notes)) == ("completed", "fine", 2)


def test_an_output_that_is_refused_fails_for_good() -> None:
    async def handler(task: Task) -> Reply:
        return Reply("x", artifact="too-large")

    job = do(handler)
    assert (job.state, job.end["body"]["non_retryable"]) == ("failed", True)


def test_an_agent_is_announced_with_all_that_is_known_of_it() -> None:
    planet = Planet()
    agent = Agent(
        "it",
        skills=["b"],
        capacity=2,
        description="d",
        cost=0.5,
        placement="eu",
        card={"name": "x"},
    )
    agent.skill("a")(lambda task: None)

    async def story() -> None:
        await planet.until(lambda: planet.count("/leases"))

    assert check(agent, planet, story, token="secret") == ["a"]
    announced = planet.agents["it"]
    assert announced["skills"] == ["b", "a"]
    wanted = {"capacity": 2, "description": "d", "cost": 0.5, "placement": "eu"}
    assert {key: announced[key] for key in wanted} == wanted
    assert announced["card"] == {"name": "x"}
    assert planet.tokens == {"Bearer secret"}


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="has to be"):
        Agent("it", capacity=0)
    with pytest.raises(ValueError, match="has to be"):
        Agent("it", failover_after=0)
    with pytest.raises(ValueError, match="needs one skill"):
        asyncio.run(Agent("it").serve("http://a"))
    agent = Agent("it", skills=["s"])
    for urls in ("", "a:1", "ftp://a", "http://"):
        with pytest.raises(ValueError, match="address"):
            asyncio.run(agent.serve([urls]))
