"""The agent behind the tasks of the conformance kit of MCP.

Usage: mcp_agent.py BASE_URL

It does what the data of a message say: `seconds` of sleep, a question that it `asks` first, a `text`
as its result, or the reason why it `fails`. docs/conformance.md says how the kit is run.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request

NAME = "mcp-kit"
SKILL = "kit.job"


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
                    return error.code, None
            except urllib.error.URLError:
                pass
            time.sleep(0.2)

    def register(self):
        status, _ = self.call("PUT", f"/v1/agents/{NAME}", {"skills": [SKILL], "capacity": 64})
        if status != 200:
            sys.exit(f"the region refuses the agent: {status}")

    def run(self):
        self.register()
        print("ready", flush=True)
        while True:
            ask = {"agent": NAME, "limit": 16, "wait_ms": 20_000}
            status, answer = self.call("POST", "/v1/leases", ask)
            if status == 404:
                self.register()
            elif status == 200:
                for lease in answer["leases"]:
                    threading.Thread(target=self.work, args=(lease,), daemon=True).start()

    def work(self, lease):
        path, token = f"/v1/leases/{lease['task']}", {"token": lease["token"]}
        job = lease["message"]["parts"][0]["data"]
        if "asks" in job and not lease.get("turns"):
            self.call("POST", path + "/pause", token | {"for": "input", "text": job["asks"]})
            return
        end = time.monotonic() + (job.get("seconds") or 0)
        while True:
            if self.call("POST", path + "/heartbeat", token)[0] != 200:
                return  # It was called off.
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, 1))
        if "fails" in job:
            self.call("POST", path + "/fail", token | {"reason": job["fails"]})
        else:
            self.call("POST", path + "/complete", token | {"text": job.get("text", "done")})


if __name__ == "__main__":
    Worker(sys.argv[1].rstrip("/")).run()
