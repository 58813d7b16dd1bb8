/**
 * A client of the regions: gives agents tasks, waits for what comes of them, publishes and reads.
 * Must not know what a worker is: an agent may be a client, too, and many clients are no agents.
 */

import { randomUUID } from "node:crypto";

import { ask, isAway, isPassing, ProblemError } from "./http.js";
import { addresses, normal } from "./planet.js";
import { Backoff, sleep } from "./time.js";
import type { Message, Part, Regions, Standing } from "./wire.js";
import { isTerminal, partsOf } from "./wire.js";

/** How a client asks. */
export interface ClientOptions {
  /** The bearer token; `PHOTON_TOKEN` when absent. */
  token?: string;
  /** For how long what fails is asked again, if that may help; 60,000 when absent. */
  patienceMs?: number;
  /** Once aborted, everything that waits throws its reason. */
  signal?: AbortSignal;
}

/** What an agent is given. One of `skill` and `agent` is needed. */
export interface Submission {
  /** Any agent with this skill. */
  skill?: string;
  /** This agent. */
  agent?: string;
  /** Text, bytes, or any JSON. */
  input?: unknown;
  /** Instead of `input`: the parts of the message. */
  parts?: Part[];
  /** There is one task for one key, however often it is submitted; made up when absent. */
  idempotencyKey?: string;
  contextId?: string;
  placement?: string;
  /** How it is queued, timed and tried again, in the names of the API. */
  options?: object;
  ack?: "region" | "quorum";
}

/** A task that was given to an agent, as it stood when it was looked at. */
export interface Sent {
  id: string;
  state: string;
  generation: number;
  artifacts?: { id: string; name?: string; parts: Part[] }[];
  /** What was said last: a closing message, a question, why it failed. */
  last_message?: Message;
}

/** What is said of a message of a topic. */
export interface PublishOptions {
  key?: string;
  /** Under one id it is there once, however often it is published; made up when absent. */
  id?: string;
  placement?: string;
  ack?: "region" | "quorum";
}

/** Where a message of a topic is. */
export interface Published {
  id: string;
  position: number;
  cursor: string;
  /** Whether it was there before. */
  repeated: boolean;
}

/** What is read of a topic. */
export interface ReadOptions {
  /** The cursor of the last message that was read. */
  after?: string | number;
  /** Without `after`: from the first message that is kept, or after the last; `first`. */
  start?: "first" | "last";
  key?: string;
  placement?: string;
}

/** A message of a topic. */
export interface TopicMessage {
  position: number;
  cursor: string;
  id: string;
  key?: string;
  at: string;
  data: unknown;
  /** Whether messages before it were to be read, and are kept no more. */
  gap: boolean;
}

interface Question {
  method: "GET" | "POST";
  path: string;
  body?: object;
  headers?: Record<string, string>;
  waitMs?: number;
}

const PAUSED = ["input_required", "auth_required"];

/** All text of a task's artifacts, as it was streamed. */
export function resultText(task: Sent): string {
  const parts = (task.artifacts ?? []).flatMap((it) => it.parts);
  return parts.map((it) => it.text ?? "").join("");
}

/** Asks one of several regions, and the next one when that is of no use. */
export class Client {
  /** How long a region may take, beside what it is asked to wait. */
  static readonly ANSWER_WITHIN_MS = 15_000;
  /** For how long a region is asked to wait for news. */
  static readonly WAIT_MS = 20_000;

  readonly #urls: string[];
  readonly #token: string | undefined;
  readonly #patienceMs: number;
  readonly #signals: AbortSignal[];

  /** `urls` are base URLs of regions; `PHOTON_URL`, with commas between several, when absent. */
  constructor(urls?: string | string[], options: ClientOptions = {}) {
    this.#urls = [...new Set(addresses(urls).map(normal))];
    if (this.#urls.length === 0) throw new TypeError("no URL of a region is given");
    this.#token = options.token ?? (process.env["PHOTON_TOKEN"] || undefined);
    this.#patienceMs = options.patienceMs ?? 60_000;
    this.#signals = options.signal === undefined ? [] : [options.signal];
  }

  /** Gives a task to an agent, or to any that has the skill; returns once it is durable. */
  async submit(what: Submission): Promise<Sent> {
    const { skill, agent, placement, options, ack } = what;
    const parts = what.parts ?? partsOf(what.input);
    const body = { skill, agent, context_id: what.contextId, placement, options, ack, parts };
    const headers = { "idempotency-key": what.idempotencyKey ?? randomUUID() };
    return (await this.#ask({ method: "POST", path: "/v1/tasks", body, headers })) as Sent;
  }

  /** Looks at a task. */
  async task(task: string | Sent): Promise<Sent> {
    return (await this.#ask({ method: "GET", path: pathOf(task) })) as Sent;
  }

  /**
   * Waits until a task has ended, or its agent asks for something (`input_required`,
   * `auth_required`), and returns it then. Give it what `answer` returned, to wait on from there.
   * If the answer is lost with the home of the task, its question is returned again.
   */
  async result(task: string | Sent): Promise<Sent> {
    let known = 0;
    if (typeof task !== "string") {
      // A region that was told less may still show a question that is answered.
      known = PAUSED.includes(task.state) ? task.generation - 1 : task.generation;
    }
    let after = known;
    let isSetBack = false;
    const backoff = new Backoff();
    for (;;) {
      const askedAt = performance.now();
      const path = `${pathOf(task)}/events${query({ after, wait_ms: Client.WAIT_MS })}`;
      const news = (await this.#ask({ method: "GET", path, waitMs: Client.WAIT_MS })) as {
        events: unknown[];
        state: string;
        next_after: number;
      };
      // The region has waited as it was asked to.
      if (Client.WAIT_MS / 2 < performance.now() - askedAt) backoff.reset();
      const isQuiet = news.events.length === 0;
      const isPaused = PAUSED.includes(news.state);
      if (isPaused || isTerminal(news.state)) {
        // A lost home may have had events of its own: its heir asks at an earlier generation than
        // was heard, and tells of nothing after that.
        const found = await this.task(task);
        const isAsked = PAUSED.includes(found.state);
        if (isTerminal(found.state) || (isAsked && known < found.generation)) return found;
        // Either this region knows less than another one, or a lost home took the answer along.
        // That lasts; and who answers twice is refused, or heard once.
        const wasSetBack = isSetBack;
        isSetBack = isQuiet && isPaused && isAsked;
        if (wasSetBack && isSetBack) return found;
      } else {
        isSetBack = false;
        after = Math.max(after, news.next_after);
        if (!isQuiet) continue;
      }
      await this.#pause(backoff.next());
    }
  }

  /** Answers what the agent of a task asked. */
  async answer(task: Sent, text: string): Promise<Sent> {
    const body = { text, generation: task.generation };
    const headers = { "idempotency-key": `answer-${task.generation}` };
    const path = `${pathOf(task)}/messages`;
    const standing = await this.#ask({ method: "POST", path, body, headers });
    return { id: task.id, ...(standing as Standing) };
  }

  /** Publishes JSON to a topic, and returns once it is durable. */
  async publish(topic: string, data: unknown, how: PublishOptions = {}): Promise<Published> {
    const { key, ack, placement } = how;
    const body = { id: how.id ?? randomUUID(), key, ack, data: data ?? null };
    const path = messagesOf(topic) + query({ placement });
    return (await this.#ask({ method: "POST", path, body })) as Published;
  }

  /** Reads what is in a topic and what comes, without an end. */
  async *read(topic: string, what: ReadOptions = {}): AsyncGenerator<TopicMessage, never> {
    const { key, placement, start } = what;
    let { after } = what;
    let gap = false;
    for (;;) {
      const from = after === undefined ? (start ?? "first") : undefined;
      const wait_ms = Client.WAIT_MS;
      const path = messagesOf(topic) + query({ from, after, key, placement, wait_ms });
      const page = (await this.#ask({ method: "GET", path, waitMs: wait_ms })) as {
        messages: Omit<TopicMessage, "gap">[];
        next: string;
        gap: boolean;
      };
      gap ||= page.gap;
      for (const message of page.messages) {
        yield { ...message, gap };
        gap = false;
      }
      after = page.next;
    }
  }

  /** Asks until there is an answer; throws what will not pass, or lasts. */
  async #ask(question: Question): Promise<unknown> {
    const backoff = new Backoff();
    let end: number | undefined;
    let detours: string[] = [];
    let base = this.#urls[0]!;
    for (;;) {
      try {
        return await this.#askOnce(base, question);
      } catch (error) {
        let why = error;
        if (error instanceof ProblemError && error.status === 421 && detours.length === 0) {
          try {
            detours = await this.#members(base, error.problem.members ?? []);
          } catch (failure) {
            why = failure; // Who may have it can be said later.
          }
          base = detours.at(-1) ?? base;
          if (0 < detours.length) continue;
        }
        if (this.#signals.some((it) => it.aborted)) throw why;
        end ??= performance.now() + this.#patienceMs;
        const isElsewhere = isUseless(why, question) && this.#leave(base, detours);
        const asked = why instanceof ProblemError ? (why.retryAfterMs ?? 0) : 0;
        const pause = backoff.next() + (isElsewhere ? 0 : asked);
        if (!isPassing(why) || end < performance.now() + pause) throw error;
        // Otherwise it stays, even if others leave the region meanwhile: a region that has not
        // heard yet of what this one has would do it again.
        if (isElsewhere) base = detours.at(-1) ?? this.#urls[0]!;
        await this.#pause(pause);
      }
    }
  }

  async #askOnce(base: string, question: Question): Promise<unknown> {
    const { waitMs, ...request } = question;
    const timeoutMs = Client.ANSWER_WITHIN_MS + (waitMs ?? 0);
    return await ask(base, { ...request, token: this.#token, timeoutMs, signals: this.#signals });
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, ...this.#signals);
    this.#signals.forEach((it) => it.throwIfAborted());
  }

  /** Asks another region from now on; false if there is none. */
  #leave(base: string, detours: string[]): boolean {
    if (detours.pop() !== undefined) return true;
    if (this.#urls[0] === base) this.#urls.push(this.#urls.shift()!);
    return this.#urls[0] !== base;
  }

  /**
   * Returns regions that may hold what the one that was asked may not, the best last. Throws if
   * that cannot be learned.
   */
  async #members(base: string, names: string[]): Promise<string[]> {
    const found = (await this.#askOnce(base, { method: "GET", path: "/v1/regions" })) as Regions;
    const isPlain = this.#urls.some((it) => it.startsWith("http:"));
    const isWell = (it: Regions["regions"][number]) => Number(it.verdict === "up");
    const members = found.regions.filter((it) => names.includes(it.name) && URL.canParse(it.api));
    members.sort((a, b) => isWell(a) - isWell(b));
    // The token of a planet that is asked over TLS is shown to nobody without.
    const apis = members.map((it) => normal(it.api));
    return apis.filter((it) => isPlain || it.startsWith("https:"));
  }
}

/** Whether another region may do better than the one that was asked. */
function isUseless(error: unknown, { path }: Question): boolean {
  if (isAway(error)) return true;
  if (!(error instanceof ProblemError) || error.status < 500) return false;
  // Another region may reach the home. But what was passed on may have been done: a task that is
  // submitted elsewhere before that is heard there would be there twice.
  if (error.kind === "home-unreachable") return path !== "/v1/tasks";
  // The region has done it, and waits for others: whoever has not heard of it would do it again.
  return error.kind !== "level-not-reached";
}

function pathOf(task: string | Sent): string {
  return `/v1/tasks/${encodeURIComponent(typeof task === "string" ? task : task.id)}`;
}

function messagesOf(topic: string): string {
  return `/v1/topics/${encodeURIComponent(topic)}/messages`;
}

function query(given: Record<string, string | number | undefined>): string {
  const params = new URLSearchParams();
  for (const [name, it] of Object.entries(given)) {
    if (it !== undefined) params.set(name, String(it));
  }
  return params.size === 0 ? "" : `?${params}`;
}
