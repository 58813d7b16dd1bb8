/** What went down with the home of a task is told again, and no attempt ends without it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Failed, Rejected, Reply } from "../src/index.js";
import type { Task } from "../src/index.js";
import { textIn } from "./fake.js";
import type { FakePlanet, FakeTask, Fault, Seen } from "./fake.js";
import { gate, stage, until } from "./stage.js";

const TEXTS = ["0", "1", "2"];

/** Tells three artifacts, the last one as a stream. */
async function tell(task: Task): Promise<void> {
  await task.emit("a0", { text: "0" });
  await task.emit("a1", { text: "1" });
  await task.artifact("a2").write("2");
}

function texts(task: FakeTask): string[] {
  return TEXTS.map((_, at) => textIn(task, `a${at}`));
}

/** Has something done at each end that is said, given its number. */
function atEnds(planet: FakePlanet, verb: string, act: (number: number) => Fault | void): void {
  planet.mishap = (seen) =>
    seen.verb === verb ? (act(planet.told(verb).length) ?? undefined) : undefined;
}

function notes(ends: Seen[]): unknown[] {
  return ends.map((it) => it.body["notes"]);
}

const ENDS: [string, string, string, (task: Task) => unknown][] = [
  ["that completes", "complete", "completed", tell],
  [
    "that fails",
    "fail",
    "failed",
    async (task) => {
      await tell(task);
      throw new Failed("no");
    },
  ],
  [
    "that is refused",
    "fail",
    "rejected",
    async (task) => {
      await tell(task);
      throw new Rejected("no");
    },
  ],
  [
    "that asks",
    "pause",
    "input_required",
    async (task) => {
      await tell(task);
      await task.ask("which?");
    },
  ],
];

test("what a lost home took along is told again", async (t) => {
  const { agent, planet, does } = await stage(t);
  agent.skill("do", async (task) => {
    for (const key of ["a", "b", "c"]) await task.step(key, () => key);
    planet.loseHome(planet.tasks.get(task.id)!, 1);
    await task.step("d", () => "d");
  });
  const { checkpoints, notes } = await does({ skill: "do" });
  assert.deepEqual(checkpoints.map((it) => it.key), ["a", "b", "c", "d"]);
  assert.equal(notes.length, 4);
});

for (const [name, verb, state, handler] of ENDS) {
  for (const known of [0, 1, 2]) {
    test(`an attempt ${name} does not end while its home has ${known} of 3 notes`, async (t) => {
      const { agent, planet, serve } = await stage(t);
      agent.skill("do", handler);
      const task = planet.submit({ skill: "do" });
      atEnds(planet, verb, (number) => {
        if (number === 1) planet.loseHome(task, known);
      });
      void serve();
      await until(() => task.state === state);
      assert.deepEqual([texts(task), task.notes.length], [TEXTS, 3]);
      assert.deepEqual(notes(planet.told(verb)), [3, 3]);
    });
  }

  test(`an end ${name} that was heard and lost with its home is said again`, async (t) => {
    const { agent, planet, serve } = await stage(t);
    agent.skill("do", handler);
    const task = planet.submit({ skill: "do" });
    atEnds(planet, verb, (number) => {
      if (number === 1) return { loseAnswer: true };
      if (number > 2) return undefined;
      assert.equal(task.state, state);
      return planet.loseHome(task, 1);
    });
    void serve();
    await until(() => planet.told(verb).length === 3 && task.state === state);
    assert.deepEqual(texts(task), TEXTS);
  });
}

test("a home that is lost again and again is told each time", async (t) => {
  const { agent, planet, serve } = await stage(t);
  agent.skill("do", tell);
  const task = planet.submit({ skill: "do" });
  atEnds(planet, "complete", (number) => {
    if (number <= 3) planet.loseHome(task, number - 1);
  });
  void serve();
  await until(() => task.state === "completed");
  assert.deepEqual([texts(task), planet.told("complete").length], [TEXTS, 4]);
});

test("nothing is repeated that a home has", async (t) => {
  const { agent, planet, does } = await stage(t);
  agent.skill("do", () => "done").skill("nothing", () => undefined);
  await does({ skill: "do" });
  assert.deepEqual([planet.told("events").length, notes(planet.told("complete"))], [1, [1]]);
  await does({ skill: "nothing" });
  assert.deepEqual(notes(planet.told("complete")), [1, 0]);
});

for (const known of [0, 1]) {
  test(`notes that were refused do not count, nor while a home has ${known} of 1`, async (t) => {
    const { agent, planet, serve } = await stage(t);
    agent.skill("do", async (task) => {
      await task.emit("a0", { text: "0" });
      await Promise.all(["large", "other"].map((it) => task.emit(it, { text: it })));
    });
    const task = planet.submit({ skill: "do" });
    planet.mishap = ({ verb, body }) => {
      if (verb === "fail" && planet.told("fail").length === 1) planet.loseHome(task, known);
      const isLarge = verb === "events" && JSON.stringify(body["notes"]).includes("large");
      return isLarge ? { refuse: 413, kind: "too-large" } : undefined;
    };
    void serve();
    await until(() => task.state === "failed");
    assert.deepEqual(task.notes.map((it) => it.artifact?.id), ["a0"]);
    assert.deepEqual(notes(planet.told("fail")), known === 1 ? [1] : [1, 1]);
  });

  test(`an end that is refused fails with all notes, of which a home has ${known}`, async (t) => {
    const { agent, planet, serve } = await stage(t);
    agent.skill("do", async (task) => {
      await tell(task);
      return new Reply("too large");
    });
    const task = planet.submit({ skill: "do" });
    planet.mishap = ({ verb }) => {
      if (verb === "fail" && planet.told("fail").length === 1) planet.loseHome(task, known);
      return verb === "complete" ? { refuse: 413, kind: "too-large" } : undefined;
    };
    void serve();
    await until(() => task.state === "failed");
    assert.deepEqual([texts(task), task.ended?.["notes"]], [TEXTS, 3]);
    assert.equal(task.ended?.["non_retryable"], true);
  });
}

test("an attempt fails if an heir refuses what a lost home had", async (t) => {
  const { agent, planet, serve } = await stage(t);
  agent.skill("do", tell);
  const task = planet.submit({ skill: "do" });
  planet.mishap = ({ verb }) => {
    const isLost = 0 < planet.told("complete").length;
    if (verb === "complete") planet.loseHome(task, 1);
    return isLost && verb === "events" ? { refuse: 413, kind: "too-large" } : undefined;
  };
  void serve();
  await until(() => task.state === "failed");
  assert.deepEqual([task.notes.length, task.ended?.["notes"]], [1, 1]);
});

test("what heartbeats say of an end that was heard ends nothing", async (t) => {
  const { agent, planet, serve } = await stage(t);
  agent.skill("do", tell);
  const task = planet.submit({ skill: "do", ttlMs: 60 });
  let beats = 0;
  planet.mishap = ({ verb }) => {
    const ends = planet.told("complete").length;
    if (verb === "complete" && ends === 1) return { refuse: 503, retryAfter: 0.15 };
    if (verb === "complete" && ends === 2) planet.loseHome(task);
    if (verb !== "heartbeat" || ends === 0) return undefined;
    beats += 1;
    return { refuse: 409, kind: "ended" };
  };
  void serve();
  await until(() => task.state === "completed");
  assert.deepEqual([texts(task), planet.told("complete").length, beats], [TEXTS, 3, 1]);
});

test("what is told after the handler has returned is refused", async (t) => {
  const { agent, planet, serve } = await stage(t);
  const { opened, open } = gate();
  let late: Promise<void> | undefined;
  agent.skill("do", async (task) => {
    await tell(task);
    const tries = opened.then(async () => await task.emit("late", { text: "late" }));
    late = assert.rejects(tries, { name: "Cancelled" });
  });
  const task = planet.submit({ skill: "do" });
  atEnds(planet, "complete", (number) => {
    if (number > 1) return undefined;
    open();
    return { refuse: 503, retryAfter: 0.05 };
  });
  void serve();
  await until(() => task.state === "completed");
  await late;
  assert.deepEqual([texts(task), task.notes.length], [TEXTS, 3]);
});

test("what was given to another meanwhile is told no more", async (t) => {
  const { agent, planet, does } = await stage(t, ["a"], { capacity: 1 });
  agent.skill("do", tell).skill("other", () => undefined);
  const task = planet.submit({ skill: "do" });
  const said: string[] = [];
  planet.mishap = ({ verb, path }) => {
    if (!path.includes(`${task.id}/`) || verb === "heartbeat") return undefined;
    if (said.includes("complete")) task.token = "another";
    else if (verb === "complete") planet.loseHome(task, 1);
    said.push(verb);
    return undefined;
  };
  await does({ skill: "other" }); // There is room again.
  assert.deepEqual(said.slice(-2), ["complete", "events"]);
  assert.deepEqual([task.state, task.notes.length], ["working", 1]);
});

for (const verb of ["complete", "events"]) {
  for (const more of [{ expected: 0 }, { expected: 4 }, { expected: 99 }, {}]) {
    const what = JSON.stringify(more);
    test(`a lease is lost whose home wants of ${verb} what was never told: ${what}`, async (t) => {
      const { agent, planet, does } = await stage(t, ["a"], { capacity: 1 });
      agent.skill("do", tell).skill("other", () => undefined);
      const task = planet.submit({ skill: "do" });
      const isMeant = (it: Seen): boolean => it.verb === verb && it.path.includes(`${task.id}/`);
      planet.mishap = (seen) =>
        isMeant(seen) ? { refuse: 409, kind: "note-gap", more } : undefined;
      await does({ skill: "other" }); // There is room again.
      assert.equal(planet.seen.filter(isMeant).length, 1);
      assert.equal(task.state, "working");
    });
  }
}
