// An unmodified A2A client (`@a2a-js/sdk` from npm), as a stranger would write it, for
// tests/e2e_clients_js.rs.
//
// Usage: a2a_client.mjs REGION_URL OTHER_REGION_URL JSONRPC|HTTP+JSON|GRPC
//
// The planet has the agents `shout` (text.upper), `slow` (sh.slow) and `painter` (painter.py); all
// are attached to eu-west-1, another region than these two. Each promise is a function; the first
// that is broken ends the program. Prints `ok` when all were kept.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import {
  CancelTaskRequest,
  DeleteTaskPushNotificationConfigRequest,
  GetTaskPushNotificationConfigRequest,
  GetTaskRequest,
  ListTaskPushNotificationConfigsRequest,
  ListTasksRequest,
  SendMessageRequest,
  StreamResponse,
  SubscribeToTaskRequest,
  TaskPushNotificationConfig,
  TaskState,
} from "@a2a-js/sdk";
import { Client, ClientFactory, ClientFactoryOptions } from "@a2a-js/sdk/client";
import { GrpcTransportFactory } from "@a2a-js/sdk/client/grpc";
import { LegacyJsonRpcTransport } from "@a2a-js/sdk/compat/v0_3/client";
import {
  RequestMalformedError,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
} from "@a2a-js/sdk/errors";

const [here, elsewhere, binding] = process.argv.slice(2);
const BINDINGS = ["GRPC", "HTTP+JSON", "JSONRPC"];
const UNKNOWN_TASK = "00000000000000000000000000";
const PICTURE = Buffer.from(Array.from({ length: 256 }, (_, at) => at));

/** Makes a request to say `text`, or other `parts`. */
function message(text, more = {}, configuration = undefined) {
  const said = { messageId: randomUUID(), role: "ROLE_USER", parts: [{ text }], ...more };
  return SendMessageRequest.fromJSON({ message: said, configuration });
}

/** Makes a client from the card at `address` of a region, as the factory of the kit does it. */
async function client(address, region = here) {
  const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [new GrpcTransportFactory()],
    preferredTransports: [binding],
  });
  const made = await new ClientFactory(options).createFromUrl(region + address);
  assert.equal(made.transport.protocolName, binding);
  assert.equal(made.protocolVersion, "1.0");
  return made;
}

function isState(task, state) {
  assert.equal(TaskState[task.status.state], `TASK_STATE_${state}`, JSON.stringify(task));
}

function textOf(artifact) {
  return artifact.parts.map((it) => (it.content.$case === "text" ? it.content.value : "")).join("");
}

/** Returns all answers of a stream. */
async function all(stream) {
  const answers = [];
  for await (const answer of stream) answers.push(answer.payload);
  return answers;
}

function isOpen(task) {
  return [TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING].includes(task.status.state);
}

/** Asks for a task until it has ended: a region may hear of that a moment later than another. */
async function ended(client, id) {
  for (;;) {
    const task = await client.getTask(GetTaskRequest.fromJSON({ id }));
    if (!isOpen(task)) return task;
    await sleep(50);
  }
}

/** Puts the artifacts of a stream together, as a client that shows them has to. */
function artifactsOf(answers) {
  const artifacts = new Map();
  for (const { $case, value } of answers) {
    if ($case !== "artifactUpdate") continue;
    const { artifact, append } = value;
    const before = append ? artifacts.get(artifact.artifactId).parts : [];
    artifacts.set(artifact.artifactId, { ...artifact, parts: [...before, ...artifact.parts] });
  }
  return artifacts;
}

/** Awaits, and expects an error of the protocol that says what is wrong. */
async function raises(kind, promise) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof kind, `${kind.name} expected, not ${error}`);
    assert.notEqual(error.message, "");
    return true;
  });
}

/** A webhook on this machine, which answers the first news with 503, as if it was busy. */
async function webhook() {
  const told = [];
  let [isBusy, hear] = [true, () => undefined];
  const server = createServer(async (request, response) => {
    const body = await request.toArray();
    response.writeHead(isBusy ? 503 : 200).end();
    if (!isBusy) {
      told.push([request.headers, StreamResponse.fromJSON(JSON.parse(Buffer.concat(body)))]);
      hear();
    }
    isBusy = false;
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const next = async () => {
    while (told.length === 0) await new Promise((resolve) => (hear = resolve));
    return told.shift();
  };
  const close = () => server.close().closeAllConnections();
  return { url: `http://127.0.0.1:${server.address().port}/hook`, next, close };
}

async function cardsNameAddressesOfTheirRegion() {
  for (const region of [here, elsewhere]) {
    const card = await (await client("/agents/shout/", region)).getAgentCard();
    assert.equal(card.name, "shout");
    assert.deepEqual(card.skills.map((it) => it.id), ["text.upper"]);
    assert.ok(card.capabilities.streaming && card.capabilities.pushNotifications);
    const [old, ...others] = [...card.supportedInterfaces].reverse();
    assert.deepEqual([old.protocolBinding, old.protocolVersion], ["JSONRPC", "0.3"]);
    const interfaces = others.reverse();
    assert.deepEqual(interfaces.map((it) => it.protocolBinding).sort(), BINDINGS);
    for (const it of interfaces) {
      const base = it.protocolBinding === "GRPC" ? region.replace("http://", "") : region;
      assert.ok(it.url.startsWith(base), it.url);
      assert.equal(it.protocolVersion, "1.0");
    }
  }
  const card = await (await client("/")).getAgentCard();
  const skills = card.skills.map((it) => it.id);
  for (const skill of ["text.upper", "sh.slow", "wall.paint"]) assert.ok(skills.includes(skill));
}

async function aMessageIsAnsweredWithTheFinishedTask() {
  const shout = await client("/agents/shout/");
  const task = await shout.sendMessage(message("hello"));
  isState(task, "COMPLETED");
  assert.deepEqual(task.artifacts.map(textOf), ["HELLO"]);
  assert.equal(task.metadata.photon.region, "eu-west-1");
  assert.equal(task.metadata.photon.home, "ap-southeast-1");
  // What is no text comes through as it is, too: `tr` leaves these bytes alone.
  const raw = Buffer.from([0xff, 0xfe, 0x00]);
  const parts = [{ raw: raw.toString("base64"), mediaType: "application/octet-stream" }];
  const { artifacts } = await shout.sendMessage(message("", { parts }));
  assert.deepEqual(artifacts.flatMap((it) => it.parts).map((it) => it.content.$case), ["raw"]);
  assert.ok(raw.equals(artifacts[0].parts[0].content.value), JSON.stringify(artifacts));
}

async function aStreamTellsOfEachStep() {
  const shout = await client("/agents/shout/");
  const answers = await all(shout.sendMessageStream(message("streamed")));
  const kinds = answers.map((it) => it.$case);
  assert.deepEqual([kinds[0], kinds.at(-1)], ["task", "statusUpdate"]);
  assert.deepEqual([...artifactsOf(answers).values()].map(textOf), ["STREAMED"]);
  isState(answers.at(-1).value, "COMPLETED");
  return answers[0].value;
}

async function theTaskCanBeReadAndListedInEveryRegion({ id, contextId }) {
  for (const region of [here, elsewhere]) {
    const shout = await client("/agents/shout/", region);
    const task = await ended(shout, id);
    isState(task, "COMPLETED");
    assert.equal(textOf(task.artifacts[0]), "STREAMED");
    assert.equal(textOf(task.history[0]), "streamed");
    const brief = await shout.getTask(GetTaskRequest.fromJSON({ id, historyLength: 0 }));
    assert.equal(brief.history.length, 0);
  }
  const shout = await client("/agents/shout/");
  const listed = await shout.listTasks(ListTasksRequest.fromJSON({ contextId }));
  assert.deepEqual(listed.tasks.map((it) => it.id), [id]);
  const page = await shout.listTasks(ListTasksRequest.fromJSON({ pageSize: 1 }));
  assert.equal(page.tasks.length, 1);
  const pageToken = page.nextPageToken;
  const rest = await shout.listTasks(ListTasksRequest.fromJSON({ pageSize: 1, pageToken }));
  assert.equal(rest.tasks.length, 1);
  assert.notEqual(rest.tasks[0].id, page.tasks[0].id);
  const status = "TASK_STATE_FAILED";
  const failed = await shout.listTasks(ListTasksRequest.fromJSON({ contextId, status }));
  assert.deepEqual(failed.tasks, []);
}

async function anAgentThatAsksGoesOnWithTheAnswer() {
  const painter = await client("/agents/painter/");
  const asked = await all(painter.sendMessageStream(message("the wall")));
  const { taskId, contextId, status } = asked.at(-1).value;
  isState({ status }, "INPUT_REQUIRED");
  assert.equal(textOf(status.message), "which colour?");

  // The answer comes through another region; who waits in this one sees what becomes of it.
  const follower = painter.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id: taskId }));
  const first = (await follower.next()).value.payload;
  assert.deepEqual([first.$case, first.value.id], ["task", taskId]);
  const other = await client("/agents/painter/", elsewhere);
  const answer = message("red", { taskId, contextId });
  const answers = await all(other.sendMessageStream(answer));
  const seen = await all(follower);
  for (const stream of [answers, seen]) {
    isState(stream.at(-1).value, "COMPLETED");
    assert.equal(textOf(stream.at(-1).value.status.message), "painted");
    const artifacts = artifactsOf(stream);
    assert.deepEqual([...artifacts.keys()], ["wall", "bill", "picture"]);
    const wall = artifacts.get("wall");
    assert.equal(textOf(wall), "one coat of red, two coats of red");
    const [bill] = artifacts.get("bill").parts;
    assert.deepEqual(bill.content, { $case: "data", value: { colour: "red", coats: 2 } });
    const [picture] = artifacts.get("picture").parts;
    assert.deepEqual([picture.filename, picture.mediaType], ["wall.png", "image/png"]);
    assert.ok(PICTURE.equals(picture.content.value));
  }
  const task = await painter.getTask(GetTaskRequest.fromJSON({ id: taskId }));
  assert.deepEqual(task.history.map(textOf), ["the wall", "which colour?", "red"]);
  assert.deepEqual(task.artifacts.map((it) => it.artifactId), ["wall", "bill", "picture"]);
  await raises(UnsupportedOperationError, painter.sendMessage(message("blue", { taskId })));
}

async function aTaskThatRunsCanBeFollowedAndCanceled() {
  const slow = await client("/agents/slow/");
  const task = await slow.sendMessage(message("never mind", {}, { returnImmediately: true }));
  assert.ok(isOpen(task), JSON.stringify(task));
  const request = { id: task.id };
  const follower = slow.resubscribeTask(SubscribeToTaskRequest.fromJSON(request));
  const first = (await follower.next()).value.payload;
  assert.deepEqual([first.$case, first.value.id], ["task", task.id]);
  const other = await client("/agents/slow/", elsewhere);
  isState(await other.cancelTask(CancelTaskRequest.fromJSON(request)), "CANCELED");
  isState((await all(follower)).at(-1).value, "CANCELED");
  isState(await slow.getTask(GetTaskRequest.fromJSON(request)), "CANCELED");
  const again = all(slow.resubscribeTask(SubscribeToTaskRequest.fromJSON(request)));
  await raises(UnsupportedOperationError, again);
}

async function whatIsWrongIsAnErrorOfTheProtocol({ id }) {
  const shout = await client("/agents/shout/");
  await raises(TaskNotCancelableError, shout.cancelTask(CancelTaskRequest.fromJSON({ id })));
  const unknown = { id: UNKNOWN_TASK };
  await raises(TaskNotFoundError, shout.getTask(GetTaskRequest.fromJSON(unknown)));
  await raises(TaskNotFoundError, shout.cancelTask(CancelTaskRequest.fromJSON(unknown)));
  const nothing = shout.resubscribeTask(SubscribeToTaskRequest.fromJSON(unknown));
  await raises(TaskNotFoundError, all(nothing));
  await raises(TaskNotFoundError, shout.sendMessage(message("x", { taskId: UNKNOWN_TASK })));
  await raises(RequestMalformedError, shout.sendMessage(message("", { parts: [] })));
  await raises(RequestMalformedError, all(shout.sendMessageStream(message("", { parts: [] }))));
  // Another agent's task is not to be seen here.
  const slow = await client("/agents/slow/");
  await raises(TaskNotFoundError, slow.getTask(GetTaskRequest.fromJSON({ id })));
}

async function theRouterFindsAnAgentByItsSkill() {
  const router = await client("/");
  const metadata = { skill: "text.upper" };
  const answers = await all(router.sendMessageStream(message("routed", { metadata })));
  isState(answers.at(-1).value, "COMPLETED");
  await raises(RequestMalformedError, router.sendMessage(message("to whom?")));
  const unknown = message("x", { metadata: { skill: "no.such.skill" } });
  await raises(RequestMalformedError, router.sendMessage(unknown));
}

async function aRepeatedMessageMakesOneTask() {
  const request = message("once");
  const options = { serviceParameters: { "Idempotency-Key": randomUUID() } };
  const shout = await client("/agents/shout/");
  const first = await shout.sendMessage(request, options);
  const again = await shout.sendMessage(request, options);
  assert.equal(first.id, again.id);
}

async function aWebhookIsToldWhatBecomesOfATask() {
  const hook = await webhook();
  const shout = await client("/agents/shout/");
  const authentication = { scheme: "Bearer", credentials: "mine" };
  const push = { id: "w", url: hook.url, token: "yours", authentication };
  const configuration = { returnImmediately: true, taskPushNotificationConfig: push };
  const task = await shout.sendMessage(message("pushed", {}, configuration));
  const heard = [];
  let state;
  while (state !== TaskState.TASK_STATE_COMPLETED) {
    const [headers, { payload }] = await hook.next();
    assert.equal(headers.authorization, "Bearer mine");
    assert.equal(headers["x-a2a-notification-token"], "yours");
    assert.equal(payload.value.taskId, task.id);
    heard.push(payload);
    state = payload.value.status?.state;
  }
  assert.deepEqual([...artifactsOf(heard).values()].map(textOf), ["PUSHED"]);

  const taskId = task.id;
  const other = await shout.createTaskPushNotificationConfig(
    TaskPushNotificationConfig.fromJSON({ taskId, url: "https://example.com/hook" }),
  );
  const list = ListTaskPushNotificationConfigsRequest.fromJSON({ taskId });
  const listed = await shout.listTaskPushNotificationConfig(list);
  assert.deepEqual(new Set(listed.configs.map((it) => it.id)), new Set(["w", other.id]));
  const get = GetTaskPushNotificationConfigRequest.fromJSON({ taskId, id: "w" });
  const found = await shout.getTaskPushNotificationConfig(get);
  assert.equal(found.url, hook.url);
  assert.ok(!found.authentication?.credentials, "credentials are shown to nobody");
  const remove = DeleteTaskPushNotificationConfigRequest.fromJSON({ taskId, id: "w" });
  await shout.deleteTaskPushNotificationConfig(remove);
  await raises(TaskNotFoundError, shout.getTaskPushNotificationConfig(get));
  const bad = TaskPushNotificationConfig.fromJSON({ taskId, url: "ftp://example.com" });
  await raises(RequestMalformedError, shout.createTaskPushNotificationConfig(bad));
  hook.close();
}

async function aClientOf03IsUnderstood() {
  const card = await (await client("/agents/shout/")).getAgentCard();
  const shout = new Client(new LegacyJsonRpcTransport({ endpoint: `${here}/agents/shout` }), card);
  const task = await shout.sendMessage(message("old"));
  isState(task, "COMPLETED");
  assert.deepEqual(task.artifacts.map(textOf), ["OLD"]);
  assert.equal((await shout.getTask(GetTaskRequest.fromJSON({ id: task.id }))).id, task.id);
  const answers = await all(shout.sendMessageStream(message("older")));
  isState(answers.at(-1).value, "COMPLETED");
  assert.deepEqual([...artifactsOf(answers).values()].map(textOf), ["OLDER"]);
  const unknown = GetTaskRequest.fromJSON({ id: UNKNOWN_TASK });
  await raises(TaskNotFoundError, shout.getTask(unknown));
}

await cardsNameAddressesOfTheirRegion();
await aMessageIsAnsweredWithTheFinishedTask();
const made = await aStreamTellsOfEachStep();
await theTaskCanBeReadAndListedInEveryRegion(made);
await anAgentThatAsksGoesOnWithTheAnswer();
await aTaskThatRunsCanBeFollowedAndCanceled();
await whatIsWrongIsAnErrorOfTheProtocol(made);
await theRouterFindsAnAgentByItsSkill();
await aRepeatedMessageMakesOneTask();
await aWebhookIsToldWhatBecomesOfATask();
if (binding === "JSONRPC") await aClientOf03IsUnderstood();
console.log("ok");
