"""What is said and made: parts, messages, replies, in the JSON of A2A 1.0.

Must not know who says them to whom.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

OUTPUT = "output"
"""The artifact that is made of what a handler returns."""


@dataclass(frozen=True)
class Part:
    """A piece of a message or an artifact: `value` is text, any JSON, bytes, or a URL."""

    kind: Literal["text", "data", "raw", "url"]
    value: Any
    filename: str | None = None
    media_type: str | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def text(self) -> str | None:
        """The text, if it is one."""
        return self.value if self.kind == "text" else None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Part:
        """Reads a part; one of an unknown kind is kept whole, as data."""
        rest = (wire.get("filename"), wire.get("mediaType"), wire.get("metadata"))
        if isinstance(wire.get("text"), str):
            return cls("text", wire["text"], *rest)
        if isinstance(wire.get("raw"), str):
            try:
                return cls("raw", base64.b64decode(wire["raw"], validate=True), *rest)
            except binascii.Error:
                return cls("data", dict(wire), *rest)
        if isinstance(wire.get("url"), str):
            return cls("url", wire["url"], *rest)
        return cls("data", wire["data"] if "data" in wire else dict(wire), *rest)

    def to_wire(self) -> dict[str, Any]:
        """Writes a part."""
        value = base64.b64encode(self.value).decode() if self.kind == "raw" else self.value
        rest = {
            "filename": self.filename,
            "mediaType": self.media_type,
            "metadata": self.metadata,
        }
        return {self.kind: value, **{key: it for key, it in rest.items() if it is not None}}


@dataclass(frozen=True)
class Message:
    """One message between a client and an agent; `wire` is all of it."""

    role: str
    parts: list[Part]
    wire: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Message:
        """Reads a message."""
        parts = [Part.from_wire(it) for it in wire.get("parts") or [] if isinstance(it, dict)]
        return cls(str(wire.get("role", "")), parts, wire)

    @property
    def text(self) -> str:
        """All its text, one part a line."""
        return "\n".join(it.value for it in self.parts if it.kind == "text")

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the client said beside."""
        return self.wire.get("metadata") or {}


class Answer(str):
    """The client's answer to a question: its text, and the whole `message`."""

    message: Message

    @classmethod
    def of(cls, message: Message) -> Answer:
        """Makes an answer of the message that holds it."""
        answer = cls(message.text)
        answer.message = message
        return answer


@dataclass(frozen=True)
class Reply:
    """What a handler returns to say more than a value does.

    `content` is what could be returned alone: text, bytes, JSON, a `Part` or a list of them; it
    becomes the artifact `artifact`. `message` is said with the completion itself.
    """

    content: Any = None
    artifact: str = OUTPUT
    name: str | None = None
    filename: str | None = None
    media_type: str | None = None
    message: str | None = None

    def parts(self) -> list[Part]:
        """Returns the parts that stand for the content; none for `None`."""
        it, rest = self.content, (self.filename, self.media_type)
        if it is None:
            return []
        if isinstance(it, Part):
            return [it]
        if isinstance(it, list) and it and all(isinstance(part, Part) for part in it):
            return it
        if isinstance(it, str):
            return [Part("text", str(it), *rest)]
        if isinstance(it, (bytes, bytearray, memoryview)):
            return [Part("raw", bytes(it), *rest)]
        return [Part("data", it, *rest)]


def agent_message(parts: list[Part]) -> dict[str, Any]:
    """Writes a message of the agent."""
    wire = [it.to_wire() for it in parts]
    return {"messageId": str(uuid.uuid4()), "role": "ROLE_AGENT", "parts": wire}
