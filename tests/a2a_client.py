"""An unmodified A2A client, as a stranger would write it, for tests/e2e_a2a.rs.

Usage: a2a_client.py BASE_URL jsonrpc|rest|grpc

The planet has the agents `shout` (text.upper) and `slow` (sh.slow), attached to another region than
that of BASE_URL. Each promise is a function; the first that is broken ends the program.
"""

import asyncio
from http.server import BaseHTTPRequestHandler, HTTPServer
import queue
import sys
import threading

from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import ClientCallContext
from a2a.compat.v0_3.jsonrpc_transport import CompatJsonRpcTransport
from a2a.helpers import get_text_parts, new_text_message
from a2a.types.a2a_pb2 import (
    AuthenticationInfo,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.constants import TransportProtocol
from a2a.utils.errors import InvalidParamsError, TaskNotCancelableError, TaskNotFoundError
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from google.protobuf.json_format import Parse
import grpc
import httpx
from jwt import PyJWK

BINDINGS = {
    "jsonrpc": TransportProtocol.JSONRPC,
    "rest": TransportProtocol.HTTP_JSON,
    "grpc": TransportProtocol.GRPC,
}
UNKNOWN_TASK = "00000000000000000000000000"
PATIENCE = httpx.Timeout(30.0)


def message(text, context_id=None, metadata=None):
    """Makes a request to say `text`."""
    said = new_text_message(text, context_id=context_id, role=Role.ROLE_USER)
    if metadata:
        said.metadata.update(metadata)
    return SendMessageRequest(message=said)


def is_state(task, state):
    found = TaskState.Name(task.status.state)
    assert found == f"TASK_STATE_{state}", f"{found}, not {state}: {task}"


def text_of(artifact):
    """Joins what came in pieces."""
    return "".join(get_text_parts(artifact.parts))


async def raises(expected, awaitable):
    """Awaits, and expects an error of the protocol."""
    try:
        value = await awaitable
    except expected as error:
        assert str(error), "an error says what is wrong"
        return
    raise AssertionError(f"{expected.__name__} expected, not {value}")


async def last(stream):
    """Returns the last answer of a stream."""
    answer = None
    async for answer in stream:
        pass
    return answer


class Webhook:
    """A webhook on this machine, which answers the first news with 503, as if it was busy."""

    def __init__(self):
        self.told = queue.Queue()
        busy = ["once"]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers["content-length"]))
                if busy:
                    busy.clear()
                    handler.send_response(503)
                else:
                    handler.send_response(200)
                    self.told.put((handler.headers, body))
                handler.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    async def next(self):
        """Returns the headers and the update of what it is told next."""
        headers, body = await asyncio.to_thread(self.told.get, timeout=30)
        return headers, Parse(body, StreamResponse())


class Story:
    """What a client may count on, over one binding."""

    def __init__(self, http, base, binding):
        self.http, self.base, self.binding = http, base, binding

    async def client(self, address, streaming):
        """Makes a client from the card at `address`, as the factory of the kit does it."""
        config = ClientConfig(
            streaming=streaming,
            httpx_client=self.http,
            supported_protocol_bindings=[self.binding],
            use_client_preference=True,
            grpc_channel_factory=grpc.aio.insecure_channel,
        )
        return await ClientFactory(config).create_from_url(self.base + address)

    async def cards_name_addresses_of_this_region(self):
        for address, name in [("/agents/shout", "shout"), ("", None)]:
            card = await A2ACardResolver(self.http, self.base + address).get_agent_card()
            assert name is None or card.name == name, card
            assert any(it.id == "text.upper" for it in card.skills), card
            assert card.capabilities.streaming, card
            *interfaces, old = card.supported_interfaces
            bindings = [it.protocol_binding for it in interfaces]
            assert bindings == ["JSONRPC", "HTTP+JSON", "GRPC"], card
            assert (old.protocol_binding, old.protocol_version) == ("JSONRPC", "0.3"), card
            for interface in interfaces:
                host = interface.protocol_binding == "GRPC"
                base = self.base.removeprefix("http://") if host else self.base
                assert interface.url.startswith(base), card
                assert interface.protocol_version == "1.0", card

    async def cards_are_signed(self):
        keys = {}
        async with httpx.AsyncClient(trust_env=False) as http:
            found = await http.get(self.base + "/.well-known/jwks.json")
            keys = {it["kid"]: PyJWK(it) for it in found.json()["keys"]}

        def key(kid, jku):
            assert jku == self.base + "/.well-known/jwks.json", jku
            return keys[kid]

        verify = create_signature_verifier(key, ["ES256"])
        for address in ["/agents/shout", "/agents/slow", ""]:
            card = await A2ACardResolver(self.http, self.base + address).get_agent_card()
            verify(card)
            card.description += "!"
            await raises(InvalidSignaturesError, asyncio.to_thread(verify, card))

    async def a_message_is_answered_with_the_finished_task(self):
        client = await self.client("/agents/shout", streaming=False)
        task = (await last(client.send_message(message("hello")))).task
        is_state(task, "COMPLETED")
        assert [text_of(it) for it in task.artifacts] == ["HELLO"], task
        assert task.metadata["photon"]["region"] == "eu-west-1", task
        assert task.metadata["photon"]["home"] == "ap-southeast-1", task

    async def a_stream_tells_of_each_step(self):
        client = await self.client("/agents/shout", streaming=True)
        answers = [it async for it in client.send_message(message("streamed"))]
        kinds = [it.WhichOneof("payload") for it in answers]
        assert kinds[0] == "task", kinds
        text = "".join(
            text_of(it.artifact_update.artifact)
            for it in answers
            if it.HasField("artifact_update")
        )
        assert text == "STREAMED", answers
        assert kinds[-1] == "status_update", kinds
        is_state(answers[-1].status_update, "COMPLETED")
        return answers[0].task

    async def the_task_can_be_read_and_listed(self, made):
        client = await self.client("/agents/shout", streaming=True)
        task = await client.get_task(GetTaskRequest(id=made.id))
        is_state(task, "COMPLETED")
        assert text_of(task.artifacts[0]) == "STREAMED", task
        assert task.history[0].parts[0].text == "streamed", task
        listed = await client.list_tasks(ListTasksRequest(context_id=made.context_id))
        assert [it.id for it in listed.tasks] == [made.id], listed
        page = await client.list_tasks(ListTasksRequest(page_size=1))
        assert len(page.tasks) == 1 and page.next_page_token, page
        rest = ListTasksRequest(page_size=1, page_token=page.next_page_token)
        rest = await client.list_tasks(rest)
        assert len(rest.tasks) == 1 and rest.tasks[0].id != page.tasks[0].id, rest

    async def a_task_that_runs_can_be_followed_and_canceled(self):
        client = await self.client("/agents/slow", streaming=False)
        request = message("never mind")
        request.configuration.CopyFrom(SendMessageConfiguration(return_immediately=True))
        task = (await last(client.send_message(request))).task
        assert task.status.state in (
            TaskState.TASK_STATE_SUBMITTED,
            TaskState.TASK_STATE_WORKING,
        ), task
        follower = await self.client("/agents/slow", streaming=True)
        stream = follower.subscribe(SubscribeToTaskRequest(id=task.id))
        first = await anext(stream)
        assert first.WhichOneof("payload") == "task" and first.task.id == task.id, first
        canceled = await client.cancel_task(CancelTaskRequest(id=task.id))
        is_state(canceled, "CANCELED")
        end = await last(stream)
        is_state(end.status_update, "CANCELED")
        again = await client.cancel_task(CancelTaskRequest(id=task.id))
        is_state(again, "CANCELED")

    async def a_task_that_has_ended_cannot_be_canceled(self, made):
        client = await self.client("/agents/shout", streaming=False)
        await raises(TaskNotCancelableError, client.cancel_task(CancelTaskRequest(id=made.id)))

    async def what_is_not_there_is_an_error_of_the_protocol(self):
        client = await self.client("/agents/shout", streaming=True)
        await raises(TaskNotFoundError, client.get_task(GetTaskRequest(id=UNKNOWN_TASK)))
        await raises(TaskNotFoundError, client.cancel_task(CancelTaskRequest(id=UNKNOWN_TASK)))
        nothing = SendMessageRequest()
        nothing.message.CopyFrom(new_text_message("x", role=Role.ROLE_USER))
        del nothing.message.parts[:]
        await raises(InvalidParamsError, last(client.send_message(nothing)))

    async def the_router_finds_an_agent_by_its_skill(self):
        client = await self.client("", streaming=True)
        asked = message("routed", metadata={"skill": "text.upper"})
        answers = [it async for it in client.send_message(asked)]
        is_state(answers[-1].status_update, "COMPLETED")
        await raises(InvalidParamsError, last(client.send_message(message("to whom?"))))
        unknown = message("x", metadata={"skill": "no.such.skill"})
        await raises(InvalidParamsError, last(client.send_message(unknown)))

    async def a_webhook_is_told_what_becomes_of_a_task(self):
        webhook = Webhook()
        client = await self.client("/agents/shout", streaming=False)
        request = message("pushed")
        credentials = AuthenticationInfo(scheme="Bearer", credentials="mine")
        push = TaskPushNotificationConfig(url=webhook.url, id="w", authentication=credentials)
        request.configuration.CopyFrom(
            SendMessageConfiguration(return_immediately=True, task_push_notification_config=push)
        )
        task = (await last(client.send_message(request))).task
        text, state = "", None
        while state != TaskState.TASK_STATE_COMPLETED:
            headers, said = await webhook.next()
            assert headers["authorization"] == "Bearer mine", headers
            update = getattr(said, said.WhichOneof("payload"))
            assert update.task_id == task.id, said
            if said.HasField("artifact_update"):
                text += text_of(update.artifact)
            else:
                state = update.status.state
        assert text == "PUSHED", text

        of_task = {"task_id": task.id}
        other = TaskPushNotificationConfig(url="https://example.com/hook", **of_task)
        other = await client.create_task_push_notification_config(other)
        listed = await client.list_task_push_notification_configs(
            ListTaskPushNotificationConfigsRequest(**of_task)
        )
        assert {it.id for it in listed.configs} == {"w", other.id}, listed
        get = GetTaskPushNotificationConfigRequest(id="w", **of_task)
        found = await client.get_task_push_notification_config(get)
        assert found.url == webhook.url and not found.authentication.credentials, found
        delete = DeleteTaskPushNotificationConfigRequest(id="w", **of_task)
        await client.delete_task_push_notification_config(delete)
        await client.delete_task_push_notification_config(delete)
        await raises(TaskNotFoundError, client.get_task_push_notification_config(get))
        bad = TaskPushNotificationConfig(url="ftp://example.com", **of_task)
        await raises(InvalidParamsError, client.create_task_push_notification_config(bad))

    async def a_client_of_0_3_is_understood(self):
        client = CompatJsonRpcTransport(self.http, None, self.base + "/agents/shout")
        task = (await client.send_message(message("old"))).task
        is_state(task, "COMPLETED")
        assert [text_of(it) for it in task.artifacts] == ["OLD"], task
        assert (await client.get_task(GetTaskRequest(id=task.id))).id == task.id
        answers = [it async for it in client.send_message_streaming(message("older"))]
        is_state(answers[-1].status_update, "COMPLETED")
        await raises(TaskNotFoundError, client.get_task(GetTaskRequest(id=UNKNOWN_TASK)))

    async def a_repeated_message_makes_one_task(self):
        client = await self.client("/agents/shout", streaming=False)
        key = f"key-{self.binding}"
        context = ClientCallContext(service_parameters={"Idempotency-Key": key})
        request = message("once")
        tasks = [(await last(client.send_message(request, context=context))).task for _ in "ab"]
        assert tasks[0].id == tasks[1].id, tasks

    async def tell(self):
        await self.cards_name_addresses_of_this_region()
        await self.cards_are_signed()
        await self.a_message_is_answered_with_the_finished_task()
        made = await self.a_stream_tells_of_each_step()
        await self.the_task_can_be_read_and_listed(made)
        await self.a_task_that_runs_can_be_followed_and_canceled()
        await self.a_task_that_has_ended_cannot_be_canceled(made)
        await self.what_is_not_there_is_an_error_of_the_protocol()
        await self.the_router_finds_an_agent_by_its_skill()
        await self.a_repeated_message_makes_one_task()
        await self.a_webhook_is_told_what_becomes_of_a_task()
        if self.binding == TransportProtocol.JSONRPC:
            await self.a_client_of_0_3_is_understood()


async def main(base, binding):
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
        await Story(http, base, BINDINGS[binding]).tell()
    print(f"all promises are kept over {binding}")


asyncio.run(main(*sys.argv[1:]))
