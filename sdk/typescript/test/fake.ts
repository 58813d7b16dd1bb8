/**
 * Regions in this process that speak the lease protocol, share what they know, and can be broken.
 * Must not know what is tested.
 */

import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import type { AgentPut, Lease, Message, Note } from "../src/wire.js";

export interface FakeTask {
  id: string;
  state: string;
  attempt: number;
  token: string;
  ttlMs: number;
  skill?: string;
  agent?: string;
  text: string;
  metadata?: Record<string, unknown>;
  placement: string;
  closesAt?: string;
  /** Of the attempt under way. */
  notes: Note[];
  checkpoints: { key: string; value: unknown }[];
  turns: Message[];
  ended?: Record<string, unknown>;
  heartbeats: number;
}

/** One request, as a region took it in. */
export interface Seen {
  region: string;
  method: string;
  path: string;
  verb: string;
  body: Record<string, unknown>;
  at: number;
}

/** What a region does with a request instead of answering it well; nothing: it is answered well. */
export type Mishap = (seen: Seen) => Fault | undefined;
export type Fault =
  | { refuse: number; kind?: string; retryAfter?: number; more?: object }
  | { loseAnswer: true }
  | { hang: true };

/** A planet of fake regions. What one knows all know at once. */
export class FakePlanet {
  readonly tasks = new Map<string, FakeTask>();
  readonly seen: Seen[] = [];
  readonly regions: FakeRegion[] = [];
  readonly placements: Record<string, string[]> = { global: [] };
  agent: { name: string; put: AgentPut; region: string } | undefined;
  mishap: Mishap | undefined;
  waiting: string[] = [];
  readonly bells = new Set<() => void>();
  #ids = 0;

  async region(name: string): Promise<FakeRegion> {
    const region = new FakeRegion(this, name);
    this.regions.push(region);
    this.placements["global"]?.push(name);
    await region.start();
    return region;
  }

  async stop(): Promise<void> {
    await Promise.all(this.regions.map((it) => it.kill()));
  }

  submit(what: Partial<FakeTask> = {}): FakeTask {
    const id = `task-${(this.#ids += 1)}`;
    const fresh = { attempt: 0, token: "0", ttlMs: 3_000, text: "hello", placement: "global" };
    const lists = { notes: [], checkpoints: [], turns: [], heartbeats: 0 };
    const task: FakeTask = { id, state: "submitted", ...fresh, ...lists, ...what };
    this.tasks.set(id, task);
    this.offer(task);
    return task;
  }

  offer(task: FakeTask): void {
    task.state = "submitted";
    this.waiting.push(task.id);
    this.ring();
  }

  answer(task: FakeTask, text: string): void {
    task.turns.push({ messageId: "a", role: "ROLE_USER", parts: [{ text }] });
    this.offer(task);
  }

  /** Loses the home of a task: its heir knows of the first notes alone, and of no end. */
  loseHome(task: FakeTask, known = 0): void {
    const keys = task.notes.splice(known).map((it) => it.checkpoint?.key);
    task.checkpoints = task.checkpoints.filter((it) => !keys.includes(it.key));
    task.state = "working";
    delete task.ended;
  }

  cancel(task: FakeTask): void {
    task.state = "canceled";
    this.ring();
  }

  ring(): void {
    for (const bell of [...this.bells]) bell();
  }

  told(verb: string): Seen[] {
    return this.seen.filter((it) => it.verb === verb);
  }

  grant(task: FakeTask): Lease {
    task.attempt += 1;
    task.token = String(task.attempt);
    task.state = "working";
    task.notes = [];
    delete task.ended;
    return {
      task: task.id,
      token: task.token,
      attempt: task.attempt,
      home: "a",
      ...(task.skill !== undefined && { skill: task.skill }),
      ...(task.agent !== undefined && { agent: task.agent }),
      message: {
        messageId: "m",
        role: "ROLE_USER",
        parts: [{ text: task.text }],
        ...(task.metadata !== undefined && { metadata: task.metadata }),
      },
      turns: task.turns,
      checkpoints: task.checkpoints,
      context_id: "c",
      placement: task.placement,
      ttl_ms: task.ttlMs,
      ...(task.closesAt !== undefined && { closes_at: task.closesAt }),
    };
  }
}

/** A fake region. */
export class FakeRegion {
  url = "";
  #server: Server | undefined;
  /** Whether it takes connections and never answers. */
  stalled = false;

  constructor(
    readonly planet: FakePlanet,
    readonly name: string,
  ) {}

  async start(): Promise<void> {
    const port = this.url === "" ? 0 : Number(new URL(this.url).port);
    const server = createServer((request, response) => void this.#serve(request, response));
    server.on("connection", (it) => it.setNoDelay(true));
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#server = server;
  }

  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.stalled) return;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
    const path = request.url ?? "";
    const verb = path.startsWith("/v1/leases/") ? (path.split("/").at(-1) ?? "") : path;
    const method = request.method ?? "";
    const seen = { region: this.name, method, path, verb, body, at: performance.now() };
    this.planet.seen.push(seen);
    const fault = this.planet.mishap?.(seen);
    if (fault !== undefined && "hang" in fault) return;
    if (fault !== undefined && "refuse" in fault) {
      const retry = fault.retryAfter === undefined ? {} : { "retry-after": `${fault.retryAfter}` };
      const type = `/problems/${fault.kind ?? "none"}`;
      response.writeHead(fault.refuse, { "content-type": "application/problem+json", ...retry });
      return void response.end(JSON.stringify({ type, title: type, ...fault.more }));
    }
    const [status, answer] = await this.#answer(seen, response);
    if (fault !== undefined) return void request.socket.destroy();
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  }

  async #answer(seen: Seen, response: ServerResponse): Promise<[number, object]> {
    const { planet } = this;
    const { path, body } = seen;
    if (path === "/readyz") return [200, { status: "ready" }];
    if (path === "/v1/regions") {
      const regions = planet.regions.map(({ name, url }) => ({ name, api: url, health: "linked" }));
      return [200, { here: this.name, regions, placements: planet.placements }];
    }
    if (path.startsWith("/v1/agents/")) {
      const name = path.split("/").at(-1) ?? "";
      planet.agent = { name, put: body as unknown as AgentPut, region: this.name };
      return [200, { name, region: this.name }];
    }
    if (path === "/v1/leases") return await this.#lease(body, response);
    return this.#told(seen);
  }

  async #lease(body: Record<string, unknown>, response: ServerResponse): Promise<[number, object]> {
    const { planet } = this;
    const until = performance.now() + Number(body["wait_ms"]);
    for (;;) {
      if (response.socket?.destroyed !== false) return [200, { leases: [] }];
      if (planet.agent === undefined) return [404, { type: "/problems/no-such-agent" }];
      if (planet.agent.region !== this.name) {
        return [409, { type: "/problems/attached-elsewhere", region: planet.agent.region }];
      }
      const ids = planet.waiting.splice(0, Number(body["limit"]));
      const tasks = ids.flatMap((it) => planet.tasks.get(it) ?? []);
      const leases = tasks.map((it) => planet.grant(it));
      const rest = until - performance.now();
      if (0 < leases.length || rest <= 0) return [200, { leases }];
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, rest);
        function done(): void {
          clearTimeout(timer);
          planet.bells.delete(done);
          response.off("close", done);
          resolve();
        }
        planet.bells.add(done);
        response.on("close", done);
      });
    }
  }

  #told({ path, verb, body }: Seen): [number, object] {
    const task = this.planet.tasks.get(path.split("/").at(-2) ?? "");
    if (task === undefined) return [404, { type: "/problems/no-such-task" }];
    const standing = (): [number, object] => [200, { state: task.state, generation: 1 }];
    const saysTwice = body["token"] === task.token && task.ended?.["verb"] === verb;
    if (saysTwice) return standing();
    if (body["token"] !== task.token || task.state !== "working") {
      return [409, { type: "/problems/stale-token", title: "Stale token" }];
    }
    if (verb === "heartbeat") task.heartbeats += 1;
    if (verb === "events") return this.#noted(task, body) ?? standing();
    const expected = task.notes.length + 1;
    if (expected <= Number(body["notes"] ?? 0)) {
      return [409, { type: "/problems/note-gap", expected }];
    }
    if (verb === "complete") this.#end(task, "completed", verb, body);
    if (verb === "fail") this.#end(task, body["rejected"] ? "rejected" : "failed", verb, body);
    if (verb === "pause") {
      this.#end(task, body["for"] === "auth" ? "auth_required" : "input_required", verb, body);
      task.turns.push(body["message"] as Message);
    }
    return standing();
  }

  #end(task: FakeTask, state: string, verb: string, body: Record<string, unknown>): void {
    task.state = state;
    task.ended = { verb, ...body };
    this.planet.ring();
  }

  #noted(task: FakeTask, body: Record<string, unknown>): [number, object] | undefined {
    const first = Number(body["first"]);
    const expected = task.notes.length + 1;
    if (expected < first) return [409, { type: "/problems/note-gap", expected }];
    const fresh = (body["notes"] as Note[]).slice(expected - first);
    task.notes.push(...fresh);
    for (const { checkpoint } of fresh) {
      const isNew = !task.checkpoints.some((it) => it.key === checkpoint?.key);
      if (checkpoint !== undefined && isNew) task.checkpoints.push(checkpoint);
    }
    return undefined;
  }
}

/** What an artifact holds, as a client would read it: text, or parts. */
export function artifact(task: FakeTask, id: string): { parts: object[]; whole: boolean } {
  let [parts, whole]: [object[], boolean] = [[], false];
  for (const note of task.notes) {
    if (note.artifact?.id !== id) continue;
    parts = note.artifact.append ? [...parts, ...note.artifact.parts] : note.artifact.parts;
    whole = note.artifact.last;
  }
  return { parts, whole };
}

export function textIn(task: FakeTask, id: string): string {
  return artifact(task, id).parts.map((it) => ("text" in it ? String(it.text) : "")).join("");
}
