"""What was done is not done again: steps and questions, from one attempt to the next."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from photon_agents import Failed, Task
from planet import Planet
from serving import agent_of, check


def run(handler: Any, *, attempts: int = 1, extra: Any = None) -> tuple[Planet, Any]:
    planet = Planet()
    job = planet.submit("x", **(extra or {}))

    async def story() -> None:
        for _ in range(attempts - 1):
            await planet.until(lambda: job.state == "failed")
            job.state = "submitted"
            planet.change()
        await planet.ended(job)

    check(agent_of(handler), planet, story)
    return planet, job


def test_a_step_is_done_once_whatever_becomes_of_the_attempt() -> None:
    done: list[str] = []

    def count(word: str, number: int) -> tuple[str, int]:
        done.append(word)
        return word, number

    async def later(word: str) -> dict[str, str]:
        done.append(word)
        return {"word": word}

    async def handler(task: Task) -> Any:
        first = await task.step("one", count, "first", number=1)
        second = await task.step("two", later, "second")
        third = await task.step("three", lambda: later("third"))
        assert task.checkpoints["one"] == first
        if task.attempt < 3:
            raise Failed("again")
        return [first, second, third]

    _, job = run(handler, attempts=3)
    assert done == ["first", "second", "third"]
    assert job.artifact() == [{"data": [["first", 1], {"word": "second"}, {"word": "third"}]}]


def test_a_step_is_durable_before_it_returns() -> None:
    planet = Planet()
    job = planet.submit()

    async def handler(task: Task) -> None:
        await task.step("one", lambda: 7)
        assert job.checkpoints == [{"key": "one", "value": 7}]

    check(agent_of(handler), planet, lambda: planet.ended(job))
    assert job.state == "completed", job.end


def test_the_first_writer_of_a_step_wins() -> None:
    async def slow(value: int) -> int:
        await asyncio.sleep(0.01)
        return value

    async def handler(task: Task) -> Any:
        both = await asyncio.gather(task.step("k", slow, 1), task.step("k", slow, 2))
        return [*both, await task.step("k", slow, 3), await task.step("before", slow, 4)]

    known = {"checkpoints": [{"key": "before", "value": None}]}
    _, job = run(handler, extra=known)
    assert job.artifact() == [{"data": [1, 1, 1, None]}]
    assert len([it for it in job.notes if "checkpoint" in it]) == 1


def test_a_step_that_fails_leaves_nothing_and_may_be_tried_again() -> None:
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) < 2:
            raise OSError("flaky")
        return "ok"

    async def handler(task: Task) -> str:
        with pytest.raises(OSError, match="flaky"):
            await task.step("k", flaky)
        return await task.step("k", flaky)

    _, job = run(handler)
    assert job.output() == "ok"


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("", 1, "visible ASCII"),
        ("a b", 1, "visible ASCII"),
        ("k" * 129, 1, "visible ASCII"),
        ("k", "x" * 65_536, "64 KiB"),
        ("k", 2**64, "64 bits"),
        ("k", float("nan"), "JSON"),
        ("k", object(), "JSON"),
    ],
)
def test_a_step_that_cannot_be_kept_is_refused(key: str, value: Any, match: str) -> None:
    async def handler(task: Task) -> str:
        with pytest.raises((ValueError, TypeError), match=match):
            await task.step(key, lambda: value)
        return "refused"

    _, job = run(handler)
    assert job.output() == "refused", job.end


def ask(handler: Any, answers: list[str]) -> Any:
    planet = Planet()
    job = planet.submit("x")

    async def story() -> None:
        for answer in answers:
            await planet.until(lambda: job.state in ("input_required", "auth_required"))
            job.answer(answer)
            planet.change()
        await planet.ended(job)

    check(agent_of(handler), planet, story)
    return job


def test_the_nth_question_gets_the_nth_answer() -> None:
    done: list[str] = []

    async def handler(task: Task) -> str:
        await task.step("once", lambda: done.append("once"))
        colour = await task.ask("which colour?")
        await task.step("twice", lambda: done.append("twice"))
        size = await task.ask("which size?")
        await task.ask_auth("let me in")
        assert colour.message.parts[0].value == colour
        return f"{size} {colour}"

    job = ask(handler, ["blue", "big", "come in"])
    assert (job.output(), job.attempt, done) == ("big blue", 4, ["once", "twice"])
    asked = [it["parts"][0]["text"] for it in job.turns if it["role"] == "ROLE_AGENT"]
    assert asked == ["which colour?", "which size?", "let me in"]


def test_a_question_gets_past_except_exception() -> None:
    async def handler(task: Task) -> str:
        try:
            return await task.ask("which colour?")
        except Exception:
            return "swallowed"

    assert ask(handler, ["blue"]).output() == "blue"


def test_what_was_streamed_is_told_before_the_question() -> None:
    async def handler(task: Task) -> None:
        out = task.artifact("draft")
        await out.write(f"draft {task.attempt}")
        await task.ask("good?")

    planet = Planet()
    job = planet.submit()

    async def story() -> None:
        await planet.until(lambda: job.state == "input_required")
        assert job.output("draft") == "draft 1"
        job.answer("yes")
        planet.change()
        await planet.ended(job)

    check(agent_of(handler), planet, story)
    assert job.output("draft") == "draft 2"


def test_answers_without_their_questions_count_by_their_place() -> None:
    async def handler(task: Task) -> str:
        return await task.ask("a?") + await task.ask("b?")

    def turn(role: str, text: str) -> Any:
        return {"messageId": text, "role": role, "parts": [{"text": text}]}

    turns = [turn("ROLE_USER", "1"), turn("ROLE_AGENT", "b?"), turn("ROLE_AGENT", "2")]
    _, job = run(handler, extra={"turns": turns})
    assert job.output() == "12"
