"""A planet of regions that exist in this process only, and speak the protocol of workers.

All regions share one home, as if each asked it. What goes wrong is said by `fault`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

JSON = dict[str, Any]
Fault = Callable[["Region", httpx.Request, JSON], "httpx.Response | None"]
TERMINAL = ("completed", "failed", "canceled", "rejected")


@dataclass
class Job:
    """A task at its home."""

    id: str
    skill: str | None
    text: str
    state: str = "submitted"
    attempt: int = 0
    notes: list[JSON] = field(default_factory=list)
    earlier: list[JSON] = field(default_factory=list)
    turns: list[JSON] = field(default_factory=list)
    end: JSON = field(default_factory=dict)
    extra: JSON = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """What was told of it, by the region through which it was."""

    @property
    def token(self) -> str:
        return str(100 + self.attempt)

    @property
    def checkpoints(self) -> list[JSON]:
        found: dict[str, JSON] = {}
        for note in [*self.earlier, *self.notes]:
            if "checkpoint" in note:
                found.setdefault(note["checkpoint"]["key"], note["checkpoint"])
        return list(found.values())

    def artifact(self, id: str = "output") -> list[JSON]:
        """Returns the parts of an artifact."""
        parts: list[JSON] = []
        for note in self.notes:
            it = note.get("artifact")
            if it and it["id"] == id:
                new = it["parts"] if "parts" in it else [{"text": it["text"]}]
                parts = [*parts, *new] if it.get("append") else new
        return parts

    def output(self, id: str = "output") -> str:
        """Returns the text of an artifact."""
        return "".join(it["text"] for it in self.artifact(id))

    def lose_home(self, known: int = 0) -> None:
        """Loses the home: its heir knows of the first notes alone, and of no end."""
        self.notes = self.notes[:known]
        self.state, self.end = "working", {}

    def answer(self, text: str) -> None:
        """Answers what was asked."""
        assert self.state in ("input_required", "auth_required"), self.state
        self.turns.append({"messageId": "a", "role": "ROLE_USER", "parts": [{"text": text}]})
        self.state = "submitted"


@dataclass
class Region:
    """A region, by its name, which is its host, too."""

    planet: Planet
    name: str
    is_dead: bool = False
    is_stalled: bool = False
    outside: set[str] = field(default_factory=set)
    """Tasks that may not be here."""


class Planet(httpx.AsyncBaseTransport):
    """Regions, and what they know."""

    def __init__(self, *names: str, ttl_ms: int = 600) -> None:
        self.regions = {name: Region(self, name) for name in names or ("a",)}
        self.ttl_ms = ttl_ms
        self.jobs: dict[str, Job] = {}
        self.agents: dict[str, JSON] = {}
        self.requests: list[tuple[str, str]] = []
        self.fault: Fault | None = None
        self.changed = asyncio.Event()
        self.tokens: set[str | None] = set()

    def submit(self, text: str = "", skill: str | None = "s", **extra: Any) -> Job:
        job = Job(f"t{len(self.jobs) + 1}", skill, text, extra=extra)
        self.jobs[job.id] = job
        self.change()
        return job

    def change(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def until(self, is_so: Callable[[], Any], within: float = 5.0) -> None:
        """Waits until something is so."""
        end = asyncio.get_running_loop().time() + within
        while not is_so():
            assert asyncio.get_running_loop().time() < end, self.requests[-20:]
            await asyncio.sleep(0.005)

    async def ended(self, job: Job) -> Job:
        await self.until(lambda: job.state in TERMINAL)
        return job

    def count(self, verb: str) -> int:
        return sum(path.endswith(verb) for _, path in self.requests)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        region = self.regions.get(request.url.host)
        if region is None or region.is_dead:
            raise httpx.ConnectError("refused", request=request)
        if region.is_stalled:
            await asyncio.sleep(request.extensions["timeout"]["read"])
            raise httpx.ReadTimeout("", request=request)
        body = json.loads(request.content) if request.content else {}
        self.requests.append((region.name, request.url.path))
        self.tokens.add(request.headers.get("authorization"))
        answer = self.fault(region, request, body) if self.fault else None
        answer = answer or await self._answer(region, request.method, request.url.path, body)
        if region.is_dead:
            raise httpx.ReadError("lost", request=request)
        self.change()
        return answer

    def lose(self, region: Region, request: httpx.Request, body: JSON) -> httpx.Response:
        """Does what is asked, and loses the answer."""
        asyncio.ensure_future(
            self._answer(region, request.method, request.url.path, body)
        ).add_done_callback(lambda it: it.exception())
        raise httpx.ReadError("lost", request=request)

    async def _answer(self, region: Region, method: str, path: str, body: JSON) -> httpx.Response:
        if path == "/readyz":
            return ok({"status": "ready"})
        if path == "/v1/regions":
            all = [
                {"name": it, "api": f"http://{it}", "verdict": "up", "round_trip_ms": 1.0}
                for it in self.regions
            ]
            return ok({"here": region.name, "regions": all})
        if found := re.fullmatch("/v1/agents/(.+)", path):
            self.agents[found[1]] = {"name": found[1], "region": region.name, **body}
            return ok(self.agents[found[1]])
        if path == "/v1/leases":
            return await self._acquire(region, body)
        found = re.fullmatch("/v1/leases/(.+)/(.+)", path)
        assert found, path
        return self._tell(region, self.jobs.get(found[1]), found[2], body)

    async def _acquire(self, region: Region, body: JSON) -> httpx.Response:
        agent = self.agents.get(body["agent"])
        if agent is None:
            return problem(404, "no-such-agent")
        if agent["region"] != region.name:
            return problem(409, "attached-elsewhere", region=agent["region"])
        wait: Awaitable[Any]
        if body["wait_ms"] and not self._waiting():
            try:
                wait = asyncio.wait_for(self._work(), body["wait_ms"] / 1000)
                await wait
            except asyncio.TimeoutError:
                pass
        leases = []
        for job in self._waiting()[: body["limit"]]:
            job.state = "working"
            job.attempt += 1
            job.earlier = [*job.earlier, *job.notes]
            job.notes = []
            leases.append(self._lease(job, region))
        return ok({"leases": leases})

    def _waiting(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state == "submitted"]

    async def _work(self) -> None:
        while not self._waiting():
            await self.changed.wait()

    def _lease(self, job: Job, region: Region) -> JSON:
        lease: JSON = {"task": job.id, "token": job.token, "attempt": job.attempt}
        lease |= {"home": region.name, "context_id": "c", "placement": "global"}
        parts = [{"text": job.text}]
        lease["message"] = {"messageId": "m", "role": "ROLE_USER", "parts": parts}
        lease |= {"ttl_ms": self.ttl_ms, **job.extra}
        if job.skill:
            lease["skill"] = job.skill
        if job.turns:
            lease["turns"] = list(job.turns)
        if job.checkpoints:
            lease["checkpoints"] = job.checkpoints
        return lease

    def _tell(self, region: Region, job: Job | None, verb: str, body: JSON) -> httpx.Response:
        if job is None:
            return problem(404, "no-such-task")
        if job.id in region.outside:
            members = [it.name for it in self.regions.values() if job.id not in it.outside]
            return problem(421, "outside-placement", members=members)
        # To say the end twice is no fault.
        is_same = job.end.get("verb") == verb and job.end["body"]["token"] == body["token"]
        if is_same and job.state == _state(verb, body):
            return ok({"state": job.state, "generation": 1})
        if job.state != "working" or body["token"] != job.token:
            kind = "ended" if job.state in TERMINAL else "stale-token"
            return problem(409, kind, state=job.state)
        if verb == "events":
            refusal = self._note(job, body)
            if refusal:
                return refusal
        elif verb != "heartbeat":
            if len(job.notes) < body.get("notes", 0):
                return problem(409, "note-gap", expected=len(job.notes) + 1)
            job.state = _state(verb, body)
            job.end = {"verb": verb, "body": body}
            if verb == "pause":
                parts = [{"text": body["text"]}]
                job.turns.append({"messageId": "q", "role": "ROLE_AGENT", "parts": parts})
        job.told.append(region.name)
        return ok({"state": job.state, "generation": 1})

    def _note(self, job: Job, body: JSON) -> httpx.Response | None:
        expected = len(job.notes) + 1
        if expected < body["first"]:
            return problem(409, "note-gap", expected=expected)
        fresh = body["notes"][expected - body["first"] :]
        if any(note.get("artifact", {}).get("id") == "too-large" for note in fresh):
            return problem(413, "too-large", max=1)
        job.notes += fresh
        return None


def _state(verb: str, body: JSON) -> str:
    if verb == "complete":
        return "completed"
    if verb == "pause":
        return {"input": "input_required", "auth": "auth_required"}[body["for"]]
    return "rejected" if body["rejected"] else "failed"


def ok(body: JSON) -> httpx.Response:
    return httpx.Response(200, json=body)


def problem(status: int, kind: str, **members: Any) -> httpx.Response:
    body = {"type": f"/problems/{kind}", "title": kind, "status": status, "detail": kind}
    headers = {}
    if "retry_after_ms" in members:
        headers["retry-after"] = str(-(-members["retry_after_ms"] // 1000))
    return httpx.Response(status, json={**body, **members}, headers=headers)
