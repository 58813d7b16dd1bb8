"""One attempt at one task: runs the handler, and tells the region what comes of it.

Must not know how tasks are come by, nor of other attempts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from typing import Any

from .content import OUTPUT, Part, Reply, agent_message
from .errors import Failed, Paused, Problem, Rejected
from .lease import Lease
from .task import Task, call

log = logging.getLogger("photon_agents")

Handler = Callable[[Task], Any]

REASON_CHARS_MAX = 4096
"""Characters of what is said of a failure; the rest is left out."""


async def attempt(lease: Lease, handler: Handler | None) -> None:
    """Works on a task until the region has taken the result, or does not want it any more."""
    work = asyncio.ensure_future(_work(lease, Task(lease), handler))
    lost = asyncio.ensure_future(lease.lost.wait())
    beside = [lost, *(asyncio.ensure_future(_guarded(lease, it)) for it in _beside(lease))]
    try:
        await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not work.done():
            lease.abandon("the worker was stopped")
        for task in [work, *beside]:
            task.cancel()
        # A handler may take its time to clean up.
        await asyncio.gather(work, *beside, return_exceptions=True)
    if lease.lost.is_set():
        log.info("task %s is dropped: %s", lease.task, lease.why_lost)
    elif not work.cancelled() and (error := work.exception()):
        log.error("task %s cannot be ended", lease.task, exc_info=error)
    else:
        log.debug("task %s: its attempt has ended", lease.task)


def _beside(lease: Lease) -> list[Coroutine[Any, Any, None]]:
    return [lease.beat(), lease.deliver(), _close(lease)]


async def _guarded(lease: Lease, it: Coroutine[Any, Any, None]) -> None:
    """Sees to it that an attempt does not go on without what belongs to it."""
    try:
        await it
    except Exception as error:
        log.exception("task %s: a fault of this library", lease.task)
        lease.lose(f"a fault of this library: {error!r}")


async def _close(lease: Lease) -> None:
    """Ends the attempt when its time is over: it counts as failed from then on."""
    closes_at = Task(lease).closes_at
    if closes_at:
        await asyncio.sleep((closes_at - datetime.now(timezone.utc)).total_seconds())
        lease.lose("its time is over")


async def _work(lease: Lease, task: Task, handler: Handler | None) -> None:
    try:
        try:
            if handler is None:
                what = "tasks that name no skill" if task.skill is None else f"`{task.skill}`"
                raise Rejected(f"no handler for {what}")
            found = await call(handler, task)
            if not lease.lost.is_set():
                await _complete(lease, found)
        except Paused as pause:
            await lease.pause(pause.what_for, pause.question)
    except asyncio.CancelledError as error:
        if lease.lost.is_set():
            raise
        await _fail(lease, _reason(error))  # The handler has cancelled something itself.
    except Rejected as error:
        await _fail(lease, error.reason, rejected=True)
    except Failed as error:
        await _fail(lease, error.reason, retryable=error.retryable)
    except Exception as error:
        log.warning("task %s: the handler failed", task.id, exc_info=error)
        is_faulty = isinstance(error, Problem) and error.is_faulty
        await _fail(lease, _reason(error), retryable=not is_faulty)


async def _complete(lease: Lease, found: Any) -> None:
    reply = found if isinstance(found, Reply) else Reply(found)
    parts = reply.parts()
    said = [Part("text", reply.message)] if reply.message is not None else []
    if parts and lease.has_told(reply.artifact):
        # The artifact was streamed: what is returned is the last word on it.
        said = parts + said
    elif parts:
        note: dict[str, Any] = {"id": reply.artifact or OUTPUT, "last": True}
        note["parts"] = [it.to_wire() for it in parts]
        if reply.name is not None:
            note["name"] = reply.name
        await lease.tell({"artifact": note})
    await lease.complete(agent_message(said) if said else None)


async def _fail(
    lease: Lease, reason: str, *, rejected: bool = False, retryable: bool = True
) -> None:
    reason = reason.encode(errors="replace").decode()[:REASON_CHARS_MAX]
    await lease.fail(reason, rejected=rejected, retryable=retryable)


def _reason(error: BaseException) -> str:
    """Says what an error was; where it happened is for the log."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
