// An unmodified MCP client (`@modelcontextprotocol/client` from npm) finds agents, gives them work,
// follows and answers them, and calls work off; for tests/e2e_clients_js.rs.
//
// Usage: mcp_client.mjs REGION_URL OTHER_REGION_URL MODE
//
// MODE is that of the client: `auto` speaks the version of 2026-07-28, `legacy` that of 2025-11-25.
// The planet has the agents `shout` (text.upper), `slow` (sh.slow) and `painter` (painter.py); all
// are attached to eu-west-1, another region than these two. Each promise is a function; the first
// that is broken ends the program. Prints `ok` when all were kept.

import assert from "node:assert/strict";

import {
  Client,
  ResourceNotFoundError,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";

const [here, elsewhere, mode] = process.argv.slice(2);
const VERSIONS = { auto: "2026-07-28", legacy: "2025-11-25" };
const INVALID_PARAMS = -32602;
const AGENTS = ["painter", "shout", "slow"];
const TOOLS = [
  "answer_task",
  "cancel_task",
  "get_task",
  "list_regions",
  "search_agents",
  "send_task",
];

/** What the clients complain of without failing: nothing. */
const complaints = [];

/** Connects with a region; `sent` gets the headers of each request. */
async function connect(region, sent = []) {
  const options = { versionNegotiation: { mode } };
  const client = new Client({ name: "a stranger", version: "1.0.0" }, options);
  client.onerror = (error) => complaints.push(error);
  const spy = (url, init) => {
    sent.push(new Headers(init.headers));
    return fetch(url, init);
  };
  const transport = new StreamableHTTPClientTransport(new URL(`${region}/mcp`), { fetch: spy });
  await client.connect(transport);
  assert.equal(client.getNegotiatedProtocolVersion(), VERSIONS[mode]);
  // From here on the client checks what tools answer, and sends what belongs into headers.
  const { tools } = await client.listTools();
  return { client, transport, tools };
}

/** Calls a tool that must answer; the client has checked the answer against the tool's schema. */
async function call(client, name, args = {}) {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(!result.isError, `${name}: ${JSON.stringify(result.content)}`);
  assert.equal(result.content[0].type, "text");
  return { ...result.structuredContent, said: result.content[0].text };
}

/** Calls a tool that must refuse; what it says must have all of `texts`. */
async function refused(client, name, args, ...texts) {
  const { isError, content } = await client.callTool({ name, arguments: args });
  assert.equal(isError, true, `${name} ${JSON.stringify(args)} is refused`);
  for (const text of texts) assert.ok(content[0].text.includes(text), content[0].text);
}

/** Follows a task until it stands as is said. */
async function until(state, client, id) {
  for (;;) {
    const task = await call(client, "get_task", { id, wait_ms: 200 });
    if (task.state === state) return task;
    const isOpen = ["submitted", "working", "input_required"].includes(task.state);
    assert.ok(isOpen, JSON.stringify(task));
  }
}

/** Reads a resource that is JSON. */
async function read(client, uri) {
  const { contents } = await client.readResource({ uri });
  assert.deepEqual(contents.map((it) => [it.uri, it.mimeType]), [[uri, "application/json"]]);
  return JSON.parse(contents[0].text);
}

async function toolsSayWhatTheyAnswer(client, tools) {
  assert.deepEqual(tools.map((it) => it.name).sort(), TOOLS);
  assert.ok(tools.every((it) => it.description && it.outputSchema.type === "object"));
  const name = "list_regions";
  const tool = tools.find((it) => it.name === name);
  // That the client does check answers: one that lacks something is refused.
  const required = [...tool.outputSchema.required, "what_is_not_there"];
  const toolDefinition = { ...tool, outputSchema: { ...tool.outputSchema, required } };
  const checked = client.callTool({ name, arguments: {} }, { toolDefinition });
  await assert.rejects(checked, /what_is_not_there/);
}

async function regionsAreListed(client) {
  const { here: answers, regions } = await call(client, "list_regions");
  assert.equal(regions.length, 3);
  assert.equal(regions.find((it) => it.name === answers).api, here);
  return regions.find((it) => it.api === elsewhere).name;
}

async function agentsAreFound(client) {
  const names = async (args) => {
    const { agents } = await call(client, "search_agents", args);
    return agents.map((it) => it.name);
  };
  assert.deepEqual(await names({ skill: "text.upper" }), ["shout"]);
  assert.deepEqual(await names({ text: "SH.SLOW" }), ["slow"]);
  assert.deepEqual(await names({ skill: "no.such" }), []);
  const found = [];
  let cursor;
  do {
    const page = await call(client, "search_agents", { limit: 1, cursor });
    found.push(...page.agents.map((it) => it.name));
    cursor = page.next_cursor;
  } while (cursor !== undefined);
  assert.deepEqual(found, AGENTS);
}

async function workIsDone(client, other) {
  const work = { skill: "text.upper", text: "hello" };
  const sent = await call(client, "send_task", { ...work, options: { priority_key: 1 } });
  assert.deepEqual([sent.said, sent.state, sent.options.priority_key], ["HELLO", "completed", 1]);
  assert.equal((await until("completed", other, sent.id)).said, "HELLO");

  const begun = await call(client, "send_task", { ...work, wait_ms: 0 });
  assert.ok(["submitted", "working"].includes(begun.state), begun.state);
  assert.equal((await until("completed", client, begun.id)).said, "HELLO");
  return sent.id;
}

async function anAgentThatAsksGoesOnWithTheAnswer(client, other) {
  const { id, state } = await call(client, "send_task", { agent: "painter", text: "the wall" });
  assert.equal(state, "input_required");
  const asked = await until("input_required", other, id);
  assert.equal(asked.last_message.parts[0].text, "which colour?");
  const answer = { id, text: "red", generation: asked.generation };
  await call(other, "answer_task", answer);
  const { artifacts } = await until("completed", client, id);
  const parts = artifacts.map((it) => [it.id, it.parts.map((part) => part.text ?? part.data)]);
  assert.deepEqual(parts.slice(0, 2), [
    ["wall", ["one coat of red, ", "two coats of red"]],
    ["bill", [{ colour: "red", coats: 2 }]],
  ]);
  await refused(client, "answer_task", { ...answer, text: "blue" });
}

async function workIsCalledOffThroughAnotherRegion(client, other, made) {
  const work = { skill: "sh.slow", text: "zzz", wait_ms: 0, idempotency_key: `${made}-${mode}` };
  const { id } = await call(client, "send_task", work);
  assert.equal((await call(client, "send_task", work)).id, id, "the same key is the same task");
  await until("working", client, id);
  const ended = await call(other, "cancel_task", { id, reason: "enough" });
  assert.equal(ended.state, "canceled");
  await until("canceled", client, id);
}

async function resourcesShowTheSame(client, task) {
  const { resources } = await client.listResources();
  const uris = resources.map((it) => it.uri).sort();
  const agents = AGENTS.map((it) => `photon://agents/${it}`);
  assert.deepEqual(uris, [...agents, "photon://regions"]);
  const { resourceTemplates } = await client.listResourceTemplates();
  const templates = resourceTemplates.map((it) => it.uriTemplate).sort();
  assert.deepEqual(templates, ["photon://agents/{name}", "photon://tasks/{id}"]);
  assert.equal((await read(client, `photon://tasks/${task}`)).state, "completed");
  assert.equal((await read(client, "photon://agents/shout")).region, "eu-west-1");
  assert.equal((await read(client, "photon://regions")).regions.length, 3);
  assert.deepEqual((await client.listPrompts()).prompts, []);
}

async function whatIsWrongIsRefusedWithTheReason(client) {
  const work = { skill: "text.upper", text: "x" };
  await refused(client, "send_task", { ...work, skill: "no.such" }, "no-such-skill");
  await refused(client, "send_task", { ...work, region: "nowhere" }, "no-such-region");
  await refused(client, "send_task", { ...work, options: { prio: 1 } }, "options", "prio");
  await refused(client, "send_task", { text: "x" }, "`skill`");
  await refused(client, "get_task", { id: "nothing" }, "task id");
  const unknown = { name: "no_such_tool", arguments: {} };
  await assert.rejects(client.callTool(unknown), { code: INVALID_PARAMS, message: /no_such_tool/ });
  const nobody = client.readResource({ uri: "photon://agents/nobody" });
  await assert.rejects(nobody, ResourceNotFoundError);
}

/** A client of 2026-07-28 tells proxies in headers for which region a call is. */
async function headersSayForWhichRegionACallIs(client, sent, other, otherName) {
  const work = { skill: "text.upper", text: "near" };
  const { home } = await call(other, "send_task", { ...work, region: otherName });
  assert.equal(home, otherName);
  await refused(client, "send_task", { ...work, region: otherName }, elsewhere);
  const headers = sent.at(-1);
  const isModern = mode === "auto";
  assert.equal(headers.get("mcp-protocol-version"), VERSIONS[mode]);
  assert.equal(headers.get("mcp-method"), isModern ? "tools/call" : null);
  assert.equal(headers.get("mcp-name"), isModern ? "send_task" : null);
  assert.equal(headers.get("mcp-param-region"), isModern ? otherName : null);
}

const sent = [];
const { client, transport, tools } = await connect(here, sent);
const { client: other } = await connect(elsewhere);
await toolsSayWhatTheyAnswer(client, tools);
const otherName = await regionsAreListed(client);
await agentsAreFound(client);
const made = await workIsDone(client, other);
await anAgentThatAsksGoesOnWithTheAnswer(client, other);
await workIsCalledOffThroughAnotherRegion(client, other, made);
await resourcesShowTheSame(client, made);
await whatIsWrongIsRefusedWithTheReason(client);
await headersSayForWhichRegionACallIs(client, sent, other, otherName);
assert.equal(transport.sessionId !== undefined, mode === "legacy", "only 2025-11-25 has sessions");
await transport.terminateSession();
await Promise.all([client.close(), other.close()]);
assert.deepEqual(complaints, []);
console.log("ok");
