/** What a handler returns, throws, keeps, asks and tells. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Failed, Rejected, Reply } from "../src/index.js";
import type { Task } from "../src/index.js";
import { answersAmong } from "../src/wire.js";
import type { Message } from "../src/wire.js";
import { artifact, textIn } from "./fake.js";
import { gate, stage, until } from "./stage.js";

test("what a handler returns becomes the artifact `output`", async (t) => {
  const { agent, does } = await stage(t);
  const returned: Record<string, unknown> = {
    text: "HELLO",
    bytes: new Uint8Array([1, 2, 255]),
    data: { chapters: [1, 2] },
    number: 0,
  };
  agent.skill("do", (task) => returned[task.text]);
  const parts = async (text: string) => artifact(await does({ skill: "do", text }), "output");
  assert.deepEqual(await parts("text"), { parts: [{ text: "HELLO" }], whole: true });
  assert.deepEqual(await parts("bytes"), { parts: [{ raw: "AQL/" }], whole: true });
  assert.deepEqual(await parts("data"), { parts: [{ data: { chapters: [1, 2] } }], whole: true });
  assert.deepEqual(await parts("number"), { parts: [{ data: 0 }], whole: true });
  assert.deepEqual(await parts("nothing"), { parts: [], whole: false });
});

test("a reply closes a task with a message, and may have output", async (t) => {
  const { agent, does } = await stage(t);
  agent.skill("do", () => new Reply("bye", { direct: true, output: "O", metadata: { a: 1 } }));
  const task = await does({ skill: "do" });
  const message = task.ended?.["message"] as Message;
  assert.deepEqual(message.parts, [{ text: "bye" }]);
  assert.deepEqual(message.metadata, { a: 1, "photon/direct": true });
  assert.equal(message.role, "ROLE_AGENT");
  assert.equal(textIn(task, "output"), "O");
});

test("a task sees what was asked, part by part", async (t) => {
  const { agent, planet, does } = await stage(t, ["a"], { description: "D", cost: 2, capacity: 3 });
  let seen: Task | undefined;
  agent.skill("do", (task) => void (seen = task));
  const closesAt = new Date(Date.now() + 60_000).toISOString();
  const task = await does({ skill: "do", text: "hi", closesAt });
  assert.deepEqual([seen?.id, seen?.skill, seen?.contextId], [task.id, "do", "c"]);
  assert.deepEqual([seen?.attempt, seen?.placement, seen?.text], [1, "global", "hi"]);
  assert.deepEqual(seen?.parts, [{ text: "hi" }]);
  assert.equal(seen?.closesAt?.toISOString(), closesAt);
  const put = { description: "D", cost: 2, skills: ["do"], capacity: 3 };
  assert.deepEqual(planet.agent?.put, put);
});

test("a task goes to the handler of its skill, else the default, or is rejected", async (t) => {
  const one = await stage(t);
  one.agent.skill("a", () => "sole");
  assert.equal(textIn(await one.does({ agent: "tested" }), "output"), "sole");
  const refused = await one.does({ skill: "b" }, "rejected");
  assert.equal(refused.ended?.["reason"], "nothing here does b");

  const two = await stage(t, ["a"], { skills: ["c"] });
  two.agent.skill("a", () => "a").skill("b", () => "b");
  assert.equal(textIn(await two.does({ skill: "b" }), "output"), "b");
  await two.does({ agent: "tested" }, "rejected");
  for (const key of ["skill", "photon/skill"]) {
    const named = await two.does({ agent: "tested", metadata: { [key]: "b" } });
    assert.equal(textIn(named, "output"), "b");
  }
  two.agent.default(() => "default");
  assert.equal(textIn(await two.does({ agent: "tested" }), "output"), "default");
  assert.equal(textIn(await two.does({ skill: "c" }), "output"), "default");
  assert.throws(() => two.agent.skill("a", () => "again"), TypeError);
});

test("what a handler throws says how the attempt ends, and no trace reaches clients", async (t) => {
  const { agent, does, errors } = await stage(t);
  const thrown: Record<string, unknown> = {
    failed: new Failed("why"),
    forever: new Failed("never", { retryable: false }),
    rejected: new Rejected("not me"),
    other: new RangeError("too far"),
    text: "just text",
  };
  agent.skill("do", (task) => {
    throw thrown[task.text];
  });
  const check = async (text: string, state: string, reason: string, isLast: boolean) => {
    const { ended } = await does({ skill: "do", text }, state);
    assert.deepEqual([ended?.["reason"], ended?.["non_retryable"]], [reason, isLast]);
  };
  await check("failed", "failed", "why", false);
  await check("forever", "failed", "never", true);
  await check("rejected", "rejected", "not me", false);
  assert.deepEqual(errors, []);
  await check("other", "failed", "RangeError: too far", false);
  await check("text", "failed", "just text", false);
  assert.equal(errors.length, 2);
});

test("a step that is done is not done again by a later attempt", async (t) => {
  const { agent, planet, does } = await stage(t);
  const ran: string[] = [];
  agent.skill("do", async (task) => {
    const add = (a: number, b: number) => (ran.push(`add ${task.attempt}`), { sum: a + b });
    const { sum } = await task.step("add", add, 2, 3);
    const none = await task.step("none", () => void ran.push(`none ${task.attempt}`));
    if (task.attempt === 1) throw new Error("lost");
    return `${sum} ${none}`;
  });
  const task = await does({ skill: "do" }, "failed");
  planet.offer(task);
  await until(() => task.state === "completed");
  assert.equal(textIn(task, "output"), "5 null");
  assert.deepEqual(ran, ["add 1", "none 1"]);
});

test("a step runs once in an attempt, and again if it failed", async (t) => {
  const { agent, does } = await stage(t);
  let ran = 0;
  agent.skill("do", async (task) => {
    const once = () => (ran += 1);
    const [a, b] = await Promise.all([task.step("once", once), task.step("once", once)]);
    const fails = () => {
      throw new Error("no");
    };
    await assert.rejects(task.step("twice", fails));
    return [a, b, await task.step("twice", () => "yes")];
  });
  const task = await does({ skill: "do" });
  assert.deepEqual(artifact(task, "output").parts, [{ data: [1, 1, "yes"] }]);
  assert.deepEqual(task.checkpoints.map((it) => it.key), ["once", "twice"]);
});

test("a step returns only once the region has its checkpoint", async (t) => {
  const { agent, planet, does } = await stage(t);
  let refusals = 2;
  planet.mishap = ({ verb }) =>
    verb === "events" && 0 < refusals-- ? { refuse: 503, kind: "home-unreachable" } : undefined;
  let known: number | undefined;
  agent.skill("do", async (task) => {
    await task.step("one", () => 1);
    known = planet.tasks.get(task.id)?.checkpoints.length;
  });
  await does({ skill: "do" });
  assert.equal(known, 1);
});

test("the result of a step is JSON of 64 KiB at the most, under a visible key", async (t) => {
  const { agent, does } = await stage(t);
  agent.skill("do", async (task) => {
    await assert.rejects(task.step("a key", () => 1), TypeError);
    await assert.rejects(task.step("function", () => () => 1), TypeError);
    await task.step("fits", () => "x".repeat((64 << 10) - 2));
    await task.step("half", () => "\ud83d");
    await task.step("large", () => "x".repeat(64 << 10));
  });
  const { ended, checkpoints } = await does({ skill: "do" }, "failed");
  assert.equal(ended?.["non_retryable"], true);
  assert.deepEqual(checkpoints.map((it) => it.key), ["fits", "half"]);
  assert.equal(checkpoints[1]?.value, "\ufffd");
});

test("the n-th question of a handler gets the n-th answer", async (t) => {
  const { agent, planet, does } = await stage(t);
  let ran = 0;
  agent.skill("do", async (task) => {
    await task.step("paid", () => (ran += 1));
    const colour = await task.ask("which colour?");
    const size = await task.askAuth([{ text: "let me in" }]);
    return `${colour} ${size} / ${task.answers.length}`;
  });
  const task = await does({ skill: "do" }, "input_required");
  assert.deepEqual(task.turns[0]?.parts, [{ text: "which colour?" }]);
  planet.answer(task, "blue");
  await until(() => task.state === "auth_required");
  planet.answer(task, "come");
  await until(() => task.state === "completed");
  assert.equal(textIn(task, "output"), "blue come / 2");
  assert.deepEqual([ran, task.attempt], [1, 3]);
});

test("a handler that swallows the exception of a question pauses all the same", async (t) => {
  const { agent, does } = await stage(t);
  agent.skill("do", async (task) => {
    await task.ask("well?").catch(() => undefined);
    await assert.rejects(task.step("after", () => 1), { name: "Paused" });
    await assert.rejects(task.ask("more?"), { name: "Paused" });
    return "swallowed";
  });
  const task = await does({ skill: "do" }, "input_required");
  assert.deepEqual(task.turns.map((it) => it.parts), [[{ text: "well?" }]]);
  assert.equal(artifact(task, "output").parts.length, 0);
});

test("answers are told from questions, whoever left one out", () => {
  const check = (roles: string, expected: string) => {
    const turns = [...roles].map((it, at): Message => {
      const role = it === "q" || it === "A" ? "ROLE_AGENT" : "ROLE_USER";
      return { messageId: `${at}`, role, parts: [{ text: it }] };
    });
    assert.equal(answersAmong(turns).map((it) => it.parts[0]?.text).join(""), expected, roles);
  };
  check("", "");
  check("qa", "a");
  check("qaqa", "aa");
  check("aqa", "aa"); // The first question was asked without a word.
  check("qA", "A"); // The client speaks as an agent.
  check("qAqa", "Aa");
});

test("a stream is told in few requests, and cut between characters", async (t) => {
  const { agent, planet, does } = await stage(t);
  const text = "é€😀".repeat(5_000);
  agent.skill("do", async (task) => {
    const out = task.artifact("report", { name: "the report" });
    for (let at = 0; at < text.length; at += 7) await out.write(text.slice(at, at + 7));
    await out.close();
    await assert.rejects(out.write("more"), TypeError);
  });
  const task = await does({ skill: "do" });
  assert.equal(textIn(task, "report"), text);
  const notes = task.notes.flatMap((it) => it.artifact ?? []);
  assert.ok(notes.every((it) => Buffer.byteLength(it.parts[0]?.text ?? "") <= 16 << 10));
  assert.deepEqual(notes.map((it) => it.append), notes.map((_, at) => 0 < at));
  assert.deepEqual(notes.map((it) => it.last), notes.map((_, at) => at + 1 === notes.length));
  assert.ok(notes.every((it) => it.name === "the report"));
  assert.ok(planet.told("events").length <= 6, `${planet.told("events").length} requests`);
});

test("a piece is told soon, without another one behind it", async (t) => {
  const { agent, planet, does } = await stage(t);
  const { opened, open } = gate();
  agent.skill("do", async (task) => {
    const out = task.artifact("a");
    await out.write("soon \ud83d"); // The other half of the character follows.
    await opened;
    await out.write("\ude00");
  });
  const done = does({ skill: "do" });
  await until(() => planet.tasks.size === 1 && planet.told("events").length === 1);
  const told = [...planet.tasks.values()][0];
  assert.deepEqual(told && artifact(told, "a"), { parts: [{ text: "soon " }], whole: false });
  open();
  const task = await done;
  assert.equal(textIn(task, "a"), "soon 😀");
  assert.equal(artifact(task, "a").whole, true, "the handler's return ends it");
});

test("bytes, remarks and whole artifacts are told in the order of the program", async (t) => {
  const { agent, does } = await stage(t);
  const bytes = Uint8Array.from({ length: 40_000 }, (_, at) => at % 251);
  agent.skill("do", async (task) => {
    const out = task.artifact("mixed");
    await out.write("text");
    await out.write(bytes);
    await task.emit("link", { url: "https://example.org", name: "a link", mediaType: "text/html" });
    await task.status("half-way");
    await task.step("done", () => true);
    await assert.rejects(task.emit("two", { text: "a", data: 1 }), TypeError);
    await task.emit("data", { data: null });
    await task.emit("empty", { text: "" });
  });
  const task = await does({ skill: "do" });
  const kinds = task.notes.map((it) => it.artifact?.id ?? it.status ?? it.checkpoint?.key);
  const first = ["mixed", "mixed", "mixed", "mixed", "link", "half-way", "done", "data", "empty"];
  assert.deepEqual(kinds, [...first, "mixed"]);
  const { parts: told } = artifact(task, "mixed");
  const parts = told.flatMap((it) => ("raw" in it ? [String(it.raw)] : []));
  assert.deepEqual(Buffer.concat(parts.map((it) => Buffer.from(it, "base64"))), Buffer.from(bytes));
  const link = { url: "https://example.org", mediaType: "text/html" };
  assert.deepEqual(artifact(task, "link").parts, [link]);
  assert.deepEqual(artifact(task, "data").parts, [{ data: null }]);
});

test("a handler that tells `output` itself returns nothing more", async (t) => {
  const { agent, does } = await stage(t);
  agent.skill("do", async (task) => {
    await task.artifact("output").write("streamed");
    return "returned";
  });
  assert.equal(textIn(await does({ skill: "do" }), "output"), "streamed");
});
