"""Runs an agent on an imagined planet while a test looks on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from photon_agents import Agent
from planet import Planet

URLS = ["http://a"]


def check(
    agent: Agent,
    planet: Planet,
    story: Callable[[], Awaitable[Any]],
    urls: list[str] | None = None,
    token: str | None = None,
) -> list[str]:
    """Runs a story while the agent serves, drains the agent; returns where it was attached."""

    async def main() -> list[str]:
        stop, regions = asyncio.Event(), list[str]()
        planet.changed = asyncio.Event()
        serving = asyncio.ensure_future(
            agent.serve(
                urls or URLS, token=token, stop=stop, on_attach=regions.append, transport=planet
            )
        )
        telling = asyncio.ensure_future(story())
        await asyncio.wait({serving, telling}, return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            telling.cancel()
            serving.result()
        telling.result()
        stop.set()
        await asyncio.wait_for(serving, 5)
        return regions

    return asyncio.run(main())


def agent_of(handler: Callable[..., Any], **options: Any) -> Agent:
    """Makes an agent with one skill, `s`."""
    agent = Agent("it", **options)
    agent.skill("s")(handler)
    return agent
