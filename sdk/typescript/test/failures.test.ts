/** What becomes of work when requests, answers, leases and regions are lost. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ProblemError } from "../src/index.js";
import type { Task } from "../src/index.js";
import type { Fault, Mishap, Seen } from "./fake.js";
import { gate, stage, until } from "./stage.js";

/** Does something with the first requests of a kind, one after the other. */
function first(verb: string, ...faults: Fault[]): Mishap {
  return (seen: Seen) => (seen.verb === verb ? faults.shift() : undefined);
}

/** Holds on to a task until it is cancelled; gives what it sees then. */
function holder(): { handler: (task: Task) => Promise<void>; task: () => Task | undefined } {
  let held: Task | undefined;
  const handler = async (task: Task): Promise<void> => {
    held = task;
    const cancelled = new Promise((_, reject) => {
      task.signal.addEventListener("abort", () => reject(task.signal.reason));
    });
    await cancelled;
  };
  return { handler, task: () => held };
}

test("a worker is heard at once, and then each third of its lease", async (t) => {
  const { agent, planet, does } = await stage(t);
  const { opened, open } = gate();
  agent.skill("do", async () => await opened);
  const done = does({ skill: "do", ttlMs: 240 });
  await until(() => planet.told("heartbeat").length === 4);
  open();
  await done;
  const at = planet.told("heartbeat").map((it) => it.at);
  assert.ok(at[0]! - planet.told("/v1/leases")[0]!.at < 200);
  const pauses = at.slice(1).map((it, index) => it - (at[index] ?? 0));
  assert.ok(pauses.every((it) => 50 < it && it < 160), `${pauses}`);
});

for (const [name, fault] of Object.entries({
  "a task that was called off": undefined,
  "a lease that is lost": { refuse: 409, kind: "stale-token" },
  "a task that nobody knows": { refuse: 404, kind: "no-such-task" },
})) {
  test(`${name} ends its handler, and nothing more is told`, async (t) => {
    const { agent, planet, serve } = await stage(t);
    const { handler, task } = holder();
    agent.skill("do", handler);
    void serve();
    const fake = planet.submit({ skill: "do", ttlMs: 60 });
    await until(() => task() !== undefined);
    if (fault === undefined) {
      planet.mishap = ({ verb }) =>
        verb === "heartbeat" ? { refuse: 409, kind: "ended" } : undefined;
      planet.cancel(fake);
    } else planet.mishap = ({ verb }) => (verb === "heartbeat" ? fault : undefined);
    await until(() => task()?.cancelled === true);
    assert.equal((task()?.signal.reason as Error).name, "Cancelled");
    for (const tries of [task()!.step("a", () => 1), task()!.emit("b", { text: "c" })]) {
      await assert.rejects(tries, { name: "Cancelled" });
    }
    planet.mishap = undefined;
    const next = planet.submit({ skill: "do" });
    await until(() => next.heartbeats === 1); // There is room again.
    assert.deepEqual(["complete", "fail", "pause", "events"].flatMap((it) => planet.told(it)), []);
  });
}

test("a heartbeat that says that the task has ended ends its handler", async (t) => {
  const { agent, planet, serve } = await stage(t);
  const { handler, task } = holder();
  agent.skill("do", handler);
  void serve();
  planet.mishap = ({ verb }) =>
    verb === "heartbeat" ? { refuse: 200, more: { state: "canceled" } } : undefined;
  planet.submit({ skill: "do", ttlMs: 60 });
  await until(() => task()?.cancelled === true);
  assert.match(String(task()?.signal.reason), /the task is canceled/);
});

test("an attempt whose time is over is ended", async (t) => {
  const { agent, planet, serve } = await stage(t);
  const { handler, task } = holder();
  agent.skill("do", handler);
  void serve();
  planet.submit({ skill: "do", closesAt: new Date(Date.now() + 80).toISOString() });
  await until(() => task()?.cancelled === true, 1_000);
  assert.deepEqual([planet.told("fail"), planet.told("complete")], [[], []]);
});

test("notes whose answer is lost count once", async (t) => {
  const { agent, planet, does } = await stage(t);
  planet.mishap = first("events", { loseAnswer: true }, { refuse: 500 }, { loseAnswer: true });
  agent.skill("do", async (task) => {
    await task.step("a", () => 1);
    await task.emit("b", { text: "once" });
  });
  const task = await does({ skill: "do" });
  assert.deepEqual(task.notes.map((it) => it.checkpoint?.key ?? it.artifact?.id), ["a", "b"]);
  const numbers = planet.told("events").map((it) => it.body["first"]);
  assert.deepEqual([...new Set(numbers)], [1, 2]);
  assert.ok(4 <= numbers.length);
});

test("an end is told until it is answered, as late as a 503 says, and counts once", async (t) => {
  const { agent, planet, does } = await stage(t);
  const away: Fault = { refuse: 503, kind: "home-unreachable", retryAfter: 0.15 };
  planet.mishap = first("complete", away, { loseAnswer: true }, { refuse: 429 }, { refuse: 408 });
  agent.skill("do", () => "done");
  await does({ skill: "do" });
  await until(() => planet.told("complete").length === 5);
  const [one, two] = planet.told("complete").map((it) => it.at);
  assert.ok(150 <= two! - one!, `${two! - one!} ms`);
});

for (const verb of ["fail", "pause"]) {
  test(`a ${verb} whose answer is lost is told again`, async (t) => {
    const { agent, planet, serve } = await stage(t);
    planet.mishap = first(verb, { loseAnswer: true });
    agent.skill("do", async (task) => {
      if (verb === "pause") await task.ask("well?");
      throw new Error("no");
    });
    void serve();
    planet.submit({ skill: "do" });
    await until(() => planet.told(verb).length === 2);
  });
}

test("what a region will not take fails the attempt for good", async (t) => {
  const { agent, planet, does } = await stage(t);
  planet.mishap = ({ verb }) =>
    verb === "events" ? { refuse: 413, kind: "too-large", more: { detail: "notes" } } : undefined;
  agent.skill("do", async (task) => await task.emit("a", { text: "large" }));
  const { ended } = await does({ skill: "do" }, "failed");
  assert.equal(ended?.["non_retryable"], true);
  assert.equal(ended?.["reason"], "the region refuses it: notes");
  planet.mishap = first("complete", { refuse: 413, kind: "too-large" });
  agent.skill("other", () => undefined);
  assert.equal((await does({ skill: "other" }, "failed")).ended?.["non_retryable"], true);
});

test("an agent that its region has forgotten is announced again", async (t) => {
  const { agent, planet, does } = await stage(t);
  agent.skill("do", () => "done");
  await does({ skill: "do" });
  planet.agent = undefined;
  planet.ring();
  await does({ skill: "do" });
  assert.equal(planet.seen.filter((it) => it.method === "PUT").length, 2);
});

test("an agent that no region wants ends with what it was told", async (t) => {
  const { agent, planet, serve } = await stage(t, ["a", "b"]);
  agent.skill("do", () => "done");
  planet.mishap = ({ method }) =>
    method === "PUT" ? { refuse: 422, kind: "invalid-body", more: { detail: "cost" } } : undefined;
  await assert.rejects(serve(), (error) => error instanceof ProblemError && error.status === 422);
  planet.mishap = ({ verb }) => (verb === "/v1/leases" ? { refuse: 401 } : undefined);
  await assert.rejects(serve(), (error) => error instanceof ProblemError && error.status === 401);
});

test("what makes no sense is said at once", async (t) => {
  const { agent, serve } = await stage(t);
  await assert.rejects(serve(), /no skill/);
  agent.skill("do", () => "done");
  await assert.rejects(serve([]), TypeError);
  await assert.rejects(serve(["ftp://a"]), TypeError);
  await assert.rejects(serve(undefined, { token: "a b" }), TypeError);
});

test("no more is taken at once than there is room for", async (t) => {
  const { agent, planet, serve } = await stage(t, ["a"], { capacity: 2 });
  const { opened, open } = gate();
  let [now, most] = [0, 0];
  agent.skill("do", async () => {
    most = Math.max(most, (now += 1));
    await opened;
    now -= 1;
  });
  const tasks = [1, 2, 3, 4, 5].map(() => planet.submit({ skill: "do" }));
  void serve();
  await until(() => now === 2);
  open();
  await until(() => tasks.every((it) => it.state === "completed"));
  assert.equal(most, 2);
});

test("an agent that drains finishes what runs, and takes no more", async (t) => {
  const { agent, planet, drain, serve } = await stage(t);
  const { opened, open } = gate();
  agent.skill("do", async () => await opened);
  const ended = serve();
  const task = planet.submit({ skill: "do", ttlMs: 60 });
  await until(() => task.state === "working");
  await until(() => planet.bells.size === 1);
  drain.abort();
  await until(() => planet.bells.size === 0); // The region knows that nobody asks any more.
  const { heartbeats } = task;
  const later = planet.submit({ skill: "do" });
  await until(() => heartbeats + 2 < task.heartbeats);
  open();
  await ended;
  assert.deepEqual([task.state, later.state], ["completed", "submitted"]);
});

test("an agent that is stopped ends at once, and tells nothing", async (t) => {
  const { agent, planet, stop, serve } = await stage(t);
  const { handler, task } = holder();
  agent.skill("do", handler).skill("deaf", async () => await new Promise(() => undefined));
  const ended = serve();
  const tasks = [planet.submit({ skill: "do" }), planet.submit({ skill: "deaf" })];
  await until(() => tasks.every((it) => it.heartbeats === 1));
  stop.abort();
  await ended;
  assert.equal(task()?.cancelled, true);
  assert.ok(tasks.every((it) => it.state === "working"));
});

test("an agent may be stopped before it has found a region", async (t) => {
  const { agent, planet, drain, serve } = await stage(t);
  agent.skill("do", () => "done");
  await planet.stop();
  const ended = serve();
  drain.abort();
  await ended;
});

test("many tasks at once, and many steps of one, are no reason for a warning", async (t) => {
  const { agent, planet, does } = await stage(t, ["a"], { capacity: 40 });
  const warnings: Error[] = [];
  const heed = (it: Error): number => warnings.push(it);
  process.on("warning", heed);
  t.after(() => process.off("warning", heed));
  agent.skill("do", async (task) => {
    const keys = Array.from({ length: 20 }, (_, at) => `step-${at}`);
    await Promise.all(keys.map((key) => task.step(key, () => key)));
  });
  const tasks = Array.from({ length: 40 }, () => planet.submit({ skill: "do" }));
  await does({ skill: "do" });
  await until(() => tasks.every((it) => it.state === "completed"));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});
