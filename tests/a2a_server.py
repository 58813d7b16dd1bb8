"""An A2A server of a stranger, made with the A2A SDK for Python: what `photon agent import` imports.

Usage: a2a_server.py FOLDER [jsonrpc|rest] [plain]

It prints its address once it listens. It does what the first word of a message asks for, writes a
line to FOLDER/log for each piece of work that it begins, and waits for the file FOLDER/go where it
is told to wait. Messages of the A2A Technology Compatibility Kit it answers as the kit expects.
With `plain` it neither streams nor tells of its work as it goes on.
"""

import asyncio
import pathlib
import socket
import sys

from a2a.helpers import get_message_text, new_text_message, new_task
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Part,
    TaskState,
)
from google.protobuf.json_format import ParseDict
from starlette.applications import Starlette
import uvicorn

import tck_agent

TEXT_MODES = tck_agent.TEXT_MODES


def parts(*all_parts):
    return [ParseDict(part, Part()) for part in all_parts]


class Executor(AgentExecutor):
    """Does what it is asked."""

    def __init__(self, folder):
        self.folder = folder

    async def execute(self, context, queue):
        asked = context.message.message_id
        text = get_message_text(context.message) or ""
        verb, _, rest = text.partition(" ")
        with open(self.folder / "log", "a") as log:
            log.write(f"{verb} {asked}\n")
        if verb == "message" or asked.startswith("tck-message-response"):
            said = "Direct message response" if asked.startswith("tck") else rest
            await queue.enqueue_event(new_text_message(said, context_id=context.context_id))
            return
        if not context.current_task:
            task = new_task(context.task_id, context.context_id, TaskState.TASK_STATE_SUBMITTED)
            task.history.append(context.message)
            await queue.enqueue_event(task)
        updater = TaskUpdater(queue, context.task_id, context.context_id)
        if asked.startswith(("tck-", "test-resubscribe")):
            await self.tck(asked, context, updater)
        elif context.current_task and context.current_task.status.state in (
            TaskState.TASK_STATE_INPUT_REQUIRED,
            TaskState.TASK_STATE_AUTH_REQUIRED,
        ):
            await updater.start_work()
            await updater.add_artifact(parts({"text": f"you said {text}"}), artifact_id="answer")
            await updater.complete()
        else:
            await self.do(verb, rest, updater)

    async def do(self, verb, rest, updater):
        said = lambda text: updater.new_agent_message(parts({"text": text}))
        await updater.start_work()
        if verb == "ask":
            await updater.requires_input(said("which colour?"))
        elif verb == "fail":
            await updater.failed(said("no luck"))
        elif verb == "reject":
            await updater.reject(said("not mine"))
        elif verb == "wait":
            await updater.add_artifact(parts({"text": "one "}), artifact_id="out")
            while not (self.folder / "go").exists():
                await asyncio.sleep(0.05)
            for word in ("two ", "three"):
                more = {"append": True, "last_chunk": word == "three"}
                await updater.add_artifact(parts({"text": word}), artifact_id="out", **more)
            await updater.complete(said("done"))
        else:
            await updater.update_status(TaskState.TASK_STATE_WORKING, said("at it"))
            await updater.add_artifact(parts({"text": rest.upper()}), artifact_id="out")
            await updater.complete()

    async def tck(self, asked, context, updater):
        """Does what the scenarios of the kit have after the prefix of a message's name."""
        said = lambda text: updater.new_agent_message(parts({"text": text}))
        await updater.start_work()
        if asked.startswith("tck-reject-task"):
            await updater.reject(said("rejected"))
            return
        if asked.startswith("tck-input-required"):
            await updater.requires_input(said("What next?"))
            return
        if asked.startswith("test-resubscribe-message-id"):
            await asyncio.sleep(tck_agent.STREAMING_SECONDS)
        elif asked.startswith("tck-stream-artifact-chunked"):
            await updater.add_artifact(parts({"text": "chunk-1 "}), artifact_id="output")
            await updater.add_artifact(
                parts({"text": "chunk-2"}), artifact_id="output", append=True, last_chunk=True
            )
        else:
            fitting = (made for prefix, made in tck_agent.ARTIFACTS if asked.startswith(prefix))
            for part in next(fitting, []):
                await updater.add_artifact(parts(part), artifact_id="output", last_chunk=True)
        await updater.complete(said("Hello from TCK"))

    async def cancel(self, context, queue):
        with open(self.folder / "log", "a") as log:
            log.write(f"cancel {context.task_id}\n")
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


def main(folder, binding="jsonrpc", manner="streaming"):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    name = {"jsonrpc": "JSONRPC", "rest": "HTTP+JSON"}[binding]
    skill = AgentSkill(id="stranger.work", name="Work", description="Works", tags=["work"])
    card = AgentCard(
        name="A Stranger (v2)",
        description="Does what the first word of a message asks for",
        version="2.0.0",
        supported_interfaces=[
            AgentInterface(url=f"{base}/a2a", protocol_binding=name, protocol_version="1.0")
        ],
        capabilities=AgentCapabilities(streaming=manner == "streaming"),
        default_input_modes=TEXT_MODES,
        default_output_modes=TEXT_MODES,
        skills=[skill],
    )
    handler = DefaultRequestHandler(Executor(pathlib.Path(folder)), InMemoryTaskStore(), card)
    routes = create_agent_card_routes(card)
    if binding == "rest":
        routes += create_rest_routes(handler, path_prefix="/a2a")
    else:
        routes += create_jsonrpc_routes(handler, rpc_url="/a2a")
    config = uvicorn.Config(Starlette(routes=routes), log_level="warning")
    print(f"ready {base}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
