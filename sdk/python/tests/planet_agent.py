"""An agent for a real planet, which is driven from outside: `planet_agent.py FILE URL [URL ..]`.

Each step that runs appends a line to FILE; between the second and the third step it waits until a
file `go` exists beside FILE. It prints `ready` once it is registered.
"""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from photon_agents import Agent, Task

agent = Agent("sdk-python", capacity=4, description="Tests the worker library for Python.")
steps_file = Path(sys.argv[1])


@agent.skill("sdk.upper")
async def upper(task: Task) -> str:
    return task.text.upper()


@agent.skill("sdk.steps")
async def steps(task: Task) -> str:
    def note(number: int) -> str:
        with steps_file.open("a") as file:
            file.write(f"step-{number} attempt-{task.attempt}\n")
        return f"result-{number}"

    results = [await task.step("one", note, 1), await task.step("two", note, 2)]
    while not steps_file.with_name("go").exists():
        await asyncio.sleep(0.05)
    results.append(await task.step("three", note, 3))
    return " ".join(results)


@agent.skill("sdk.ask")
async def ask(task: Task) -> str:
    return await task.ask("which colour?")


@agent.skill("sdk.stream")
async def stream(task: Task) -> None:
    async with task.artifact("output") as out:
        for number in range(20):
            await out.write(f"piece {number}\n")
            await asyncio.sleep(0.02)


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    regions: list[str] = []

    def attached(region: str) -> None:
        if not regions:
            print("ready", flush=True)
        regions.append(region)

    await agent.serve(sys.argv[2:], stop=stop, on_attach=attached)


if __name__ == "__main__":
    level = os.environ.get("LOG", "INFO")
    logging.basicConfig(level=level, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(main())
