"""How long to wait before the next try: longer each time, and never in step with others.

Must not wait itself.
"""

from __future__ import annotations

import random


class Backoff:
    """Counts failed tries, and says how long to pause after each."""

    FIRST = 0.05
    PAUSE_MAX = 2.0
    """The longest pause; what returns is found again within it."""

    def __init__(self) -> None:
        self.failures = 0

    def pause(self, at_least: float = 0.0) -> float:
        """Returns the next pause: between a half and the whole of a bound that doubles."""
        bound = min(self.FIRST * 2 ** min(self.failures, 16), self.PAUSE_MAX)
        self.failures += 1
        # Who was told when to come again comes a little later, and not all at once.
        return at_least + random.uniform(bound / 2, bound)

    def reset(self) -> None:
        """Begins anew, after a success."""
        self.failures = 0
