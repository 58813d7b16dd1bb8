/** Which region an agent is attached to, and what becomes of its leases when that is lost. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { textIn } from "./fake.js";
import type { FakeRegion, Fault, Seen } from "./fake.js";
import { gate, stage, until } from "./stage.js";

const LOSSES: Record<string, (it: FakeRegion) => unknown> = {
  "is killed": (it) => it.kill(),
  "stands still": (it) => (it.stalled = true),
  "says that it stops": (it) => {
    it.planet.mishap = ({ region }) =>
      region === it.name ? { refuse: 503, kind: "stopping" } : undefined;
  },
};

for (const [name, lose] of Object.entries(LOSSES)) {
  test(`when its region ${name} an agent goes to the next, with the leases it holds`, async (t) => {
    const { agent, planet, serve } = await stage(t, ["a", "b", "c"]);
    const { opened, open } = gate();
    agent.skill("do", async (task) => {
      await task.step("one", () => 1);
      await task.artifact("s").write("before ");
      await opened;
      await task.artifact("s").write("after");
      await task.step("two", () => 2);
    });
    const [a, b, c] = planet.regions;
    void serve([a!.url, c!.url]); // The order is as configured; `b` is only learned of.
    const task = planet.submit({ skill: "do" });
    await until(() => task.notes.length === 2);
    await lose(a!);
    await until(() => planet.agent?.region === "c");
    open();
    await until(() => task.state === "completed");
    assert.deepEqual([task.attempt, textIn(task, "s")], [1, "before after"]);
    assert.deepEqual(task.checkpoints.map((it) => it.key), ["one", "two"]);
    assert.ok(planet.told("complete").every((it) => it.region === "c"));
    await lose(c!);
    await until(() => planet.agent?.region === "b" || planet.agent?.region === "a");
    const next = planet.submit({ skill: "do" });
    await until(() => next.state === "completed");
    assert.ok(b);
  });
}

test("an agent stays with a region that answers again in time", async (t) => {
  const { agent, planet, does } = await stage(t, ["a", "b"]);
  agent.skill("do", () => "done");
  await does({ skill: "do" });
  const [a] = planet.regions;
  await a!.kill();
  await a!.start();
  await does({ skill: "do" });
  assert.equal(planet.agent?.region, "a");
});

test("an agent waits for the only region that there is", async (t) => {
  const { agent, planet, serve } = await stage(t);
  agent.skill("do", () => "done");
  const [a] = planet.regions;
  await a!.kill();
  void serve([a!.url]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await a!.start();
  const task = planet.submit({ skill: "do" });
  await until(() => task.state === "completed");
  await a!.kill();
  await new Promise((resolve) => setTimeout(resolve, 400));
  await a!.start();
  const next = planet.submit({ skill: "do" });
  await until(() => next.state === "completed");
});

test("an agent begins with the first region that it finds", async (t) => {
  const { agent, planet, serve } = await stage(t, ["a", "b"]);
  agent.skill("do", () => "done");
  const urls = planet.regions.map((it) => it.url);
  await planet.regions[0]!.kill();
  let ready: string | undefined;
  void serve(urls, { onReady: (region) => (ready = region) });
  await until(() => ready !== undefined);
  assert.equal(ready, "b");
});

test("an agent that may not be in a region goes to one that it learns of there", async (t) => {
  const { agent, planet, serve } = await stage(t, ["a", "b"]);
  agent.skill("do", () => "done");
  planet.mishap = ({ method, region }) =>
    method === "PUT" && region === "a"
      ? { refuse: 421, kind: "outside-placement", more: { members: ["b"] } }
      : undefined;
  void serve([planet.regions[0]!.url]);
  await until(() => planet.agent?.region === "b");
});

test("an agent that was called elsewhere asks there", async (t) => {
  const { agent, planet, does } = await stage(t, ["a", "b"]);
  agent.skill("do", () => "done");
  await does({ skill: "do" });
  planet.agent!.region = "b";
  planet.ring();
  await does({ skill: "do" });
  assert.equal(planet.agent?.region, "b");
  assert.equal(planet.seen.filter((it) => it.method === "PUT").length, 1);
});

test("an agent that was called where nobody answers is called back", async (t) => {
  const { agent, planet, does } = await stage(t, ["a", "b"]);
  agent.skill("do", () => "done");
  await does({ skill: "do" });
  await planet.regions[1]!.kill();
  planet.agent!.region = "b";
  planet.ring();
  await does({ skill: "do" });
  assert.equal(planet.agent?.region, "a");
});

const MEMBERS = { known: ["a", "c"], unknown: undefined, outdated: ["a", "b", "c"] };

for (const [name, lose] of Object.entries(LOSSES)) {
  for (const [what, members] of Object.entries(MEMBERS)) {
    test(`a task of a region that ${name} goes on in a third, members ${what}`, async (t) => {
      const { agent, planet, serve } = await stage(t, ["a", "b", "c"]);
      if (members !== undefined) planet.placements["eu"] = members;
      const { opened, open } = gate();
      agent.skill("do", async (task) => {
        await opened;
        await task.step("late", () => 1);
        await until(() => planet.told("heartbeat").some((it) => it.region === "c"));
      });
      void serve();
      const task = planet.submit({ skill: "do", placement: "eu", ttlMs: 90 });
      await until(() => task.heartbeats === 1);
      const [a] = planet.regions;
      await lose(a!);
      const { mishap } = planet;
      // The home moves, too: who takes it over is not known at once.
      const moving = ({ region, verb }: Seen): Fault | undefined =>
        region === "c" && planet.told(verb).filter((it) => it.region === "c").length === 1
          ? { refuse: 503, kind: "home-unreachable" }
          : undefined;
      planet.mishap = (seen) =>
        seen.region === "b" && seen.path.startsWith("/v1/leases/")
          ? { refuse: 421, kind: "outside-placement", more: { members: ["a", "c"] } }
          : (mishap?.(seen) ?? moving(seen));
      await until(() => planet.agent?.region === "b");
      open();
      await until(() => task.state === "completed");
      const through = (verb: string) => planet.told(verb).at(-1)?.region;
      assert.deepEqual(["events", "complete"].map(through), ["c", "c"]);
      assert.equal(task.attempt, 1);
    });
  }
}

test("a token is shown to regions, but one of TLS to none without TLS", async (t) => {
  const { agent, planet, serve } = await stage(t, ["a"]);
  const given: unknown[] = [];
  const { fetch } = globalThis;
  t.mock.method(globalThis, "fetch", async (url: string, init: RequestInit) => {
    given.push([new URL(url).protocol, (init.headers as Record<string, string>)["authorization"]]);
    return await fetch(url.replace("https:", "http:"), init);
  });
  agent.skill("do", () => "done");
  void serve([planet.regions[0]!.url.replace("http:", "https:")], { token: "photon_x" });
  const task = planet.submit({ skill: "do" });
  await until(() => task.state === "completed");
  await planet.region("b");
  await planet.regions[0]!.kill();
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual([...new Set(given.map(String))].sort(), ["https:,", "https:,Bearer photon_x"]);
});

test("urls and token are read from the environment", async (t) => {
  const { agent, planet, drain } = await stage(t, ["a"]);
  agent.skill("do", () => "done");
  process.env["PHOTON_URL"] = `http://127.0.0.1:1, ${planet.regions[0]!.url}/`;
  t.after(() => delete process.env["PHOTON_URL"]);
  const ended = agent.run(undefined, { signal: drain.signal });
  await until(() => planet.agent !== undefined);
  process.emit("SIGTERM"); // Nothing is under way: the first is enough.
  await ended;
  assert.equal(process.listenerCount("SIGTERM"), 0);
});
