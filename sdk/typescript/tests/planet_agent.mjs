// An agent for tests with a real planet: node planet_agent.mjs URLS FILE [NAME]
// URLS are separated by commas. FILE gets a line for each step that runs; between the steps 2 and 3
// the agent waits for a file `go` beside it. Prints `ready` once it is registered.

import { appendFile, access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Agent } from "../dist/src/index.js";

const [urls = "http://127.0.0.1:7400", file = "steps.txt", name = "sdk-typescript"] =
  process.argv.slice(2);

const exists = (path) => access(path).then(() => true, () => false);

const toStderr = (level) => (message, fields) => console.error(level, message, fields);
const logger = {
  debug: process.env.DEBUG ? toStderr("debug") : () => undefined,
  info: toStderr("info"),
  warn: toStderr("warn"),
  error: toStderr("error"),
};

const agent = new Agent(name, { capacity: 8, description: "Is tested." });

agent.skill("sdk.upper", (task) => task.text.toUpperCase());

agent.skill("sdk.steps", async (task) => {
  const run = async (number) => {
    await appendFile(file, `step-${number} attempt-${task.attempt}\n`);
    return `result-${number}`;
  };
  const results = [await task.step("step-1", run, 1), await task.step("step-2", run, 2)];
  while (!(await exists(join(dirname(file), "go")))) {
    await sleep(50, undefined, { signal: task.signal });
  }
  results.push(await task.step("step-3", run, 3));
  return results.join(" ");
});

agent.skill("sdk.ask", async (task) => await task.ask("which colour?"));

agent.skill("sdk.stream", async (task) => {
  const out = task.artifact("stream", { name: "pieces" });
  for (let piece = 1; piece <= 20; piece += 1) {
    await out.write(`piece-${piece}\n`);
    await sleep(20, undefined, { signal: task.signal });
  }
  await out.close();
});

await agent.run(urls.split(","), { logger, onReady: () => console.log("ready") });
