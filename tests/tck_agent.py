"""The agent that the A2A Technology Compatibility Kit expects behind the server that it tests.

Usage: tck_agent.py BASE_URL

It does what the prefix of a message's `messageId` asks for, as the kit's scenarios have it, over the
worker API of a region alone. docs/conformance.md says how the kit is run.
"""

import base64
import json
import sys
import threading
import time
import urllib.error
import urllib.request

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


class Worker:
    """Works on one lease after the other, each in a thread."""

    def __init__(self, base):
        self.base = base

    def call(self, method, path, body):
        """Asks the region, and again while it cannot answer; returns the status and the answer."""
        data = json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        while True:
            request = urllib.request.Request(self.base + path, data, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503):
                    return error.code, json.loads(error.read() or b"null")
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                pass
            time.sleep(0.2)

    def register(self):
        skill = {"id": SKILL, "name": "TCK", "description": "Does what the kit asks for", "tags": ["tck"]}
        card = {
            "name": NAME,
            "description": "Does what the A2A Technology Compatibility Kit asks for",
            "version": "1.0.0",
            "defaultInputModes": TEXT_MODES,
            "defaultOutputModes": TEXT_MODES,
            "skills": [skill],
        }
        body = {"skills": [SKILL], "capacity": 64, "card": card}
        status, answer = self.call("PUT", f"/v1/agents/{NAME}", body)
        assert status in (200, 201), answer

    def run(self):
        self.register()
        print("ready", flush=True)
        while True:
            wanted = {"agent": NAME, "limit": 16, "wait_ms": 20_000}
            status, answer = self.call("POST", "/v1/leases", wanted)
            if status == 404:
                self.register()
                continue
            assert status == 200, answer
            for lease in answer["leases"]:
                threading.Thread(target=self.work, args=(lease,), daemon=True).start()

    def tell(self, lease, verb, **body):
        path = f"/v1/leases/{lease['task']}/{verb}"
        return self.call("POST", path, {"token": lease["token"], **body})

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
    Worker(sys.argv[1]).run()
