"""A client of the regions: gives agents tasks, waits for what comes of them, publishes and reads.

Must not know what a worker is: an agent may be a client, too, and many clients are no agents.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from .backoff import Backoff
from .content import Message, Part, Reply
from .errors import Problem, to_json
from .planet import LIMITS, addresses, checked

log = logging.getLogger("photon_agents")

_OVER = ("completed", "failed", "canceled", "rejected")
_PAUSED = ("input_required", "auth_required")


@dataclass(frozen=True)
class Sent:
    """A task that was given to an agent, as it stood when it was looked at; `wire` is all of it."""

    id: str
    state: str
    generation: int
    wire: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Sent:
        """Reads a task."""
        return cls(str(wire["id"]), str(wire["state"]), int(wire["generation"]), wire)

    @property
    def is_over(self) -> bool:
        """Whether it has ended: `state` is completed, failed, canceled or rejected."""
        return self.state in _OVER

    @property
    def is_paused(self) -> bool:
        """Whether its agent waits for an answer to what `said` says."""
        return self.state in _PAUSED

    @property
    def parts(self) -> list[Part]:
        """The parts of all its artifacts."""
        artifacts = self.wire.get("artifacts") or []
        return [Part.from_wire(it) for artifact in artifacts for it in artifact.get("parts") or []]

    @property
    def text(self) -> str:
        """All text of its artifacts, as it was streamed."""
        return "".join(it.value for it in self.parts if it.kind == "text")

    @property
    def said(self) -> Message | None:
        """What was said last: a closing message, why it failed, or a question."""
        last = self.wire.get("last_message")
        return None if last is None else Message.from_wire(last)


@dataclass(frozen=True)
class Published:
    """Where a message of a topic is; `repeated` if it was there before."""

    id: str
    position: int
    cursor: str
    repeated: bool


@dataclass(frozen=True)
class TopicMessage:
    """A message of a topic; `gap` if some before it were to be read, and are kept no more."""

    position: int
    cursor: str
    id: str
    key: str | None
    at: str
    data: Any
    gap: bool = False


class Client:
    """Asks one of several regions, and the next one when that is of no use.

    async with Client("http://127.0.0.1:7400") as client:
        task = await client.submit(skill="text.upper", input="hello")
        print((await client.result(task)).text)

    What fails is asked again for `patience` seconds if that may help, and to repeat it changes
    nothing; then the last `Problem` is raised. Without `urls` and `token`: `PHOTON_URL`
    (commas separate several), `PHOTON_TOKEN`.
    """

    ANSWER_WITHIN = 15.0
    """Seconds that a region may take, beside what it is asked to wait."""
    WAIT = 20.0
    """Seconds that a region is asked to wait for news."""

    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        *,
        token: str | None = None,
        patience: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._urls = [checked(url) for url in addresses(urls)]
        if not self._urls:
            raise ValueError("give the address of one region or more")
        self._patience = patience
        headers = {"content-type": "application/json", "accept": "application/json"}
        token = token if token is not None else os.environ.get("PHOTON_TOKEN")
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.AsyncClient(headers=headers, limits=LIMITS, transport=transport)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Lets go of all connections."""
        await self._http.aclose()

    async def submit(
        self,
        *,
        input: Any,
        skill: str | None = None,
        agent: str | None = None,
        idempotency_key: str | None = None,
        context_id: str | None = None,
        placement: str | None = None,
        options: Mapping[str, Any] | None = None,
        ack: str | None = None,
    ) -> Sent:
        """Gives a task to an agent, or to any that has the skill; returns once it is durable.

        `input` is text, bytes, JSON, a `Part` or a list of them. There is one task for one
        `idempotency_key`, however often it is submitted: an agent that is run anew after a loss
        gives the same key, made of its own task's id, and gets the same task.
        """
        post: dict[str, Any] = {"skill": skill, "agent": agent, "context_id": context_id}
        post |= {"placement": placement, "options": options, "ack": ack}
        body = {key: it for key, it in post.items() if it is not None}
        body["parts"] = [it.to_wire() for it in Reply(input).parts()]
        headers = {"idempotency-key": idempotency_key or str(uuid.uuid4())}
        return Sent.from_wire(await self._ask("POST", "/v1/tasks", body, headers=headers))

    async def task(self, task: str | Sent) -> Sent:
        """Looks at a task."""
        return Sent.from_wire(await self._ask("GET", _path(task)))

    async def result(self, task: str | Sent) -> Sent:
        """Waits until a task has ended, or its agent asks for something (`is_paused`), and returns
        it then. Give it what `answer` returned, to wait on from there. If the answer is lost with
        the home of the task, its question is returned again."""
        known = 0
        if isinstance(task, Sent):
            # A region that was told less may still show a question that is answered.
            known = task.generation - 1 if task.is_paused else task.generation
        after, backoff, is_set_back = known, Backoff(), False
        clock = asyncio.get_running_loop().time
        while True:
            asked_at = clock()
            query = {"after": after, "wait_ms": int(self.WAIT * 1000)}
            news = await self._ask("GET", _path(task, "/events"), query=query, wait=self.WAIT)
            if self.WAIT / 2 < clock() - asked_at:
                backoff.reset()  # The region has waited as it was asked to.
            is_quiet, is_paused = not news.get("events"), news["state"] in _PAUSED
            if is_paused or news["state"] in _OVER:
                # A lost home may have had events of its own: its heir asks at an earlier generation
                # than was heard, and tells of nothing after that.
                found = await self.task(task)
                if found.is_over or (found.is_paused and known < found.generation):
                    return found
                # Either this region knows less than another one, or a lost home took the answer
                # along. That lasts; and who answers twice is refused, or heard once.
                was_set_back, is_set_back = is_set_back, is_quiet and is_paused and found.is_paused
                if was_set_back and is_set_back:
                    return found
            else:
                is_set_back = False
                after = max(after, int(news["next_after"]))
                if not is_quiet:
                    continue
            await asyncio.sleep(backoff.pause())

    async def answer(self, task: Sent, text: str) -> Sent:
        """Answers what the agent of a task asked."""
        body = {"text": text, "generation": task.generation}
        headers = {"idempotency-key": f"answer-{task.generation}"}
        found = await self._ask("POST", _path(task, "/messages"), body, headers=headers)
        return Sent.from_wire({"id": task.id, **found})

    async def publish(
        self,
        topic: str,
        message: Any,
        *,
        key: str | None = None,
        id: str | None = None,
        placement: str | None = None,
        ack: str | None = None,
    ) -> Published:
        """Publishes JSON to a topic, and returns once it is durable; under one `id` it is there
        once, however often it is published."""
        post = {"id": id or str(uuid.uuid4()), "key": key, "ack": ack}
        body: dict[str, Any] = {name: it for name, it in post.items() if it is not None}
        body["data"] = message
        path, query = _messages(topic), _given(placement=placement)
        it = await self._ask("POST", path, body, query=query)
        return Published(it["id"], it["position"], it["cursor"], it["repeated"])

    async def read(
        self,
        topic: str,
        after: str | int | None = None,
        *,
        start: str = "first",
        key: str | None = None,
        placement: str | None = None,
    ) -> AsyncIterator[TopicMessage]:
        """Reads what is in a topic and what comes, without an end.

        `after` is the `cursor` of the last message that was read; without it, it begins with the
        `first` message that is kept, or with `start="last"` after the last.
        """
        begin = {"from": start} if after is None else {"after": after}
        rest = _given(key=key, placement=placement)
        has_gap = False
        while True:
            query = {**begin, **rest, "wait_ms": int(self.WAIT * 1000)}
            page = await self._ask("GET", _messages(topic), query=query, wait=self.WAIT)
            has_gap = has_gap or bool(page.get("gap"))
            for it in page["messages"]:
                place = (it["position"], it["cursor"], it["id"])
                yield TopicMessage(*place, it.get("key"), it["at"], it["data"], has_gap)
                has_gap = False
            begin = {"after": page["next"]}

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """Asks until there is an answer; raises a `Problem` that will not pass, or lasts."""
        backoff = Backoff()
        clock = asyncio.get_running_loop().time
        end: float | None = None
        detours: list[str] = []
        base = self._urls[0]
        content = None if body is None else to_json(body)
        while True:
            request = self._http.build_request(
                method,
                base + path,
                content=content,
                params=query,
                headers=headers,
                timeout=self.ANSWER_WITHIN + wait,
            )
            try:
                return await self._answer(request)
            except Problem as problem:
                why = problem
                if problem.status == 421 and not detours:
                    try:
                        detours = await self._members(base, problem)
                    except Problem as failure:
                        why = failure  # Who may have it can be said later.
                    if detours:
                        base = detours[-1]
                        continue
                end = clock() + self._patience if end is None else end
                is_elsewhere = _is_useless(why, path) and self._leave(base, detours)
                pause = backoff.pause(0.0 if is_elsewhere else why.retry_after)
                if not why.is_passing or end < clock() + pause:
                    raise
                log.debug("%s: %s; trying again", base, why)
            if is_elsewhere:
                # Otherwise it stays, even if others leave the region meanwhile: a region that has
                # not heard yet of what this one has would do it again.
                base = detours[-1] if detours else self._urls[0]
            await asyncio.sleep(pause)

    def _leave(self, base: str, detours: list[str]) -> bool:
        """Asks another region from now on; false if there is none."""
        if detours:
            detours.pop()
            return True
        if self._urls[0] == base:
            self._urls.append(self._urls.pop(0))
        return self._urls[0] != base

    async def _members(self, base: str, problem: Problem) -> list[str]:
        """Returns regions that may hold what the one that was asked may not, the best last.

        Raises a `Problem` if that cannot be learned.
        """
        names = problem.members.get("members") or []
        request = self._http.build_request("GET", f"{base}/v1/regions", timeout=self.ANSWER_WITHIN)
        regions = (await self._answer(request)).get("regions") or []
        is_secret = all(url.startswith("https:") for url in self._urls)
        found = []
        for it in sorted(regions, key=lambda it: it.get("verdict") == "up"):
            if it.get("name") not in names:
                continue
            try:
                url = checked(str(it.get("api")))
            except ValueError:
                continue
            # The token is not sent in the clear because a region says so.
            if url.startswith("https:") or not is_secret:
                found.append(url)
        return found

    async def _answer(self, request: httpx.Request) -> dict[str, Any]:
        base = f"{request.url.scheme}://{request.url.netloc.decode()}"
        try:
            response = await self._http.send(request)
        except httpx.HTTPError as error:
            raise Problem.unreachable(f"{base}: {error or type(error).__name__}") from error
        if not response.is_success:
            raise Problem.answered(response)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Problem.unreachable(f"{base} answers with what is no JSON")
        return found


def _is_useless(problem: Problem, path: str) -> bool:
    """Whether another region may do better than the one that was asked."""
    if problem.kind == "home-unreachable":
        # Another region may reach the home. But what was passed on may have been done: a task that
        # is submitted elsewhere before that is heard there would be there twice.
        return path != "/v1/tasks"
    return problem.is_silence


def _path(task: str | Sent, below: str = "") -> str:
    id = task.id if isinstance(task, Sent) else task
    return f"/v1/tasks/{quote(id, safe='')}{below}"


def _messages(topic: str) -> str:
    return f"/v1/topics/{quote(topic, safe='')}/messages"


def _given(**query: str | None) -> dict[str, str]:
    return {name: it for name, it in query.items() if it is not None}
