"""An agent: which skills it has, and its life between a region's work and the end.

Must not know what is told of a task.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any, TypeVar

import httpx

from .attempt import Handler, attempt
from .backoff import Backoff
from .errors import Problem, to_json
from .lease import Lease
from .planet import Planet, addresses

log = logging.getLogger("photon_agents")

H = TypeVar("H", bound=Handler)


class Agent:
    """A worker that offers skills to the regions of a planet, without any open port.

    agent = Agent("shout", description="Shouts.")

    @agent.skill("text.upper")
    async def upper(task: Task) -> str:
        return task.text.upper()

    agent.run("http://127.0.0.1:7400")
    """

    ACQUIRE_WAIT = 20.0
    """Seconds that a question for work waits at the region."""

    def __init__(
        self,
        name: str,
        *,
        skills: Iterable[str] = (),
        capacity: int = 4,
        description: str | None = None,
        cost: float = 0,
        placement: str | None = None,
        card: dict[str, Any] | None = None,
        failover_after: float = 3.0,
    ) -> None:
        if capacity < 1:
            raise ValueError("`capacity` has to be 1 or more")
        if failover_after <= 0:
            raise ValueError("`failover_after` has to be more than 0 seconds")
        self.name = name
        self.capacity = capacity
        self.failover_after = failover_after
        self._skills = list(skills)
        self._about = {"cost": cost, "card": card, "description": description}
        self._about["placement"] = placement
        self._handlers: dict[str, Handler] = {}
        self._default: Handler | None = None

    @property
    def skills(self) -> list[str]:
        """All skills that it offers: those that were declared, and those with a handler."""
        return list(dict.fromkeys([*self._skills, *self._handlers]))

    def skill(self, name: str) -> Callable[[H], H]:
        """Makes a function the handler of a skill; a function that is not async runs in a thread.

        What it returns completes the task: `None`, text, bytes, JSON, or a `Reply`.
        """

        def register(handler: H) -> H:
            if name in self._handlers:
                raise ValueError(f"the skill `{name}` has a handler")
            self._handlers[name] = handler
            return handler

        return register

    def default(self, handler: H) -> H:
        """Makes a function the handler of what has no other: skills without one, and tasks that
        name the agent and no skill. Without it, an agent with one handler uses that for those."""
        self._default = handler
        return handler

    def run(self, urls: str | Sequence[str] | None = None, *, token: str | None = None) -> None:
        """Works until SIGINT or SIGTERM: then takes no more tasks, and finishes those that run.
        A second signal stops it at once; others get its tasks when their leases lapse."""
        asyncio.run(self._run(urls, token))

    async def serve(
        self,
        urls: str | Sequence[str] | None = None,
        *,
        token: str | None = None,
        stop: asyncio.Event | None = None,
        on_attach: Callable[[str], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Works until `stop` is set, then takes no more tasks and finishes those that run.

        Cancelled, it stops at once. `on_attach` is called with the name of the region whenever
        the agent is registered. Raises `Problem` if no region that is known takes the agent.
        """
        planet = Planet(
            addresses(urls),
            token=token if token is not None else os.environ.get("PHOTON_TOKEN"),
            agent=self.name,
            announcement=self._announcement(),
            failover_after=self.failover_after,
            on_attach=on_attach,
            transport=transport,
        )
        attempts: set[asyncio.Task[None]] = set()
        stopped: asyncio.Future[Any] = asyncio.ensure_future((stop or asyncio.Event()).wait())
        life: list[asyncio.Future[Any]] = [asyncio.ensure_future(planet.attach())]
        try:
            await asyncio.wait({stopped, *life}, return_when=asyncio.FIRST_COMPLETED)
            if not life[0].done():
                return
            life[0].result()
            taking = asyncio.ensure_future(self._take(planet, attempts))
            life = [taking, asyncio.ensure_future(planet.keep())]
            await asyncio.wait({stopped, *life}, return_when=asyncio.FIRST_COMPLETED)
            taking.cancel()
            await asyncio.wait({taking})
            if attempts:
                log.info("taking no more tasks; %d still run", len(attempts))
                await asyncio.wait(attempts)
            for it in life:
                if it.done() and not it.cancelled():
                    it.result()
        finally:
            left = [stopped, *life, *attempts]
            for it in left:
                it.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await planet.close()

    async def _take(self, planet: Planet, attempts: set[asyncio.Task[None]]) -> None:
        """Takes tasks for as long as a region gives them."""
        backoff = Backoff()
        while True:
            while self.capacity <= len(attempts):
                await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
            # A region that was away is first asked whether it is back, without waiting for work.
            wait = 0.0 if backoff.failures else self.ACQUIRE_WAIT
            post = {"agent": self.name, "limit": min(self.capacity - len(attempts), 1000)}
            post["wait_ms"] = int(wait * 1000)
            try:
                granted = await planet.ask("/v1/leases", to_json(post), timeout=wait + 10)
            except Problem as problem:
                log.debug("no work: %s", problem)
                await planet.pause(backoff.pause(problem.retry_after))
                await self._make_up(planet, problem)
                continue
            backoff.reset()
            for wire in granted.get("leases") or []:
                lease = Lease(planet, wire)
                task = asyncio.ensure_future(attempt(lease, self._handler(lease)))
                attempts.add(task)
                task.add_done_callback(attempts.discard)

    async def _make_up(self, planet: Planet, problem: Problem) -> None:
        """Does what a region wants before it gives work; raises what will not pass."""
        try:
            if problem.kind == "no-such-agent":
                await planet.announce_here()  # The region has lost it, or somebody removed it.
            elif problem.kind == "attached-elsewhere":
                await planet.follow(problem.members.get("region"))
            elif not problem.is_passing:
                raise problem
        except Problem as again:
            if not again.is_passing:
                raise

    def _handler(self, lease: Lease) -> Handler | None:
        skill = lease.skill
        if skill in self._handlers:
            return self._handlers[skill]
        if self._default is None and skill is None and len(self._handlers) == 1:
            return next(iter(self._handlers.values()))
        return self._default

    def _announcement(self) -> dict[str, Any]:
        if not self.skills:
            raise ValueError("an agent needs one skill or more")
        about = {key: it for key, it in self._about.items() if it is not None}
        return {"skills": self.skills, "capacity": self.capacity, **about}

    async def _run(self, urls: str | Sequence[str] | None, token: str | None) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        serving = asyncio.ensure_future(self.serve(urls, token=token, stop=stop))
        old: dict[signal.Signals, Any] = {}

        def calm_down() -> None:
            if not stop.is_set():
                stop.set()
                return
            serving.cancel()
            for number, handler in old.items():
                signal.signal(number, handler)  # A third one ends what threads hold up.

        def heard(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(calm_down)

        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                old[number] = signal.signal(number, heard)
            except ValueError:
                log.debug("signals are heard in the main thread only")
        try:
            await serving
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            log.warning("stopped at once")
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
