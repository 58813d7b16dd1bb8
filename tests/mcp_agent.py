"""The agent behind the tasks of the conformance kit of MCP.

Usage: mcp_agent.py BASE_URL

It does what the data of a message say: `seconds` of sleep, a question that it `asks` first, a `text`
as its result, or the reason why it `fails`. docs/conformance.md says how the kit is run.
"""

import sys
import time

from worker import Worker

NAME = "mcp-kit"
SKILL = "kit.job"


class KitWorker(Worker):
    name = NAME
    announced = {"skills": [SKILL], "capacity": 64}

    def work(self, lease):
        job = lease["message"]["parts"][0]["data"]
        if "asks" in job and not lease.get("turns"):
            self.tell(lease, "pause", **{"for": "input", "text": job["asks"]})
            return
        end = time.monotonic() + (job.get("seconds") or 0)
        while True:
            if self.tell(lease, "heartbeat")[0] != 200:
                return  # It was called off.
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, 1))
        if "fails" in job:
            self.tell(lease, "fail", reason=job["fails"])
        else:
            self.tell(lease, "complete", text=job.get("text", "done"))


if __name__ == "__main__":
    KitWorker(sys.argv[1]).run()
