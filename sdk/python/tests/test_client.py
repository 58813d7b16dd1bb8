"""What a client asks counts once, whatever becomes of the answers and of regions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from photon_agents import Client, Part, Problem, Sent
from photon_agents.backoff import Backoff
from planet import JSON, ok, problem

Fault = Callable[[httpx.Request], "httpx.Response | None"]


class Desk(httpx.AsyncBaseTransport):
    """Regions that know tasks and topics, all of them the same."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.fault: Fault = lambda request: None
        self.after: Fault = lambda request: None
        self.tasks: dict[str, JSON] = {}
        self.events: list[str] = []
        self.topic: list[JSON] = []
        self.first = 1

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await asyncio.sleep(0)
        body = json.loads(request.content) if request.content else {}
        return self.fault(request) or self._late(request, self._answer(request, body))

    def _late(self, request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        return self.after(request) or answer

    def _answer(self, request: httpx.Request, body: JSON) -> httpx.Response:
        path, query = request.url.path, request.url.params
        if path == "/v1/regions":
            names = [("b", "down"), ("c", "up"), ("d", "up")]
            regions = [{"name": it, "api": f"http://{it}", "verdict": how} for it, how in names]
            return ok({"here": "a", "regions": regions})
        if path == "/v1/tasks":
            key = request.headers["idempotency-key"]
            post = self.tasks.setdefault(key, {"id": f"t{len(self.tasks) + 1}", "post": body})
            if post["post"] != body:
                return problem(409, "key-reused")
            return ok(self._task())
        if path.endswith("/events"):
            after = int(query["after"])
            new = [{"generation": after + 1 + n} for n in range(len(self.events) - after)]
            return ok({"events": new, "state": self.events[-1], "next_after": after + len(new)})
        if path.startswith("/v1/topics/"):
            return self._publish(body) if request.method == "POST" else self._read(query)
        if path.endswith("/messages"):
            assert body["generation"] == len(self.events)
            self.events.append("submitted")
            return ok({"state": "submitted", "generation": len(self.events)})
        return ok(self._task())

    def _task(self) -> JSON:
        state = self.events[-1] if self.events else "submitted"
        parts = [{"text": "HEL"}, {"text": "LO"}, {"data": 7}]
        said = {"role": "ROLE_AGENT", "parts": [{"text": "which?"}]}
        task: JSON = {"id": "t1", "state": state, "generation": len(self.events)}
        return task | {"artifacts": [{"id": "output", "parts": parts}], "last_message": said}

    def _publish(self, body: JSON) -> httpx.Response:
        known = [it for it in self.topic if it["id"] == body["id"]]
        if not known:
            position = len(self.topic) + 1
            place = {"position": position, "cursor": f"1-{position}", "at": "2026-01-01T00:00:00Z"}
            self.topic.append({**body, **place})
        return ok({**(known or self.topic)[-1], "repeated": bool(known)})

    def _read(self, query: httpx.QueryParams) -> httpx.Response:
        at = int(query.get("after", "0").rpartition("-")[2])
        found = self.topic[max(at, self.first - 1) :][:2]
        upto = found[-1]["position"] if found else at
        page = {"messages": found, "next": f"1-{upto}", "gap": "after" in query and at < self.first}
        return ok(page)


def check(
    desk: Desk,
    story: Callable[[Client], Awaitable[Any]],
    urls: str = "http://a,http://b",
    **how: Any,
) -> Any:
    """Tells a story of a client of these regions."""

    async def main() -> Any:
        async with Client(urls, transport=desk, **how) as client:
            return await asyncio.wait_for(story(client), 5)

    return asyncio.run(main())


def hosts(desk: Desk) -> list[str]:
    return [it.url.host for it in desk.requests]


def once(answer: Callable[[httpx.Request], httpx.Response]) -> Fault:
    """Lets something go wrong with the first request alone."""
    rest = iter([answer])
    return lambda request: next(rest, lambda _: None)(request)


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("lost", request=request)


def test_a_task_is_submitted_once_although_the_answer_is_lost() -> None:
    desk = Desk()
    desk.after = once(lost)
    sent = check(desk, lambda it: it.submit(skill="s", input="hello", options={"priority_key": 1}))
    assert (sent.id, sent.state, sent.is_over) == ("t1", "submitted", False)
    [task] = desk.tasks.values()
    parts = [{"text": "hello"}]
    assert task["post"] == {"skill": "s", "options": {"priority_key": 1}, "parts": parts}
    assert hosts(desk) == ["a", "b"], "the next region is asked the same"


def test_one_key_is_one_task_and_any_content_is_sent() -> None:
    desk = Desk()

    async def story(client: Client) -> None:
        for _ in range(2):
            await client.submit(agent="a", input={"n": 1}, idempotency_key="k")
        await client.submit(agent="a", input=[Part("text", "x"), Part("raw", b"y")])
        with pytest.raises(Problem, match="key-reused"):
            await client.submit(agent="a", input="other", idempotency_key="k")

    check(desk, story)
    first, second = (it["post"]["parts"] for it in desk.tasks.values())
    assert first == [{"data": {"n": 1}}]
    assert second == [{"text": "x"}, {"raw": "eQ=="}]


def test_a_result_is_waited_for_through_the_loss_of_regions() -> None:
    desk = Desk()
    desk.events = ["submitted", "working"]

    def go_on(request: httpx.Request) -> httpx.Response | None:
        if len(desk.requests) == 3:
            raise httpx.ConnectError("refused", request=request)
        if len(desk.requests) == 6:
            desk.events += ["working", "completed"]
        return None

    desk.fault = go_on
    done = check(desk, lambda it: it.result("t1"))
    assert done.is_over
    assert done.text == "HELLO"
    assert done.parts[2].value == 7
    assert done.said.text == "which?"
    afters = [it.url.params["after"] for it in desk.requests if "after" in it.url.params]
    assert afters[:2] == ["0", "2"], "what was heard is not heard again"


def test_a_question_is_returned_and_its_answer_waited_for() -> None:
    desk = Desk()
    desk.events = ["submitted", "working", "input_required"]

    async def story(client: Client) -> None:
        asked = await client.result("t1")
        assert asked.is_paused
        assert (await client.result(asked)).is_paused, "nobody has answered it"
        answered = await client.answer(asked, "blue")
        desk.fault = old_news
        assert (await client.result(answered)).state == "completed"

    def old_news(request: httpx.Request) -> httpx.Response | None:
        if len(desk.requests) < 8 and request.url.path.endswith("/events"):
            return ok({"events": [], "state": "input_required", "next_after": 4})
        if len(desk.events) == 4:
            desk.events += ["working", "completed"]
        return None

    check(desk, story)


def polls(desk: Desk) -> int:
    return sum(it.url.path.endswith("/events") for it in desk.requests)


def test_a_question_of_an_heir_is_returned_although_more_was_heard_before() -> None:
    desk = Desk()
    desk.events = ["submitted", *["working"] * 9]

    def lose_home(_: httpx.Request) -> httpx.Response | None:
        if len(desk.requests) == 2:
            desk.events = [*desk.events[:7], "input_required"]
        return None

    desk.fault = lose_home
    asked = check(desk, lambda it: it.result("t1"))
    assert (asked.is_paused, asked.generation) == (True, 8)
    afters = [it.url.params["after"] for it in desk.requests if "after" in it.url.params]
    assert afters == ["0", "10"]


def test_a_question_is_returned_again_if_its_answer_is_lost_with_the_home() -> None:
    desk = Desk()
    desk.events = ["submitted", "working", "input_required"]

    async def story(client: Client) -> None:
        asked = await client.result("t1")
        answered = await client.answer(asked, "blue")
        desk.events.pop()
        before = polls(desk)
        again = await client.result(answered)
        assert (again.is_paused, again.generation) == (True, 3)
        assert polls(desk) == before + 2, "one alone may be of a region that knows less"
        answered = await client.answer(again, "blue")
        desk.events += ["working", "completed"]
        assert (await client.result(answered)).state == "completed"

    check(desk, story)


def test_a_region_that_knows_less_does_not_ask_again() -> None:
    desk = Desk()
    desk.events = ["submitted", "working", "input_required"]

    async def story(client: Client) -> None:
        answered = await client.answer(await client.result("t1"), "blue")
        known, before = desk.events, polls(desk)

        def behind(_: httpx.Request) -> httpx.Response | None:
            # Each poll that is of the past is followed by one that is not.
            quiet = polls(desk) - before
            desk.events = known[:3] if quiet in (1, 3) else known
            if quiet == 4:
                desk.events = [*known, "working", "completed"]
            return None

        desk.fault = behind
        assert (await client.result(answered)).state == "completed"
        assert polls(desk) == before + 4

    check(desk, story)


def test_a_region_that_does_not_wait_is_asked_with_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    desk.events = ["submitted", "working", "input_required"]
    pauses: list[int] = []

    def pause(_: Backoff, at_least: float = 0.0) -> float:
        pauses.append(polls(desk))
        return 0.0

    def at_once(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/events") and polls(desk) < 5:
            state = ["working", "input_required"][polls(desk) % 2]
            return ok({"events": [], "state": state, "next_after": 4})
        if polls(desk) == 5:
            desk.events = ["completed"]
        return None

    monkeypatch.setattr(Backoff, "pause", pause)
    desk.fault = at_once
    answered = Sent("t1", "submitted", 4, {})
    assert check(desk, lambda it: it.result(answered)).state == "completed"
    assert pauses == [1, 2, 3, 4], "one after each poll of which nothing came"


def test_any_number_of_tasks_is_waited_for_at_once() -> None:
    many = 150

    async def story() -> None:
        waiting: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            waiting.append(writer)
            if len(waiting) < many:
                return
            body = json.dumps({"id": "t1", "state": "working", "generation": 2})
            head = f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            for it in waiting:
                it.write((head + body).encode())
                it.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}") as client:
            looks = (client.task("t1") for _ in range(many))
            assert len(await asyncio.wait_for(asyncio.gather(*looks), 5)) == many
        server.close()

    asyncio.run(story())


def test_who_waits_for_others_with_a_task_is_asked_for_it_again() -> None:
    desk = Desk()
    submits: list[httpx.Request] = []

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.method == "GET":
            return lost(request) if request.url.host == "a" else None
        submits.append(request)
        kinds = {1: "level-not-reached", 2: "home-unreachable"}
        kind = kinds.get(len(submits))
        return None if kind is None else problem(503, kind, retry_after_ms=1)

    desk.fault = fault

    async def story(client: Client) -> None:
        # The other request leaves the region meanwhile.
        submit = client.submit(skill="s", input="x", ack="quorum")
        await asyncio.gather(submit, client.task("t1"))

    check(desk, story)
    assert [it.url.host for it in submits] == ["a", "a", "a"], "no other region has it yet"
    assert len({it.headers["idempotency-key"] for it in submits}) == 1


def test_another_region_may_reach_the_home_that_one_does_not() -> None:
    def cut_off(request: httpx.Request) -> httpx.Response | None:
        # Whoever obeyed this pause would be late for the test.
        answer = problem(503, "home-unreachable", retry_after_ms=60_000)
        return answer if request.url.host == "a" else None

    asked = Sent("t1", "input_required", 2, {})
    stories: list[Callable[[Client], Awaitable[Any]]] = [
        lambda it: it.answer(asked, "blue"),
        lambda it: it.publish("news", 1),
        lambda it: it.task("t1"),
        lambda it: anext(it.read("news")),
    ]
    for story in stories:
        desk = Desk()
        desk.events = ["submitted", "input_required"]
        desk.topic = [{"id": "m", "position": 1, "cursor": "1-1", "at": "", "data": 1}]
        desk.fault = cut_off
        check(desk, story)
        assert hosts(desk) == ["a", "b"]


def test_what_will_not_pass_and_what_lasts_is_raised() -> None:
    desk = Desk()
    desk.fault = lambda request: problem(422, "no-such-skill")
    with pytest.raises(Problem, match="no-such-skill"):
        check(desk, lambda it: it.submit(skill="s", input="x"))
    assert hosts(desk) == ["a"]
    desk.fault = lambda request: problem(503, "stopping", retry_after_ms=1)
    with pytest.raises(Problem, match="stopping"):
        check(desk, lambda it: it.submit(skill="s", input="x"), patience=0.05)
    assert {"a", "b"} == set(hosts(desk))
    with pytest.raises(ValueError, match="no address"):
        Client("nowhere")


def test_a_message_is_published_once_and_read_from_where_one_was() -> None:
    desk = Desk()

    async def story(client: Client) -> list[Any]:
        desk.after = once(lost)
        first = await client.publish("news", {"n": 1}, key="k")
        assert (first.position, first.cursor, first.repeated) == (1, "1-1", True)
        for n in (2, 3, 4):
            await client.publish("news", n, id=f"m{n}")
        read = []
        async for it in client.read("news"):
            read.append(it)
            if len(read) == 4:
                break
        assert [it.data for it in read] == [{"n": 1}, 2, 3, 4]
        assert (read[0].key, read[1].key, read[1].id) == ("k", None, "m2")
        assert not any(it.gap for it in read)
        desk.first = 3
        late = client.read("news", after=read[0].cursor, key="k")
        return [await anext(late), await anext(late)]

    late = check(desk, story)
    assert [(it.position, it.gap) for it in late] == [(3, True), (4, False)]
    assert desk.requests[-1].url.params["key"] == "k"
    assert len(desk.topic) == 4


def test_a_region_that_may_not_have_it_names_those_that_may() -> None:
    desk = Desk()

    def outside(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == "a" and request.url.path != "/v1/regions":
            return problem(421, "outside-placement", members=["b", "c"])
        return None

    desk.fault = outside
    published = check(desk, lambda it: it.publish("news", 1, placement="eu"), "http://a")
    assert published.position == 1
    assert hosts(desk) == ["a", "a", "c"], "the one that is well is asked"
    desk = Desk()
    desk.fault = outside
    with pytest.raises(Problem, match="outside-placement"):
        check(desk, lambda it: it.publish("news", 1), "https://a", token="secret")
    sent = [it.headers.get("authorization") for it in desk.requests]
    assert set(sent) == {"Bearer secret"}
    assert set(hosts(desk)) == {"a"}, "the token is not sent in the clear"


def test_that_regions_cannot_be_learned_for_a_moment_passes() -> None:
    def starting(_: httpx.Request) -> httpx.Response:
        return problem(503, "starting")

    desk = Desk()
    failures: list[Callable[[httpx.Request], httpx.Response]] = [lost, starting]
    members = ["c"]

    def outside(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/v1/regions":
            return failures.pop()(request) if failures else None
        if request.url.host == "a":
            return problem(421, "outside-placement", members=members)
        return None

    desk.fault = outside
    published = check(desk, lambda it: it.publish("news", 1, placement="eu"), "http://a")
    assert published.position == 1
    assert hosts(desk) == ["a", "a"] * 3 + ["c"]
    failures += [lost] * 100
    with pytest.raises(Problem, match="outside-placement"):
        check(desk, lambda it: it.publish("news", 1), "http://a", patience=0.05)
    desk, failures, members[:] = Desk(), [], ["e"]
    desk.fault = outside
    with pytest.raises(Problem, match="outside-placement"):
        check(desk, lambda it: it.publish("news", 1, placement="eu"), "http://a")
    assert hosts(desk) == ["a", "a"], "it is not asked again if nobody is named"
