"""A task as a handler sees it: what is asked, and how to tell what comes of it.

Must not know how an attempt ends, nor where regions are.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar, overload

from .content import Answer, Message, Part
from .errors import Paused, PauseFor, to_json
from .lease import PART_BYTES_MAX, Lease

log = logging.getLogger("photon_agents")

CHECKPOINT_BYTES_MAX = 64 << 10
"""Bytes of what a step may give, as JSON; a larger one is refused."""

_LABEL = re.compile(r"[!-~]{1,128}")
_INTS = range(-(2**63), 2**64)

T = TypeVar("T")


class Task:
    """One attempt at a task.

    `message` is what the client asked, and `turns` what workers asked of it since and what it
    answered. `attempt` is 1 for the first. `closes_at` says when this attempt has to be over.
    """

    def __init__(self, lease: Lease) -> None:
        wire = lease.wire
        self._lease = lease
        self.id = lease.task
        self.skill = lease.skill
        self.agent: str | None = wire.get("agent")
        self.attempt = int(wire.get("attempt", 1))
        self.context_id = str(wire.get("context_id", ""))
        self.placement = str(wire.get("placement", ""))
        self.home = str(wire.get("home", ""))
        self.message = Message.from_wire(wire.get("message") or {})
        self.turns = [Message.from_wire(it) for it in wire.get("turns") or []]
        self.closes_at = _moment(wire.get("closes_at"))
        self._checkpoints = {it["key"]: it["value"] for it in wire.get("checkpoints") or []}
        self._steps: dict[str, asyncio.Future[Any]] = {}
        self._asked = 0

    def __repr__(self) -> str:
        return f"Task({self.id!r}, skill={self.skill!r}, attempt={self.attempt})"

    @property
    def parts(self) -> list[Part]:
        """All parts of the message and of the turns after it."""
        return [part for message in [self.message, *self.turns] for part in message.parts]

    @property
    def text(self) -> str:
        """All text among them, one part a line."""
        return "\n".join(part.value for part in self.parts if part.kind == "text")

    @property
    def checkpoints(self) -> Mapping[str, Any]:
        """What has been done, by the names of steps."""
        return dict(self._checkpoints)

    @property
    def cancelled(self) -> bool:
        """Whether the task was called off, or the lease is lost: nothing that is done counts.

        An async handler is cancelled then, too; this is for code in threads.
        """
        return self._lease.lost.is_set()

    @overload
    async def step(self, key: str, fn: Callable[..., Awaitable[T]], *args: Any, **kw: Any) -> T: ...

    @overload
    async def step(self, key: str, fn: Callable[..., T], *args: Any, **kw: Any) -> T: ...

    async def step(self, key: str, fn: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Does a piece of work once, whatever becomes of this attempt.

        If the step was done before, in whatever attempt and region, returns what it gave then.
        Otherwise runs `fn` (in a thread unless it is async), and returns its result once that is
        on the disk of the task's home. The result is JSON of at most 64 KiB, and returned as JSON
        has it: tuples become lists. Keys are 1 to 128 visible ASCII characters, one for each step.
        """
        _check_label("key", key)
        if key in self._checkpoints:
            return self._checkpoints[key]
        if key in self._steps:
            return await asyncio.shield(self._steps[key])
        done = self._steps[key] = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda it: it.cancelled() or it.exception())
        try:
            value, size = _as_json(key, await call(fn, *args, **kw))
            if CHECKPOINT_BYTES_MAX < size:
                raise ValueError(f"step `{key}` gives {size} bytes; 64 KiB are possible")
            await self._lease.tell({"checkpoint": {"key": key, "value": value}})
        except BaseException as error:
            del self._steps[key]
            if isinstance(error, asyncio.CancelledError):
                done.cancel()
            else:
                done.set_exception(error)
            raise
        self._checkpoints[key] = value
        done.set_result(value)
        return value

    def artifact(self, id: str, *, name: str | None = None) -> ArtifactStream:
        """Opens an artifact to write it piece by piece: `async with task.artifact("a") as out`."""
        _check_label("id", id)
        return ArtifactStream(self._lease, id, name)

    async def emit(
        self,
        id: str,
        *,
        text: str | None = None,
        data: Any = None,
        raw: bytes | None = None,
        url: str | None = None,
        parts: list[Part] | None = None,
        name: str | None = None,
        filename: str | None = None,
        media_type: str | None = None,
    ) -> None:
        """Tells an artifact in one go, and returns once the task's home has it on disk.

        Raises `Problem` if it is too large: streams may hold more.
        """
        _check_label("id", id)
        rest = (filename, media_type)
        if text is not None:
            parts = [*(parts or []), Part("text", text, *rest)]
        if raw is not None:
            parts = [*(parts or []), Part("raw", raw, *rest)]
        if url is not None:
            parts = [*(parts or []), Part("url", url, *rest)]
        if data is not None or not parts:
            parts = [*(parts or []), Part("data", data, *rest)]
        note: dict[str, Any] = {"id": id, "parts": [it.to_wire() for it in parts], "last": True}
        if name is not None:
            note["name"] = name
        await self._lease.tell({"artifact": note})

    async def say(self, text: str) -> None:
        """Makes a remark that clients see while the work goes on."""
        await self._lease.tell({"status": text})

    async def ask(self, question: str) -> Answer:
        """Asks the client, and returns its answer.

        If there is none yet, the handler ends here, and the task waits. Once the client has
        answered, the handler is run anew, maybe in another process: the n-th question of a run
        gets the n-th answer, and `step` keeps what was done before. So handlers have to ask the
        same questions in the same order.
        """
        return self._answer("input", question)

    async def ask_auth(self, question: str) -> Answer:
        """Asks the client to let the agent in somewhere; otherwise like `ask`."""
        return self._answer("auth", question)

    def _answer(self, what_for: PauseFor, question: str) -> Answer:
        at, answers = self._asked, _answers(self.turns)
        self._asked += 1
        if len(answers) <= at:
            raise Paused(what_for, question)
        asked, answer = answers[at]
        if asked is not None and asked.text != question:
            log.warning("task %s: question %d was another one before", self.id, at + 1)
        return Answer.of(answer)


class ArtifactStream:
    """An artifact that is written piece by piece. What is written shortly one after the other is
    sent together; the end of the `async with` waits until all of it is on disk."""

    def __init__(self, lease: Lease, id: str, name: str | None) -> None:
        self._lease = lease
        self._id = id
        self._name = name
        self._is_closed = False

    async def __aenter__(self) -> ArtifactStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close()

    async def write(self, piece: str | bytes) -> None:
        """Writes a piece of text, or bytes; waits only while too much is unsent."""
        if self._is_closed:
            raise ValueError(f"artifact `{self._id}` is closed")
        for part in _cut(piece):
            await self._lease.stream(self._id, part, self._name)

    async def close(self) -> None:
        """Says that the artifact is whole, and waits until all of it is on disk."""
        if not self._is_closed:
            self._is_closed = True
            await self._lease.finish_stream(self._id)


async def call(fn: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    """Runs a function: in this thread if it is async, so that the worker is heard meanwhile."""
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004
    ):
        return await fn(*args, **kw)
    found = await asyncio.to_thread(fn, *args, **kw)
    return await found if inspect.isawaitable(found) else found


def _cut(piece: str | bytes) -> list[str] | list[bytes]:
    """Cuts text or bytes into parts; text between characters."""
    if isinstance(piece, bytes):
        return [piece[at : at + PART_BYTES_MAX] for at in range(0, len(piece), PART_BYTES_MAX)]
    whole = piece.encode()
    parts, at = [], 0
    while at < len(whole):
        end = min(at + PART_BYTES_MAX, len(whole))
        while end < len(whole) and whole[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(whole[at:end].decode())
        at = end
    return parts


def _answers(turns: list[Message]) -> list[tuple[Message | None, Message]]:
    """Returns the client's answers, each with the question if that is known."""
    pairs: list[tuple[Message | None, Message]] = []
    asked: Message | None = None
    for turn in turns:
        if turn.role == "ROLE_AGENT" and asked is None:
            asked = turn
        else:
            pairs.append((asked, turn))
            asked = None
    return pairs


def _as_json(key: str, value: Any) -> tuple[Any, int]:
    """Returns a value as it will be read again, and its size; refuses what would be changed."""

    def whole(digits: str) -> int:
        if int(digits) not in _INTS:
            raise ValueError(f"step `{key}` gives a number of more than 64 bits: use text")
        return int(digits)

    text = to_json(value)
    return json.loads(text, parse_int=whole), len(text)


def _check_label(what: str, label: str) -> None:
    if not _LABEL.fullmatch(label):
        raise ValueError(f"`{what}` has to be 1 to 128 visible ASCII characters")


def _moment(text: str | None) -> datetime | None:
    """Reads RFC 3339; Python 3.10 takes neither `Z` nor any count of digits."""
    if text is None:
        return None
    text = re.sub(r"\.(\d+)", lambda it: f".{it[1][:6]:0<6}", text)
    return datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
