"""The agent that the A2A Technology Compatibility Kit expects behind the server that it tests.

Usage: tck_agent.py BASE_URL

It does what the prefix of a message's `messageId` asks for, as the kit's scenarios have it, over the
worker API of a region alone. docs/conformance.md says how the kit is run.
"""

import base64
import sys
import time

from worker import Worker

NAME = "tck"
SKILL = "tck.scenario"
TEXT_MODES = ["text", "text/plain", "application/json"]
FILE = {"raw": base64.b64encode(b"tck").decode(), "mediaType": "text/plain", "filename": "output.txt"}
FILE_URL = {"url": "https://example.com/output.txt", "mediaType": "text/plain", "filename": "output.txt"}
DATA = {"data": {"key": "value", "count": 42}}
STREAMING_SECONDS = 4.0


def text(said):
    return {"text": said}


# What is told, in order, for each prefix; the first that fits counts.
ARTIFACTS = [
    ("tck-stream-artifact-text", [text("Streamed text content")]),
    ("tck-stream-artifact-file", [FILE]),
    ("tck-stream-ordering-001", [text("Ordered output")]),
    ("tck-stream-001", [text("Stream hello from TCK")]),
    ("tck-stream-003", [text("Stream task lifecycle")]),
    ("tck-artifact-file-url", [FILE_URL]),
    ("tck-artifact-file", [FILE]),
    ("tck-artifact-text", [text("Generated text content")]),
    ("tck-artifact-data", [DATA]),
]


SKILL_CARD = {"id": SKILL, "name": "TCK", "description": "Does what the kit asks for", "tags": ["tck"]}


class TckWorker(Worker):
    name = NAME
    announced = {
        "skills": [SKILL],
        "capacity": 64,
        "card": {
            "name": NAME,
            "description": "Does what the A2A Technology Compatibility Kit asks for",
            "version": "1.0.0",
            "defaultInputModes": TEXT_MODES,
            "defaultOutputModes": TEXT_MODES,
            "skills": [SKILL_CARD],
        },
    }

    def work(self, lease):
        """Does one task."""
        asked = (lease.get("turns") or [lease["message"]])[-1]["messageId"]
        self.tell(lease, "heartbeat")
        notes = []

        def artifact(part, **more):
            notes.append({"artifact": {"id": "output", "parts": [part], **more}})

        if asked.startswith("tck-reject-task"):
            self.tell(lease, "fail", reason="rejected", rejected=True)
            return
        if asked.startswith("tck-input-required"):
            self.tell(lease, "pause", text="What next?")
            return
        if asked.startswith("tck-message-response"):
            said = {
                "messageId": f"{lease['task']}-answer",
                "role": "ROLE_AGENT",
                "parts": [text("Direct message response")],
                "metadata": {"photon/direct": True},
            }
            self.tell(lease, "complete", message=said)
            return
        if asked.startswith("test-resubscribe-message-id"):
            for _ in range(int(STREAMING_SECONDS / 0.5)):
                time.sleep(0.5)
                self.tell(lease, "heartbeat")
        elif asked.startswith("tck-stream-artifact-chunked"):
            artifact(text("chunk-1 "))
            artifact(text("chunk-2"), append=True, last=True)
        else:
            fitting = (parts for prefix, parts in ARTIFACTS if asked.startswith(prefix))
            for part in next(fitting, []):
                artifact(part, last=True)
        if notes:
            self.tell(lease, "events", first=1, notes=notes)
        self.tell(lease, "complete", text="Hello from TCK")


if __name__ == "__main__":
    TckWorker(sys.argv[1]).run()
