"""An agent of a stranger that speaks the Agent Client Protocol, made with the SDK for Python: what
`photon agent run --acp` works with.

Usage: acp_agent.py FOLDER

It does what the first word of a prompt asks for, writes a line to FOLDER/log for each turn and each
cancellation, and waits for the file FOLDER/go where it is told to wait.
"""

import asyncio
import os
import pathlib
import sys
import uuid

import acp
from acp import schema

OPTIONS = [
    schema.PermissionOption(option_id="yes-once", name="Allow", kind="allow_once"),
    schema.PermissionOption(option_id="yes-always", name="Always", kind="allow_always"),
    schema.PermissionOption(option_id="no-once", name="Reject", kind="reject_once"),
]


class Stranger(acp.Agent):
    """Does what it is asked."""

    def __init__(self, folder):
        self.folder = folder
        self.turns = {}
        self.deaf = set()
        self.running = {}

    def on_connect(self, conn):
        self.client = conn

    async def initialize(self, protocol_version, client_capabilities=None, client_info=None, **_):
        assert not client_capabilities.terminal and client_info.name == "photon"
        return schema.InitializeResponse(
            protocol_version=1,
            agent_capabilities=schema.AgentCapabilities(),
            agent_info=schema.Implementation(name="a-stranger", title="A Stranger", version="7.1"),
        )

    async def new_session(self, cwd, mcp_servers=None, **_):
        assert mcp_servers == []
        session = uuid.uuid4().hex
        self.turns[session] = 0
        self.cwd = cwd
        return schema.NewSessionResponse(session_id=session)

    async def prompt(self, prompt, session_id, **_):
        self.turns[session_id] += 1
        text = prompt[0].text
        verb, _, rest = text.partition(" ")
        self.log(f"{verb} {session_id}")
        self.running[session_id] = asyncio.create_task(self.do(verb, rest, prompt, session_id))
        try:
            reason = await self.running[session_id]
        except asyncio.CancelledError:
            reason = "cancelled"
        return schema.PromptResponse(stop_reason=reason or "end_turn")

    async def cancel(self, session_id, **_):
        self.log(f"cancel {session_id}")
        if session_id not in self.deaf:
            self.running[session_id].cancel()

    async def do(self, verb, rest, prompt, session):
        say = lambda text: self.client.session_update(session, acp.update_agent_message_text(text))
        if verb == "say":
            await self.client.session_update(session, acp.update_agent_thought_text("a thought"))
            for word in rest.split():
                await say(f"{word} ")
        elif verb == "wait":
            await say("one ")
            while not (self.folder / "go").exists():
                await asyncio.sleep(0.02)
            await say("two")
        elif verb == "deaf":
            self.deaf.add(session)
            await say("one ")
            await asyncio.Event().wait()
        elif verb == "turn":
            await say(f"turn {self.turns[session]}")
        elif verb == "cwd":
            await say(self.cwd)
        elif verb == "blocks":
            for block in prompt[1:]:
                await say(f"{block.type}:{getattr(block, 'text', None) or block.uri};")
        elif verb == "may":
            await say("asking: ")
            call = acp.start_tool_call("c1", rest, kind="execute", raw_input={"command": rest})
            await self.client.session_update(session, call)
            # As many agents do, it names the call by its id alone.
            call = schema.ToolCallUpdate(tool_call_id="c1")
            told = await self.client.request_permission(session, call, OPTIONS)
            await say(f"chose {getattr(told.outcome, 'option_id', 'nothing')}")
            if len(prompt) > 1:
                assert "The agent wants to do" in prompt[2].text and len(prompt) == 5, prompt
                await say(f" after {prompt[4].text}")
        elif verb == "read":
            try:
                await self.client.read_text_file(session, "/etc/passwd")
            except acp.RequestError as error:
                await say(str(error.code))
        elif verb == "noise":
            print("this is no message", flush=True)
            await say("said")
        elif verb == "die":
            await say("last ")
            print("no luck today", file=sys.stderr, flush=True)
            os._exit(7)
        elif verb == "fail":
            raise acp.RequestError(-32603, "Internal error", {"details": "no luck"})
        elif verb == "stop":
            return rest

    def log(self, line):
        with open(self.folder / "log", "a") as log:
            log.write(f"{line} {os.getpid()}\n")


if __name__ == "__main__":
    asyncio.run(acp.run_agent(Stranger(pathlib.Path(sys.argv[1]))))
