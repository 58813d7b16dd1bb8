"""A worker that speaks gRPC alone, made from proto/photon/v1/photon.proto, for tests/e2e_grpc.rs.

Usage: grpc_worker.py PROTO work ADDRESS..     works as `grpc-shout`, in the first region that takes it
       grpc_worker.py PROTO bad ADDRESS        says what is wrong, and checks what it hears
       grpc_worker.py PROTO topics ADDRESS..   publishes in one region and follows in another one

An address is HOST:PORT. What a task says is what the worker does: `ask` asks for a colour, `hold` tells
one piece and holds the task until the region is gone, `fail` fails, `lazy` goes on after another
attempt's checkpoint, and all else is shouted.
"""

import importlib
import json
from pathlib import Path
import queue
import sys
import tempfile
import threading

import grpc
from grpc_tools import protoc

BEAT_EVERY = 5
UNKNOWN_TASK = "0" * 26
PATIENCE = 30


def load(proto):
    """Makes Python of the definition, as a stranger would."""
    out = tempfile.mkdtemp()
    source = Path(proto).resolve()
    args = ["", f"-I{source.parent}", f"--python_out={out}", f"--grpc_python_out={out}", str(source)]
    assert protoc.main(args) == 0, "the definition can be compiled"
    sys.path.insert(0, out)
    return importlib.import_module("photon_pb2"), importlib.import_module("photon_pb2_grpc")


class Call:
    """One call of `Attach`: what is said is numbered, and answers are found by their number."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.outgoing, self.answers, self.told = queue.Queue(), {}, queue.Queue()
        self.last, self.lock = 0, threading.Lock()
        stub = stubs.WorkersStub(self.channel)
        self.stream = stub.Attach(iter(self.outgoing.get, None))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        try:
            for said in self.stream:
                if said.id:
                    self.answers.pop(said.id).put(said)
                else:
                    self.told.put(said)
        except grpc.RpcError as error:
            self.error = error
        else:
            self.error = None
        for answer in self.answers.values():
            answer.put(None)
        self.told.put(None)

    def say(self, **said):
        """Says something and returns what is answered; nothing if the call breaks."""
        answer = queue.Queue()
        with self.lock:
            self.last += 1
            said = pb.WorkerSaid(id=self.last, **said)
            self.answers[said.id] = answer
            self.outgoing.put(said)
        return answer.get(timeout=PATIENCE)

    def attach(self, **more):
        return self.say(attach=pb.Attach(agent="grpc-shout", skills=["grpc.shout"], **more))

    def close(self):
        self.outgoing.put(None)
        self.channel.close()


class Worker:
    def __init__(self, addresses):
        self.addresses, self.leases, self.told = addresses, {}, {}
        self.beat_soon = threading.Event()

    def work(self):
        """Works until it is ended, in one region after the other."""
        for address in self.addresses * 10:
            call = self.call = Call(address)
            holds = [pb.Held(task=it.task, token=it.token) for it in self.leases.values()]
            answer = call.attach(capacity=4, holds=holds)
            if answer is None or answer.WhichOneof("said") != "attached":
                continue
            print(f"attached to {answer.attached.region}", flush=True)
            self.beat_soon.set()
            stop = threading.Event()
            threading.Thread(target=self._beat, args=(call, stop), daemon=True).start()
            for lease in list(self.leases.values()):
                self._do(call, lease, again=True)
            while (said := call.told.get()) is not None:
                kind = said.WhichOneof("said")
                if kind == "lease":
                    self.leases[said.lease.task] = said.lease
                    self.beat_soon.set()
                    self._do(call, said.lease, again=False)
                elif kind == "lost":
                    print(f"lost {said.lost.problem.kind}", flush=True)
                    self.leases.pop(said.lost.task, None)
                else:
                    assert kind == "leaving", said
                    break
            stop.set()
            call.close()
            print("left", flush=True)

    def _beat(self, call, stop):
        """Beats at once for each lease, and then each third of the least time of all."""
        while not stop.is_set():
            times = [it.ttl_ms / 3_000 for it in list(self.leases.values())]
            self.beat_soon.wait(min(times, default=BEAT_EVERY))
            self.beat_soon.clear()
            answer = call.say(beat=pb.Beat())
            if answer is None:
                return
            assert answer.WhichOneof("said") == "beaten", answer

    def _do(self, call, lease, again):
        message = json.loads((list(lease.turns) or [lease.message])[-1])
        text = message["parts"][0]["text"]
        if text == "hold" and not again:
            self._tell(call, lease, [self._piece("HO", append=False)])
            print("holding", flush=True)
            return
        if text == "hold":
            self._tell(call, lease, [self._piece("LD")])
            return self._end(call, lease, complete=pb.Complete(task=lease.task, token=lease.token, notes=2))
        if text == "ask":
            question = pb.Pause(task=lease.task, token=lease.token, text="which colour?")
            return self._end(call, lease, pause=question)
        if text == "lazy" and not lease.checkpoints:
            done = pb.Checkpoint(key="half", value='{"at": 1}')
            self._tell(call, lease, [pb.Note(checkpoint=done), pb.Note(text="half done")])
            return self._end(call, lease, fail=pb.Fail(task=lease.task, token=lease.token, reason="too lazy"))
        if text == "lazy":
            text += " " + lease.checkpoints[0].key + lease.checkpoints[0].value
        if text == "fail":
            wrong = pb.Fail(task=lease.task, token=lease.token, reason="I can not", non_retryable=True)
            return self._end(call, lease, fail=wrong)
        parts = json.dumps([{"text": text.upper()}])
        whole = pb.Artifact(id="out", name="Shouted", parts=parts, last=True)
        self._tell(call, lease, [pb.Note(artifact=whole)])
        said = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "done"}]}
        done = pb.Complete(task=lease.task, token=lease.token, message=json.dumps(said))
        self._end(call, lease, complete=done)

    def _piece(self, text, append=True):
        return pb.Note(artifact=pb.Artifact(id="out", text=text, append=append))

    def _tell(self, call, lease, notes):
        first = self.told.get(lease.task, 0) + 1
        self.told[lease.task] = first + len(notes) - 1
        told = pb.Notes(task=lease.task, token=lease.token, first=first, notes=notes)
        self._say(call, notes=told)

    def _end(self, call, lease, **said):
        if self._say(call, **said):
            del self.leases[lease.task]
            self.told.pop(lease.task, None)

    def _say(self, call, **said):
        """Says something, and again while it cannot be answered."""
        while (answer := call.say(**said)) is not None:
            if answer.WhichOneof("said") == "standing":
                return True
            assert answer.problem.HasField("retry_after_ms"), answer
            threading.Event().wait(0.2)
        return False


def is_problem(answer, kind, field):
    assert answer.WhichOneof("said") == "problem", answer
    problem = answer.problem
    assert (problem.kind, problem.field) == (kind, field), problem
    assert problem.detail and problem.status, problem


def refused(code, call):
    try:
        value = call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        assert error.details(), error
        return
    raise AssertionError(f"{code} expected, not {value}")


def bad(address):
    """Says what is wrong, one after the other."""
    call = Call(address)
    is_problem(call.say(beat=pb.Beat()), "invalid-body", "said")
    is_problem(call.say(), "invalid-body", "said")
    is_problem(call.say(attach=pb.Attach(agent="bad")), "invalid-body", "skills")
    is_problem(call.say(attach=pb.Attach(agent="NO", skills=["a"])), "invalid-parameter", "agent")
    wrong = pb.Attach(agent="bad", skills=["a"], card="{")
    is_problem(call.say(attach=wrong), "invalid-body", "card")
    none = [pb.Held(task="x", token=1)]
    wrong = pb.Attach(agent="bad", skills=["a"], holds=none)
    is_problem(call.say(attach=wrong), "invalid-body", "holds[0].task")
    unknown = pb.Held(task=UNKNOWN_TASK, token=1)
    right = pb.Attach(agent="bad", skills=["bad.skill"], holds=[unknown])
    assert call.say(attach=right).attached.region
    is_problem(call.say(attach=right), "invalid-body", "said")
    notes = pb.Notes(task=UNKNOWN_TASK, token=1, first=0)
    is_problem(call.say(notes=notes), "invalid-body", "first")
    huge = pb.Notes(task=UNKNOWN_TASK, token=1, first=1, notes=[pb.Note(text="x" * (3 << 20))])
    is_problem(call.say(notes=huge), "too-large", "")
    beaten = call.say(beat=pb.Beat())
    assert beaten.WhichOneof("said") == "beaten" and beaten.beaten.leases == 0, beaten
    lost = call.told.get(timeout=PATIENCE).lost
    assert (lost.task, lost.token, lost.problem.kind) == (UNKNOWN_TASK, 1, "no-such-task"), lost
    of_unknown = call.say(complete=pb.Complete(task=UNKNOWN_TASK, token=1))
    is_problem(of_unknown, "no-such-task", "")
    drained = call.say(drain=pb.Drain())
    assert drained.WhichOneof("said") == "beaten", drained
    again = Call(address)
    assert again.say(attach=right).attached.region
    assert call.told.get(timeout=PATIENCE) is None, "one call attaches an agent"
    assert call.error.code() == grpc.StatusCode.ABORTED, call.error
    call = again
    call.outgoing.put(pb.WorkerSaid(beat=pb.Beat()))
    assert call.told.get(timeout=PATIENCE) is None
    assert call.error.code() == grpc.StatusCode.INVALID_ARGUMENT, call.error
    topics = stubs.TopicsStub(grpc.insecure_channel(address))
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    refused(invalid, lambda: topics.Publish(pb.PublishRequest(topic="a", data="{")))
    refused(invalid, lambda: topics.Publish(pb.PublishRequest(topic="A b", data="1")))
    refused(invalid, lambda: topics.Publish(pb.PublishRequest(topic="a", data="1", ack=7)))
    nowhere = pb.PublishRequest(topic="a", data="1", placement="nowhere")
    refused(grpc.StatusCode.FAILED_PRECONDITION, lambda: topics.Publish(nowhere))
    refused(invalid, lambda: next(topics.Follow(pb.FollowRequest(topic="a", after="x"))))
    print("ok")


def topics(here, there):
    """Publishes in one region and follows in another one."""
    stub = stubs.TopicsStub(grpc.insecure_channel(here))
    request = pb.PublishRequest(topic="news", data='{"n": 1}', key="k", id="m1", ack=pb.PublishRequest.QUORUM)
    first = stub.Publish(request)
    assert (first.id, first.position, first.repeated) == ("m1", 1, False), first
    again = stub.Publish(request)
    assert (again.position, again.cursor, again.repeated) == (1, first.cursor, True), again
    made_up = stub.Publish(pb.PublishRequest(topic="news", data="2"))
    assert made_up.id and made_up.position == 2, made_up
    follower = stubs.TopicsStub(grpc.insecure_channel(there)).Follow(pb.FollowRequest(topic="news"))
    told = [next(follower).message for _ in "ab"]
    assert [it.position for it in told] == [1, 2], told
    one = told[0]
    assert (one.id, one.key, json.loads(one.data)) == ("m1", "k", {"n": 1}) and one.at, one
    follower.cancel()
    rest = stub.Follow(pb.FollowRequest(topic="news", after=one.cursor))
    assert next(rest).message.position == 2
    rest.cancel()
    keyed = stub.Follow(pb.FollowRequest(topic="news", start=pb.FollowRequest.LAST, key="k", since="2020-01-01T00:00:00Z"))
    assert next(keyed).message.id == "m1"
    keyed.cancel()
    print("ok")


proto, mode, *addresses = sys.argv[1:]
pb, stubs = load(proto)
if mode == "work":
    Worker(addresses).work()
else:
    {"bad": bad, "topics": topics}[mode](*addresses)
