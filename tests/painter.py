"""The agent that asks something before it works, and tells results of every kind.

Usage: painter.py BASE_URL

Whatever it is told, it asks for a colour, and once it has one it tells a text in two pieces, data
and a file.
"""

import base64
import sys

from worker import Worker

SKILL = "wall.paint"
PICTURE = base64.b64encode(bytes(range(256))).decode()


class Painter(Worker):
    name = "painter"
    announced = {"skills": [SKILL], "capacity": 16, "description": "Paints walls."}

    def work(self, lease):
        if not lease.get("turns"):
            self.tell(lease, "pause", **{"for": "input", "text": "which colour?"})
            return
        colour = lease["turns"][-1]["parts"][0]["text"]
        picture = {"raw": PICTURE, "mediaType": "image/png", "filename": "wall.png"}
        more = {"append": True, "last": True}
        artifacts = [
            {"id": "wall", "name": "the wall", "parts": [{"text": f"one coat of {colour}, "}]},
            {"id": "wall", "parts": [{"text": f"two coats of {colour}"}], **more},
            {"id": "bill", "parts": [{"data": {"colour": colour, "coats": 2}}], "last": True},
            {"id": "picture", "parts": [picture], "last": True},
        ]
        self.tell(lease, "events", first=1, notes=[{"artifact": it} for it in artifacts])
        self.tell(lease, "complete", text="painted")


if __name__ == "__main__":
    Painter(sys.argv[1]).run()
