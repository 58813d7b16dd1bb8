"""The right to work on a task, and all that is told under it: signs of life, notes, the end.

Must not know what the work is.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import PauseFor, Problem, to_json
from .planet import Planet

log = logging.getLogger("photon_agents")

PART_BYTES_MAX = 16 << 10
"""Bytes of a streamed part; at it the next one begins."""


@dataclass(eq=False)
class _Note:
    """Something told: what streams on may grow until it is sent for the first time."""

    body: dict[str, Any]
    content: str | bytes = ""
    size: int = 0
    json: bytes = b""
    done: asyncio.Future[None] | None = field(default=None, repr=False)

    def seal(self) -> bytes:
        """Writes the note, for good."""
        if not self.json:
            artifact = self.body.get("artifact")
            if artifact is not None and "parts" not in artifact:
                if isinstance(self.content, str):
                    artifact["text"] = self.content
                else:
                    artifact["parts"] = [{"raw": base64.b64encode(self.content).decode()}]
            self.json = to_json(self.body)
        return self.json


def _skill(wire: dict[str, Any]) -> str | None:
    """Returns the skill that is asked for: of an agent that was asked for by name its client may
    say so in the message's metadata, as it would to have any agent with the skill."""
    if wire.get("skill") is not None:
        return str(wire["skill"])
    metadata = (wire.get("message") or {}).get("metadata") or {}
    named = metadata.get("photon/skill", metadata.get("skill"))
    return named if isinstance(named, str) else None


class Lease:
    """A lease: `lost` is set, and `why_lost`, once nothing more can be told under it."""

    BATCH_WAIT = 0.05
    """Seconds for which a streamed piece may wait for those that follow."""
    NOTES_MAX = 100
    """Notes of a request; more follow in the next one."""
    BATCH_BYTES_MAX = 512 << 10
    """Bytes of a request, short of one note that has more."""
    UNSENT_BYTES_MAX = 256 << 10
    """Streamed bytes that wait to be sent; at it the writer waits."""

    def __init__(self, planet: Planet, wire: dict[str, Any]) -> None:
        self.wire = wire
        self.task = str(wire["task"])
        self.skill = _skill(wire)
        self.lost = asyncio.Event()
        self.why_lost = ""
        self._planet = planet
        self._token = str(wire["token"])
        # All notes of the attempt: a region that becomes the home may lack those told last. The
        # region bounds how much they are.
        self._notes: list[_Note] = []
        self._sent = 0
        self._unsent_bytes = 0
        self._batch_max = self.NOTES_MAX
        self._is_ending = False
        self._refused: dict[str, Problem] = {}
        self._begun: set[str] = set()
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()
        self._progress = asyncio.Event()
        self._sending = asyncio.Lock()

    def lose(self, why: str) -> None:
        """Takes note that nothing that is told counts any more.

        While the end is told this is passed over: the answer to that says what became of it.
        """
        if not self.lost.is_set() and not self._is_ending:
            self.why_lost = why
            self.lost.set()
            self._progress.set()

    def abandon(self, why: str) -> None:
        """Loses the lease, whatever is told of it just now."""
        self._is_ending = False
        self.lose(why)

    async def beat(self) -> None:
        """Says at once, and then again and again, that the worker lives; ends with the lease."""
        every = max(float(self.wire.get("ttl_ms", 15_000)) / 3000, 0.1)
        body = to_json({"token": self._token})
        while not self.lost.is_set():
            try:
                standing = await self._planet.persist(self._path("heartbeat"), body)
            except Problem as problem:
                self.lose(str(problem))
                return
            state = standing.get("state")
            if state in ("completed", "failed", "canceled", "rejected"):
                self.lose(f"the task is {state}")
                return
            await asyncio.sleep(every)

    def has_told(self, artifact: str) -> bool:
        """Whether something of an artifact was told in this attempt."""
        return artifact in self._begun

    async def tell(self, body: dict[str, Any]) -> None:
        """Tells a note, and returns once the task's home has it on disk.

        Raises the `Problem` if the region does not accept it.
        """
        note = _Note(body, done=asyncio.get_running_loop().create_future())
        note.size = len(note.seal())
        if "artifact" in body:
            self._begun.add(body["artifact"]["id"])
        self._push(note)
        self._urgent.set()
        assert note.done is not None
        await note.done

    async def stream(self, artifact: str, content: str | bytes, name: str | None = None) -> None:
        """Appends a piece to an artifact; returns before it is sent, unless too much waits."""
        self._check(artifact)
        size = len(content.encode() if isinstance(content, str) else content)
        to_json(name)  # What cannot be written is said to who gave it.
        last = self._notes[-1] if self._notes else None
        if last is not None and self._may_grow(last, artifact, content, size):
            last.content += content  # type: ignore[operator]
            last.size += size
            self._unsent_bytes += size
        else:
            note: dict[str, Any] = {"id": artifact, "append": artifact in self._begun}
            if name is not None:
                note["name"] = name
            self._begun.add(artifact)
            self._push(_Note({"artifact": note}, content, size))
        if PART_BYTES_MAX <= self._unsent_bytes:
            self._urgent.set()
        await self._until(lambda: self._unsent_bytes <= self.UNSENT_BYTES_MAX)
        self._check(artifact)

    async def finish_stream(self, artifact: str) -> None:
        """Says that an artifact is whole, and waits until all of it is on disk."""
        self._check(artifact)
        if artifact in self._begun:
            last = self._notes[-1]
            if last.json or last.body.get("artifact", {}).get("id") != artifact:
                await self.stream(artifact, "")
                last = self._notes[-1]
            last.body["artifact"]["last"] = True
        await self.flush()
        self._check(artifact)

    async def flush(self) -> None:
        """Waits until all that was told is on disk, or refused."""
        self._urgent.set()
        await self._until(lambda: self._sent == len(self._notes))

    async def deliver(self) -> None:
        """Sends notes on, few requests and soon; ends with the lease."""
        while not self.lost.is_set():
            await self._news.wait()
            if not self._urgent.is_set():
                try:
                    await asyncio.wait_for(self._urgent.wait(), self.BATCH_WAIT)
                except asyncio.TimeoutError:
                    pass
            self._news.clear()
            self._urgent.clear()
            try:
                async with self._sending:
                    await self._send_all()
            except Problem as problem:
                self.lose(str(problem))

    async def complete(self, message: dict[str, Any] | None) -> None:
        """Ends the task: done."""
        await self._end("complete", {} if message is None else {"message": message})

    async def fail(self, reason: str, *, rejected: bool = False, retryable: bool = True) -> None:
        """Ends the attempt: failed, or the task: refused."""
        await self._end(
            "fail", {"reason": reason, "rejected": rejected, "non_retryable": not retryable}
        )

    async def pause(self, what_for: PauseFor, question: str) -> None:
        """Ends the attempt with a question to the client."""
        await self._end("pause", {"for": what_for, "text": question})

    async def _end(self, verb: str, body: dict[str, Any]) -> None:
        """Says how it ended until it is answered; raises a `Problem` if that is at fault."""
        is_taken = False
        try:
            async with self._sending:
                while not is_taken and not self.lost.is_set():
                    await self._send_all()
                    is_taken = await self._say(verb, body)
        except Problem as problem:
            self._is_ending = False
            if problem.is_faulty:
                raise
            self.lose(str(problem))

    async def _say(self, verb: str, body: dict[str, Any]) -> bool:
        """Says how it ended; false if the home lacks notes, which have to be sent again before."""
        self._is_ending = True
        body = {"token": self._token, "notes": self._sent, **body}
        try:
            await self._planet.persist(self._path(verb), to_json(body))
        except Problem as problem:
            self._go_back(problem)
            return False
        return True

    async def _send_all(self) -> None:
        """Sends what is not sent, for who holds `_sending`; raises a `Problem` if the lease is
        over."""
        while self._sent < len(self._notes):
            await self._send_batch()
            self._progress.set()

    async def _send_batch(self) -> None:
        batch: list[_Note] = []
        size = 0
        for note in self._notes[self._sent : self._sent + self._batch_max]:
            size += len(note.seal())
            if batch and self.BATCH_BYTES_MAX < size:
                break
            batch.append(note)
        body = b'{"token":%s,"first":%d,"notes":[%s]}' % (
            to_json(self._token),
            self._sent + 1,
            b",".join(note.json for note in batch),
        )
        try:
            await self._planet.persist(self._path("events"), body)
        except Problem as problem:
            if not problem.is_faulty:
                self._go_back(problem)
            elif len(batch) > 1:
                self._batch_max = 1  # One of them is at fault, and none was taken.
            else:
                self._drop(batch[0], problem)
            return
        self._sent += len(batch)
        for note in batch:
            self._settle(note)

    def _go_back(self, problem: Problem) -> None:
        """Goes back to the first note that the home lacks; raises the `Problem` if it is another.

        The home was lost with what it alone had: its heir is told again.
        """
        expected: Any = problem.members.get("expected")
        if problem.kind != "note-gap" or expected not in range(1, self._sent + 1):
            raise problem
        log.info("task %s: notes %d to %d are told again", self.task, expected, self._sent)
        self._sent = expected - 1

    def _settle(self, note: _Note, problem: Problem | None = None) -> None:
        if note.done is None:
            self._unsent_bytes -= note.size
            note.size = 0
        elif not note.done.done():
            if problem:
                note.done.set_exception(problem)
            else:
                note.done.set_result(None)

    def _drop(self, note: _Note, problem: Problem) -> None:
        """Forgets a note that is refused, and what would continue it: others take its number."""
        self._batch_max = self.NOTES_MAX
        dropped = [note]
        if note.done is None:
            artifact = note.body["artifact"]["id"]
            self._refused[artifact] = problem
            unsent = self._notes[self._sent + 1 :]
            dropped += [it for it in unsent if it.body.get("artifact", {}).get("id") == artifact]
        self._notes = [it for it in self._notes if it not in dropped]
        for it in dropped:
            self._settle(it, problem)

    def _push(self, note: _Note) -> None:
        self._notes.append(note)
        if note.done is None:
            self._unsent_bytes += note.size
        self._news.set()

    def _may_grow(self, note: _Note, artifact: str, content: str | bytes, size: int) -> bool:
        is_open = note.done is None and not note.json and not note.body["artifact"].get("last")
        is_same = is_open and note.body["artifact"]["id"] == artifact
        is_alike = isinstance(note.content, type(content))
        return is_same and is_alike and note.size + size <= PART_BYTES_MAX

    def _check(self, artifact: str) -> None:
        if artifact in self._refused:
            raise self._refused[artifact]

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so() and not self.lost.is_set():
            self._progress.clear()
            await self._progress.wait()

    def _path(self, verb: str) -> str:
        return f"/v1/leases/{self.task}/{verb}"
