"""What all tests share: pauses are short, so that they are over soon."""

from __future__ import annotations

import pytest

from photon_agents.backoff import Backoff


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "FIRST", 0.004)
    monkeypatch.setattr(Backoff, "PAUSE_MAX", 0.02)
    monkeypatch.delenv("PHOTON_URL", raising=False)
    monkeypatch.delenv("PHOTON_TOKEN", raising=False)
