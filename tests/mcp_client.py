"""An unmodified MCP client (`mcp` from PyPI) finds agents, gives them work, follows and calls it off.

Usage: mcp_client.py REGION_URL OTHER_REGION_URL MODE

MODE is that of the client: `auto` speaks the version of 2026-07-28, `legacy` that of 2025-11-25.
The agent `shout` answers in capitals, the agent `slow` takes minutes; both are in other regions.
"""

import asyncio
import json
import sys

from mcp import Client

VERSIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}


def must(holds, what):
    if not holds:
        sys.exit(f"a promise is broken: {what}")


async def call(client, tool, **arguments):
    """Calls a tool that must answer; returns what it answered, which fits its schema."""
    result = await client.call_tool(tool, arguments)
    must(not result.is_error, f"{tool} {arguments}: {result.content}")
    return result


async def refused(client, tool, **arguments):
    """Calls a tool that must refuse; returns why."""
    result = await client.call_tool(tool, arguments)
    must(result.is_error, f"{tool} {arguments} is refused")
    return result.content[0].text


async def until(state, client, task):
    while True:
        shown = (await call(client, "get_task", id=task)).structured_content
        if shown["state"] == state:
            return shown
        await asyncio.sleep(0.1)


async def work(client, other):
    found = (await call(client, "search_agents", skill="text.upper")).structured_content
    must([it["name"] for it in found["agents"]] == ["shout"], "the agent is found by its skill")
    found = (await call(client, "search_agents", text="SH.SLOW")).structured_content
    must([it["name"] for it in found["agents"]] == ["slow"], "an agent is found by a text")

    sent = await call(
        client, "send_task", skill="text.upper", text="hello", options={"priority_key": 1}
    )
    must(sent.content[0].text == "HELLO", "the result is text")
    task = sent.structured_content
    must(task["state"] == "completed" and task["options"]["priority_key"] == 1, "all is told")
    shown = await other.call_tool("get_task", {"id": task["id"], "wait_ms": 5_000})
    must(shown.content[0].text == "HELLO", "another region shows the same")
    read = await client.read_resource(f"photon://tasks/{task['id']}")
    must(json.loads(read.contents[0].text)["id"] == task["id"], "a task is a resource")

    key = {"skill": "sh.slow", "text": "zzz", "wait_ms": 0, "idempotency_key": task["id"]}
    slow = (await call(client, "send_task", **key)).structured_content
    again = (await call(client, "send_task", **key)).structured_content
    must(slow["id"] == again["id"], "the same key is the same task")
    await until("working", client, slow["id"])
    ended = (await call(other, "cancel_task", id=slow["id"], reason="enough")).structured_content
    must(ended["state"] == "canceled", "it is called off through another region")
    await until("canceled", client, slow["id"])


async def err(client):
    why = await refused(client, "send_task", skill="no.such", text="x")
    must("no-such-skill" in why, why)
    why = await refused(client, "send_task", skill="text.upper", text="x", region="nowhere")
    must("no-such-region" in why, why)
    why = await refused(client, "send_task", skill="text.upper", text="x", options={"prio": 1})
    must("options" in why and "prio" in why, why)
    why = await refused(client, "send_task", text="x")
    must("`skill`" in why, why)
    why = await refused(client, "get_task", id="nothing")
    must("task id" in why, why)
    try:
        await client.call_tool("no_such_tool", {})
        must(False, "an unknown tool is an error of the protocol")
    except Exception as error:
        must("no_such_tool" in str(error), str(error))


async def main(url, other_url, mode):
    async with Client(f"{url}/mcp", mode=mode) as client, Client(f"{other_url}/mcp") as other:
        must(client.protocol_version == VERSIONS[mode], client.protocol_version)
        regions = (await call(client, "list_regions")).structured_content["regions"]
        must(len(regions) == 3, "all regions are listed")
        await work(client, other)
        await err(client)
    print(f"all promises are kept in {VERSIONS[mode]}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3]))
