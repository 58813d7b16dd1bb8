"""Writes a report in steps that are paid for once, asks how long it shall be, and streams it.

python examples/report.py
photon send --skill report.write "the sea" --follow
"""

import asyncio
import logging

from photon_agents import Agent, Failed, Task

agent = Agent("reporter", capacity=8, description="Writes reports.")


async def outline(topic: str) -> list[str]:
    """Stands for a model that takes its time, and costs money."""
    await asyncio.sleep(1)
    return [f"What {topic} is", f"Why {topic} matters", f"What becomes of {topic}"]


async def chapter(title: str) -> str:
    await asyncio.sleep(1)
    return f"# {title}\n\nThere is much to say about it.\n\n"


@agent.skill("report.write")
async def write(task: Task) -> str:
    topic = task.message.text.strip()
    if not topic:
        raise Failed("say what the report is about", retryable=False)
    titles = await task.step("outline", outline, topic)
    wanted = await task.ask(f"how many chapters, 1 to {len(titles)}?")
    count = int(wanted) if wanted.isdigit() else len(titles)

    async with task.artifact("report", name="report.md") as out:
        for number, title in enumerate(titles[:count], 1):
            await out.write(await task.step(f"chapter-{number}", chapter, title))
    return f"{min(count, len(titles))} chapters about {topic}"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    agent.run()
