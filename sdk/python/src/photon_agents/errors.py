"""What can go wrong, and what a handler may raise.

Must not know how a request is sent.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import httpx

PauseFor = Literal["input", "auth"]


class PhotonError(Exception):
    """Whatever this library raises, except for cancellation and pauses."""


class Failed(PhotonError):
    """Raised by a handler: the attempt failed. Another one follows if the task's terms say so.

    With `retryable=False` another attempt would not do better, and there is none.
    """

    def __init__(self, reason: str, *, retryable: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retryable = retryable


class Rejected(PhotonError):
    """Raised by a handler: the agent refuses the task, rather than failing at it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Paused(BaseException):
    """Ends a handler that has asked the client something; the library catches it.

    It is no `Exception`, so that `except Exception` in a handler does not swallow it.
    """

    def __init__(self, what_for: PauseFor, question: str) -> None:
        super().__init__(question)
        self.what_for: PauseFor = what_for
        self.question = question


class Problem(PhotonError):
    """A region refused a request, or could not be reached (then `status` is 0).

    `kind` is the last segment of the problem's `type`, such as `note-gap`; `members` holds what
    else the region said.
    """

    def __init__(self, status: int, kind: str, detail: str, members: dict[str, Any]) -> None:
        super().__init__(f"{kind} ({status}): {detail}" if status else detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.members = members
        self.retry_after = 0.0

    @classmethod
    def unreachable(cls, detail: str) -> Problem:
        """Makes the problem that there was no answer."""
        return cls(0, "unreachable", detail, {})

    @classmethod
    def answered(cls, response: httpx.Response) -> Problem:
        """Reads the problem document of an answer, as far as it is one."""
        try:
            found = response.json()
        except ValueError:
            found = None
        members: dict[str, Any] = found if isinstance(found, dict) else {}
        kind = str(members.get("type", "")).rpartition("/")[2] or "unknown"
        detail = str(members.get("detail") or response.reason_phrase)
        problem = cls(response.status_code, kind, detail, members)
        try:
            pause_ms = members.get("retry_after_ms")
            seconds = response.headers.get("retry-after", "0")
            problem.retry_after = float(seconds) if pause_ms is None else float(pause_ms) / 1000
        except (TypeError, ValueError):
            pass  # A date, or nonsense: our own pauses will do.
        return problem

    @property
    def is_passing(self) -> bool:
        """Whether asking again may help."""
        is_broken = self.status == 400 and self.kind == "broken-body"
        return self.status in (0, 408, 429) or self.status >= 500 or is_broken

    @property
    def is_silence(self) -> bool:
        """Whether the region that was asked is of no use itself, rather than others that it asks
        or waits for."""
        is_present = self.kind in ("home-unreachable", "level-not-reached")
        return self.status == 0 or (self.status >= 500 and not is_present)

    @property
    def is_faulty(self) -> bool:
        """Whether what was sent is at fault: it can be changed, and the lease goes on."""
        return self.status in (400, 413, 415, 422)


def to_json(value: Any) -> bytes:
    """Writes compact JSON; raises `TypeError` or `ValueError` for what is none."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode()
