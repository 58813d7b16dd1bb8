/** What a client asks counts once, whatever becomes of the answers and of regions. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";

import { Client, ProblemError, resultText } from "../src/index.js";
import type { TopicMessage } from "../src/index.js";
import { Backoff } from "../src/time.js";

type Body = Record<string, unknown>;

/** One request. */
interface Seen {
  region: string;
  method: string;
  url: URL;
  key: string | undefined;
  token: string | undefined;
  body: Body;
}

/** What is answered; nothing: the connection breaks. */
type Answer = { status?: number; json: object } | undefined;

/** Regions that answer as a test says. */
async function regions(
  t: TestContext,
  names: string[],
  answer: (seen: Seen, number: number) => Answer | Promise<Answer>,
): Promise<{ urls: string[]; seen: Seen[] }> {
  const seen: Seen[] = [];
  const urls = names.map(async (region) => {
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString();
      const { method = "", headers } = request;
      const [url, body] = [new URL(request.url ?? "", "http://a"), JSON.parse(text || "{}") as Body];
      const key = headers["idempotency-key"] as string | undefined;
      const one = { region, method, url, key, token: headers.authorization, body };
      const number = seen.push(one);
      // A client that asks for ever is refused: the test fails, and ends.
      const said = number <= 1_000 ? await answer(one, number) : problem(400, "endless");
      if (said === undefined) return void request.socket.destroy();
      response.writeHead(said.status ?? 200, { "content-type": "application/json" });
      response.end(JSON.stringify(said.json));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close().closeAllConnections());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  return { urls: await Promise.all(urls), seen };
}

const problem = (status: number, kind: string, more: object = {}): Answer => {
  return { status, json: { type: `/problems/${kind}`, detail: kind, status, ...more } };
};

const task = (state: string, generation: number): Answer => {
  const artifacts = [{ id: "output", parts: [{ text: "HEL" }, { text: "LO" }, { data: 7 }] }];
  return { json: { id: "t1", state, generation, artifacts } };
};

test("a task is submitted under one key although the answer is lost", async (t) => {
  const { urls, seen } = await regions(t, ["a", "b"], (_, number) =>
    number === 1 ? undefined : task("submitted", 1),
  );
  const client = new Client(urls, { token: "secret" });
  const sent = await client.submit({ skill: "s", input: { n: 1 }, options: { priority_key: 1 } });
  assert.equal(sent.id, "t1");
  assert.deepEqual(seen.map((it) => it.region), ["a", "b"]);
  assert.deepEqual(seen[0]?.body, seen[1]?.body);
  assert.deepEqual(seen[1]?.body["parts"], [{ data: { n: 1 } }]);
  assert.equal(seen[0]?.token, "Bearer secret");
  assert.ok(seen[0]?.key !== undefined && seen[0].key === seen[1]?.key);
  await client.submit({ agent: "a", input: "x", idempotencyKey: "mine" });
  assert.equal(seen[2]?.key, "mine");
});

test("a result is waited for through the loss of a region", async (t) => {
  const { urls, seen } = await regions(t, ["a", "b"], ({ url }, number) => {
    if (!url.pathname.endsWith("/events")) return task("completed", 3);
    if (number === 1) return { json: { events: [{}, {}], state: "working", next_after: 2 } };
    if (number === 2) return undefined;
    return { json: { events: [{}], state: "completed", next_after: 3 } };
  });
  const done = await new Client(urls).result("t1");
  assert.deepEqual([done.state, resultText(done)], ["completed", "HELLO"]);
  assert.deepEqual(seen.map((it) => it.region), ["a", "a", "b", "b"]);
  const afters = seen.slice(0, 3).map((it) => it.url.searchParams.get("after"));
  assert.deepEqual(afters, ["0", "2", "2"]);
});

test("a question is returned, and its answer waited for", async (t) => {
  let events = ["submitted", "working", "input_required"];
  let isBehind = false;
  const { urls, seen } = await regions(t, ["a"], ({ url, method }) => {
    const after = Number(url.searchParams.get("after"));
    if (method === "POST") {
      const generation = events.push("submitted");
      return { json: { state: "submitted", generation } };
    }
    if (!url.pathname.endsWith("/events")) return task(events.at(-1)!, events.length);
    if (isBehind) {
      isBehind = false;
      return { json: { events: [], state: "input_required", next_after: after } };
    }
    const fresh = events.slice(after);
    const news = { events: fresh, state: events.at(-1), next_after: events.length };
    if (fresh.length === 0) events = [...events, "completed"];
    return { json: news };
  });
  const client = new Client(urls);
  const asked = await client.result("t1");
  assert.equal(asked.state, "input_required");
  assert.equal((await client.result(asked)).state, "input_required", "nobody has answered it");
  const answered = await client.answer(asked, "blue");
  assert.deepEqual(seen.at(-1)?.body, { text: "blue", generation: 3 });
  isBehind = true;
  assert.equal((await client.result(answered)).state, "completed");
});

const isPoll = ({ url }: Seen) => url.pathname.endsWith("/events");

/** The answer to a poll of which nothing came. */
const quiet = (state: string, after: number): Answer => {
  return { json: { events: [], state, next_after: after } };
};

test("a question of an heir is returned although more was heard before", async (t) => {
  const { urls, seen } = await regions(t, ["a"], (one, number) => {
    if (!isPoll(one)) return task("input_required", 8);
    if (number === 2) return quiet("input_required", 10);
    return { json: { events: [{}], state: "working", next_after: 10 } };
  });
  const asked = await new Client(urls).result("t1");
  assert.deepEqual([asked.state, asked.generation], ["input_required", 8]);
  const afters = seen.filter(isPoll).map((it) => it.url.searchParams.get("after"));
  assert.deepEqual(afters, ["0", "10"]);
});

test("a question is returned again if its answer is lost with the home", async (t) => {
  const { urls, seen } = await regions(t, ["a"], (one) =>
    isPoll(one) ? quiet("input_required", 4) : task("input_required", 3),
  );
  const answered = { id: "t1", state: "submitted", generation: 4 };
  const again = await new Client(urls).result(answered);
  assert.deepEqual([again.state, again.generation], ["input_required", 3]);
  assert.equal(seen.filter(isPoll).length, 2, "one alone may be of a region that knows less");
});

test("a region that knows less does not ask again", async (t) => {
  let polls = 0;
  const { urls } = await regions(t, ["a"], (one) => {
    polls += Number(isPoll(one));
    // Each poll that is of the past is followed by one that is not.
    const isPast = polls === 1 || polls === 3;
    if (!isPoll(one)) return isPast ? task("input_required", 3) : task("completed", 6);
    if (polls === 4) return { json: { events: [{}, {}], state: "completed", next_after: 6 } };
    return quiet(isPast ? "input_required" : "submitted", 4);
  });
  const answered = { id: "t1", state: "submitted", generation: 4 };
  assert.equal((await new Client(urls).result(answered)).state, "completed");
  assert.equal(polls, 4);
});

test("a region that does not wait is asked with pauses", async (t) => {
  const pauses: number[] = [];
  const { urls, seen } = await regions(t, ["a"], (one) => {
    const polls = seen.filter(isPoll).length;
    if (!isPoll(one)) return task(polls < 5 ? "input_required" : "completed", 3);
    if (polls === 5) return quiet("completed", 4);
    return quiet(polls % 2 === 0 ? "working" : "input_required", 4);
  });
  t.mock.method(Backoff.prototype, "next", () => {
    pauses.push(seen.filter(isPoll).length);
    return 0;
  });
  const answered = { id: "t1", state: "submitted", generation: 4 };
  assert.equal((await new Client(urls).result(answered)).state, "completed");
  assert.deepEqual(pauses, [1, 2, 3, 4], "one after each poll of which nothing came");
});

test("any number of tasks is waited for at once", async (t) => {
  const many = 150;
  let all = () => {};
  const areThere = new Promise<void>((resolve) => (all = resolve));
  const { urls } = await regions(t, ["a"], async (_, number) => {
    if (number === many) all();
    await areThere;
    return task("working", 2);
  });
  const client = new Client(urls);
  const found = await Promise.all(Array.from({ length: many }, () => client.task("t1")));
  assert.equal(found.length, many);
});

test("who waits for others with a task is asked for it again", async (t) => {
  let leave = () => {};
  const isLeft = new Promise<void>((resolve) => (leave = resolve));
  let submits = 0;
  const { urls, seen } = await regions(t, ["a", "b"], async ({ method, region }) => {
    if (method === "GET" && region === "a") return undefined;
    if (method === "GET") {
      leave();
      return task("working", 2);
    }
    submits += 1;
    const kind = { 1: "level-not-reached", 2: "home-unreachable" }[submits];
    // The other request has left the region meanwhile.
    await isLeft;
    return kind === undefined ? task("submitted", 1) : problem(503, kind, { retry_after_ms: 1 });
  });
  const client = new Client(urls);
  const submit = client.submit({ skill: "s", input: "x", ack: "quorum" });
  await Promise.all([submit, client.task("t1")]);
  const posts = seen.filter((it) => it.method === "POST");
  assert.deepEqual(posts.map((it) => it.region), ["a", "a", "a"], "no other region has it yet");
  assert.equal(new Set(posts.map((it) => it.key)).size, 1);
});

test("another region may reach the home that one does not", async (t) => {
  const asked = { id: "t1", state: "input_required", generation: 2 };
  const message = { position: 1, cursor: "1-1", id: "m", at: "", data: 1 };
  const stories: ((client: Client) => Promise<unknown>)[] = [
    (it) => it.answer(asked, "blue"),
    (it) => it.publish("news", 1),
    (it) => it.task("t1"),
    (it) => it.read("news").next(),
  ];
  for (const story of stories) {
    const { urls, seen } = await regions(t, ["a", "b"], ({ region }) => {
      // Whoever obeyed this pause would be late for the test.
      if (region === "a") return problem(503, "home-unreachable", { retry_after_ms: 59_000 });
      return { json: { messages: [message], ...message, state: "submitted", generation: 3 } };
    });
    await story(new Client(urls));
    assert.deepEqual(seen.map((it) => it.region), ["a", "b"]);
  }
});

test("what will not pass, what lasts and what is aborted is thrown", async (t) => {
  let refusal = problem(422, "no-such-skill");
  const { urls, seen } = await regions(t, ["a", "b"], () => refusal);
  const kind = (kind: string) => (error: unknown) =>
    error instanceof ProblemError && error.kind === kind;
  await assert.rejects(new Client(urls).submit({ skill: "s", input: "x" }), kind("no-such-skill"));
  assert.equal(seen.length, 1);
  refusal = problem(503, "stopping");
  const hasty = new Client(urls, { patienceMs: 200 });
  await assert.rejects(hasty.submit({ skill: "s", input: "x" }), kind("stopping"));
  assert.ok(seen.some((it) => it.region === "b"));
  const signal = AbortSignal.timeout(20);
  await assert.rejects(new Client(urls, { signal }).task("t1"), { name: "TimeoutError" });
  assert.throws(() => new Client("nowhere"), TypeError);
});

test("a message is published once, and read on from where one was", async (t) => {
  const message = (position: number) => ({
    ...{ position, cursor: `1-${position}`, id: `m${position}`, at: "2026-01-01T00:00:00Z" },
    data: { n: position },
  });
  const { urls, seen } = await regions(t, ["a", "b"], ({ method, url }, number) => {
    if (number === 1) return undefined;
    if (method === "POST") return { json: { ...message(1), repeated: true } };
    const after = url.searchParams.get("after");
    if (after === null) return { json: { messages: [message(1)], next: "1-1", gap: false } };
    if (after === "1-1") return { json: { messages: [], next: "1-4", gap: true } };
    return { json: { messages: [message(5), message(6)], next: "1-6", gap: false } };
  });
  const client = new Client(urls);
  const published = await client.publish("news", { n: 1 }, { key: "k", placement: "eu" });
  assert.deepEqual([published.cursor, published.repeated], ["1-1", true]);
  assert.deepEqual(seen[0]?.body, seen[1]?.body);
  assert.equal(seen[1]?.url.search, "?placement=eu");
  const read: TopicMessage[] = [];
  for await (const it of client.read("news", { key: "k" })) {
    read.push(it);
    if (read.length === 3) break;
  }
  assert.deepEqual(read.map((it) => [it.position, it.gap]), [[1, false], [5, true], [6, false]]);
  const [first] = seen.filter((it) => it.method === "GET");
  assert.deepEqual([...first!.url.searchParams], [["from", "first"], ["key", "k"], ["wait_ms", "20000"]]);
});

test("a region that may not have it names those that may", async (t) => {
  let apis: string[] = [];
  const { urls, seen } = await regions(t, ["a", "b", "c"], ({ region, url }) => {
    if (url.pathname === "/v1/regions") {
      const all = ["a", "b", "c"].map((name, at) => ({
        ...{ name, api: apis[at], health: "up", verdict: name === "b" ? "down" : "up" },
      }));
      return { json: { here: region, regions: all, placements: {} } };
    }
    return region === "a" ? problem(421, "outside-placement", { members: ["b", "c"] }) : task("x", 1);
  });
  apis = urls;
  await new Client(urls[0]).submit({ skill: "s", input: "x", placement: "eu" });
  // Node itself says again what is answered with 421.
  const asked = new Set(seen.map((it) => it.region));
  assert.deepEqual([...asked], ["a", "c"], "the one that is well is asked");
});

test("that regions cannot be learned for a moment passes", async (t) => {
  let failures: Answer[] = [undefined, problem(503, "starting")];
  let [apis, members]: string[][] = [[], ["c"]];
  const { urls, seen } = await regions(t, ["a", "c"], ({ region, url }) => {
    if (url.pathname === "/v1/regions") {
      if (0 < failures.length) return failures.shift();
      const all = [{ name: "c", api: apis![1], health: "up", verdict: "up" }];
      return { json: { here: region, regions: all, placements: {} } };
    }
    return region === "a" ? problem(421, "outside-placement", { members }) : task("working", 2);
  });
  apis = urls;
  const lookups = () => seen.filter((it) => it.url.pathname === "/v1/regions").length;
  const outside = (error: unknown) =>
    error instanceof ProblemError && error.kind === "outside-placement";
  assert.equal((await new Client(urls[0]!).task("t1")).state, "working");
  assert.equal(lookups(), 3);
  failures = Array.from({ length: 100 }, () => undefined);
  await assert.rejects(new Client(urls[0]!, { patienceMs: 200 }).task("t1"), outside);
  [failures, members] = [[], ["e"]];
  const before = lookups();
  await assert.rejects(new Client(urls[0]!).task("t1"), outside);
  assert.equal(lookups(), before + 1, "it is not asked again if nobody is named");
});
