/**
 * An agent that writes reports: it asks for the length, keeps what it paid for, and streams.
 *
 *     node dist/examples/report.js http://127.0.0.1:7400,http://127.0.0.1:7410
 *     photon send --skill report.write "tides, winds, currents" --follow
 */

import { setTimeout as sleep } from "node:timers/promises";

import { Agent, Rejected } from "photon-agents";
import type { Task } from "photon-agents";

const agent = new Agent("reporter", { capacity: 8, description: "Writes reports." });

agent.skill("report.write", async (task) => {
  const topics = task.message.parts.flatMap((it) => it.text?.split(",") ?? []);
  if (topics.length === 0) throw new Rejected("name topics, with commas between them");

  // The first time this ends the handler; it is run anew, maybe elsewhere, with the answer.
  const tone = await task.ask("short or long?");

  const report = task.artifact("report", { name: "report.txt" });
  for (const topic of topics.map((it) => it.trim())) {
    // Whoever goes on with the task is given what is done, and does not do it again.
    const text = await task.step(`chapter/${encodeURIComponent(topic)}`, write, task, topic, tone);
    await report.write(`${text}\n`);
  }
});

/** Stands for what takes long and costs money. */
async function write(task: Task, topic: string, tone: string): Promise<string> {
  await sleep(500, undefined, { signal: task.signal });
  return tone === "long" ? `All there is to say about ${topic}.` : `About ${topic}.`;
}

await agent.run(process.argv[2]?.split(","), { logger: console });
