/**
 * Runs an agent on fake regions for the length of a test.
 * Must not know what is tested.
 */

import type { TestContext } from "node:test";

import { Agent } from "../src/index.js";
import type { AgentOptions, ServeOptions } from "../src/index.js";
import type { FakeTask } from "./fake.js";
import { FakePlanet } from "./fake.js";

export interface Stage {
  planet: FakePlanet;
  agent: Agent;
  drain: AbortController;
  stop: AbortController;
  errors: unknown[];
  /** Starts the agent; returns what its end is. */
  serve: (urls?: string[], options?: ServeOptions) => Promise<void>;
  /** Submits a task, and returns it once it stands as is said. */
  does: (what: Partial<FakeTask>, state?: string) => Promise<FakeTask>;
}

export async function stage(
  t: TestContext,
  names = ["a"],
  options: AgentOptions = {},
): Promise<Stage> {
  const planet = new FakePlanet();
  for (const name of names) await planet.region(name);
  const [drain, stop] = [new AbortController(), new AbortController()];
  const agent = new Agent("tested", options);
  const errors: unknown[] = [];
  const quiet = () => undefined;
  const error = (...it: unknown[]) => errors.push(it);
  const logger = { debug: quiet, info: quiet, warn: quiet, error };
  let running: Promise<void> | undefined;
  const serve = async (urls?: string[], more: ServeOptions = {}): Promise<void> => {
    const given = urls ?? planet.regions.map((it) => it.url);
    const signals = { signal: drain.signal, stop: stop.signal, logger };
    running = agent.serve(given, { ...signals, failoverAfterMs: 200, ...more });
    running.catch(quiet);
    await running;
  };
  t.after(async () => {
    stop.abort();
    await running?.catch(quiet);
    await planet.stop();
  });
  const does = async (what: Partial<FakeTask>, state = "completed"): Promise<FakeTask> => {
    if (running === undefined) void serve().catch(quiet);
    const task = planet.submit(what);
    await until(() => task.state === state);
    return task;
  };
  return { planet, agent, drain, stop, errors, serve, does };
}

/** Waits until something is so. */
export async function until(isSo: () => boolean, withinMs = 5_000): Promise<void> {
  const late = performance.now() + withinMs;
  while (!isSo()) {
    if (late < performance.now()) throw new Error(`never so: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A promise that a test keeps when it wants to. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
