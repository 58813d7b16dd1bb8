"""What the agents of conformance kits have in common: they take leases over the worker API of a region."""

import json
import threading
import time
import urllib.error
import urllib.request


class Worker:
    """Works on one lease after the other, each in a thread; an agent says how it does one.

    `name` is that of the agent, `announced` what it is registered with."""

    name = ""
    announced = {}

    def __init__(self, base):
        self.base = base.rstrip("/")

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
        status, answer = self.call("PUT", f"/v1/agents/{self.name}", self.announced)
        assert status in (200, 201), answer

    def run(self):
        self.register()
        print("ready", flush=True)
        while True:
            wanted = {"agent": self.name, "limit": 16, "wait_ms": 20_000}
            status, answer = self.call("POST", "/v1/leases", wanted)
            if status == 404:
                self.register()
                continue
            assert status == 200, answer
            for lease in answer["leases"]:
                threading.Thread(target=self.work, args=(lease,), daemon=True).start()

    def tell(self, lease, verb, **body):
        """Tells something of a lease; returns the status and the answer."""
        path = f"/v1/leases/{lease['task']}/{verb}"
        return self.call("POST", path, {"token": lease["token"], **body})

    def work(self, lease):
        """Does one task."""
        raise NotImplementedError
