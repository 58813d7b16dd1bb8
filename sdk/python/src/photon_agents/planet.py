"""The regions, as a worker meets them: to which one it is attached, and which one is next.

Must not know what a lease is, nor what an agent does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from .backoff import Backoff
from .errors import Problem, to_json

log = logging.getLogger("photon_agents")

DEFAULT_URL = "http://127.0.0.1:7400"
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)
"""Each long poll holds a connection: who waited for one would take the region for lost."""


class Planet:
    """A connection to the region that an agent is attached to, or to the next one if that is lost.

    Everything that is asked through it may safely be said twice.
    """

    REFRESH_EVERY = 60.0
    """Seconds after which the list of regions is asked for again."""
    LOST_FOR = 30.0
    """Seconds for which a region that was of no use is not followed to."""
    TELL_TIMEOUT = 15.0
    """Seconds that a region may take: it waits for a new home of a task for up to ten itself."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        token: str | None,
        agent: str,
        announcement: dict[str, Any],
        failover_after: float,
        on_attach: Callable[[str], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._urls = [checked(url) for url in urls]
        if not self._urls:
            raise ValueError("give the address of one region or more")
        self._path = f"/v1/agents/{quote(agent, safe='')}"
        self._announcement = to_json(announcement)
        self._failover_after = failover_after
        self._on_attach = on_attach
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.AsyncClient(headers=headers, limits=LIMITS, transport=transport)
        self._learned: list[str] = []
        self._names: dict[str, str] = {}
        self._left: dict[str, float] = {}
        self._open: set[asyncio.Future[Any]] = set()
        self._moved = asyncio.Event()
        self._alive_at = time.monotonic()
        self.at = self._urls[0]
        self.moves = 0

    async def close(self) -> None:
        """Lets go of all connections."""
        await self._http.aclose()

    async def attach(self) -> None:
        """Announces the agent to the first region that takes it, however long that needs.

        Raises the `Problem` if all regions that are known refuse it for good.
        """
        backoff = Backoff()
        while True:
            candidates = self._candidates()
            refusals: list[Problem] = []
            pause = 0.0
            for url in candidates:
                try:
                    return await self._announce(url)
                except Problem as problem:
                    log.debug("%s does not take the agent: %s", url, problem)
                    pause = max(pause, problem.retry_after)
                    if not problem.is_passing:
                        refusals.append(problem)
            if len(refusals) == len(candidates):
                raise refusals[0]
            if backoff.failures == 0:
                log.warning("no region takes the agent; trying again")
            await asyncio.sleep(backoff.pause(min(pause, self._failover_after)))

    async def announce_here(self) -> None:
        """Announces the agent again to the region that it is attached to."""
        await self._announce(self.at)

    async def follow(self, region: str | None) -> None:
        """Goes where the agent is said to be attached by now, or calls it back from there."""
        url = self._names.get(region or "")
        left = self._left.get(url or "", -self.LOST_FOR)
        if url is None or url == self.at or time.monotonic() < left + self.LOST_FOR:
            await self.announce_here()
        else:
            self._move_to(url, region)

    async def keep(self) -> None:
        """Watches whether the region answers, and goes on to another one when it does not."""
        step = self._failover_after / 4
        learn_at = 0.0
        while True:
            if learn_at <= time.monotonic():
                is_learned = await self._learn()
                learn_at = time.monotonic() + (self.REFRESH_EVERY if is_learned else 5.0)
            await asyncio.sleep(step)
            if self._silent_for() < self._failover_after / 2:
                continue
            try:
                await self._request(self.at, "GET", "/readyz", timeout=2 * step)
            except Problem as problem:
                log.debug("%s is not ready: %s", self.at, problem)
            if self._failover_after <= self._silent_for():
                log.warning("%s does not answer; looking for another region", self.at)
                await self.attach()

    async def ask(self, path: str, body: bytes, *, timeout: float = TELL_TIMEOUT) -> dict[str, Any]:
        """Asks once, and gives up when the agent moves to another region."""
        base = self.at
        request = asyncio.ensure_future(self._request(base, "POST", path, body, timeout=timeout))
        request.add_done_callback(lambda it: it.cancelled() or it.exception())
        self._open.add(request)
        try:
            await asyncio.wait({request})
        finally:
            self._open.discard(request)
            request.cancel()
        if request.cancelled():
            raise Problem.unreachable(f"the agent has left {base}")
        return request.result()

    async def persist(self, path: str, body: bytes) -> dict[str, Any]:
        """Asks until there is an answer; raises a `Problem` that will not pass."""
        backoff = Backoff()
        detour: str | None = None
        while True:
            try:
                if detour is None:
                    return await self.ask(path, body)
                return await self._request(detour, "POST", path, body, timeout=self.TELL_TIMEOUT)
            except Problem as problem:
                is_outside = problem.status == 421
                if not is_outside and not problem.is_passing:
                    raise
                if detour is not None and (is_outside or problem.is_silence):
                    self._left[detour] = time.monotonic()
                detour = self._member(problem) if is_outside and detour is None else None
                if detour is None:
                    await self.pause(backoff.pause(problem.retry_after))

    async def pause(self, seconds: float) -> None:
        """Waits, but not longer than until the agent is attached elsewhere."""
        try:
            await asyncio.wait_for(self._moved.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def _request(
        self, base: str, method: str, path: str, body: bytes | None = None, *, timeout: float
    ) -> dict[str, Any]:
        try:
            response = await self._http.request(method, base + path, content=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise Problem.unreachable(f"{base}: {error or type(error).__name__}") from error
        problem = None if response.is_success else Problem.answered(response)
        found: Any = None
        if problem is None:
            try:
                found = response.json()
            except ValueError:
                problem = Problem.unreachable(f"{base} answers with what is no JSON")
        if base == self.at and not (problem and problem.is_silence):
            self._alive_at = time.monotonic()
        if problem:
            raise problem
        return found if isinstance(found, dict) else {}

    async def _announce(self, url: str) -> None:
        timeout = max(self._failover_after, 1.0)
        agent = await self._request(url, "PUT", self._path, self._announcement, timeout=timeout)
        self._move_to(url, agent.get("region"))

    def _move_to(self, url: str, region: Any) -> None:
        self._alive_at = time.monotonic()
        name = str(region or url)
        self._names[name] = url
        is_same = url == self.at and self.moves > 0
        if not is_same:
            self._left[self.at] = self._alive_at
            self._left.pop(url, None)
            self.at = url
            self.moves += 1
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
            for request in list(self._open):
                request.cancel()
            log.info("attached to %s at %s", name, url)
        if self._on_attach:
            self._on_attach(name)

    async def _learn(self) -> bool:
        """Asks which regions there are: the nearest first, those that are not well last."""
        base = self.at
        try:
            found = await self._request(base, "GET", "/v1/regions", timeout=self.TELL_TIMEOUT)
        except Problem as problem:
            log.debug("the regions are not known: %s", problem)
            return False
        regions = [it for it in found.get("regions") or [] if isinstance(it.get("api"), str)]
        regions.sort(key=lambda it: (it.get("verdict") != "up", it.get("round_trip_ms") or 0.0))
        is_secret = all(url.startswith("https:") for url in self._urls)
        for region in regions:
            try:
                url = checked(region["api"])
            except ValueError:
                continue
            # The token is not sent in the clear because a region says so.
            if is_secret and not url.startswith("https:"):
                continue
            self._names.setdefault(str(region.get("name")), url)
        self._names[str(found.get("here"))] = base
        self._learned = [self._names[it["name"]] for it in regions if it["name"] in self._names]
        return True

    def _candidates(self) -> list[str]:
        """Returns whom to try, in order; who is silent just now is the last."""
        known = list(dict.fromkeys([*self._urls, *self._learned]))
        if self.moves == 0:
            return known
        return [*(url for url in known if url != self.at), self.at]

    def _member(self, problem: Problem) -> str | None:
        """Returns a region that may hold what the one that was asked may not; who was of no use
        just now is the last."""
        members = problem.members.get("members") or []
        urls = [self._names[name] for name in members if name in self._names]
        return min(urls, key=lambda url: self._left.get(url, 0.0), default=None)

    def _silent_for(self) -> float:
        return time.monotonic() - self._alive_at


def addresses(urls: str | Sequence[str] | None) -> list[str]:
    """Returns the addresses that were given, or else those of the environment."""
    if urls is None:
        urls = os.environ.get("PHOTON_URL") or DEFAULT_URL
    several = urls.split(",") if isinstance(urls, str) else list(urls)
    return [url for url in several if url.strip()]


def checked(url: str) -> str:
    """Returns an address in its one form; raises `ValueError` if it is none."""
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise ValueError(f"`{url}` is no address: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"`{url}` is no address: use http://HOST:PORT")
    return str(parsed).rstrip("/")
