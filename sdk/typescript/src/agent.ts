/**
 * An agent: takes leases, and runs the handlers of its skills.
 * Must not decide who gets a task, nor when a lease ends: regions do.
 */

import type { Handler } from "./attempt.js";
import { Attempt } from "./attempt.js";
import { isPassing, ProblemError } from "./http.js";
import type { Logger } from "./log.js";
import { SILENT } from "./log.js";
import { addresses, Planet } from "./planet.js";
import { Backoff, controller, onAbort, sleep } from "./time.js";
import type { AgentPut, Lease } from "./wire.js";
import { skillOf } from "./wire.js";

/** What is announced of an agent. */
export interface AgentOptions {
  /** Skills that it offers beside those that have handlers; the default handler does them. */
  skills?: string[];
  /** How many tasks it works on at once; 4 when absent. */
  capacity?: number;
  /** What people should know about it. */
  description?: string;
  /** What it asks for a task. */
  cost?: number;
  /** Where its record may live, and hence whose tasks it takes; `global` when absent. */
  placement?: string;
  /** Its A2A 1.0 `AgentCard`; a plain one is made when it is absent. */
  card?: object;
}

/** How an agent is run. */
export interface ServeOptions {
  /** The bearer token; `PHOTON_TOKEN` when absent. */
  token?: string;
  /** Once aborted, the agent takes no more tasks, and ends when those under way are done. */
  signal?: AbortSignal;
  /** Once aborted, the agent ends at once; others go on with what it was doing. */
  stop?: AbortSignal;
  /** For how long its region may not answer before the agent goes to another; 3,000 when absent. */
  failoverAfterMs?: number;
  /** Takes reports; there are none when it is absent. */
  logger?: Logger;
  /** Called once the agent is registered, with the name of its region. */
  onReady?: (region: string) => void;
}

/** How long a question for work waits. */
const POLL_MS = 20_000;

/** An agent, made of handlers. */
export class Agent {
  readonly name: string;
  readonly #options: AgentOptions;
  readonly #handlers = new Map<string, Handler>();
  #default: Handler | undefined;

  constructor(name: string, options: AgentOptions = {}) {
    this.name = name;
    this.#options = options;
  }

  /** Offers a skill: the handler does its tasks. */
  skill(name: string, handler: Handler): this {
    if (this.#handlers.has(name)) throw new TypeError(`there is a handler of ${name} already`);
    this.#handlers.set(name, handler);
    return this;
  }

  /** Does the tasks that name the agent, and those of skills without a handler. */
  default(handler: Handler): this {
    this.#default = handler;
    return this;
  }

  /**
   * Works until SIGINT or SIGTERM: at the first it takes no more tasks and finishes those that run,
   * at the second it ends at once. Without URLs it asks `PHOTON_URL`, in which commas separate
   * several.
   */
  async run(urls?: string | string[], options: ServeOptions = {}): Promise<void> {
    const [drain, stop] = [controller(), controller()];
    const forget = [
      onAbort(options.signal ? [options.signal] : [], () => drain.abort()),
      onAbort(options.stop ? [options.stop] : [], () => stop.abort()),
    ];
    const onSignal = (): void => (drain.signal.aborted ? stop : drain).abort();
    process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
    try {
      await this.serve(urls, { ...options, signal: drain.signal, stop: stop.signal });
    } finally {
      process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      forget.forEach((it) => it());
    }
  }

  /**
   * Works until `signal` or `stop` is aborted. Throws what a region answers that will not take the
   * agent: `ProblemError`.
   */
  async serve(urls?: string | string[], options: ServeOptions = {}): Promise<void> {
    const logger = options.logger ?? SILENT;
    const planet = new Planet(this.name, this.#spec(), {
      urls: addresses(urls),
      token: options.token ?? (process.env["PHOTON_TOKEN"] || undefined),
      failoverAfterMs: options.failoverAfterMs ?? 3_000,
      logger,
    });
    const [drain, stop] = [controller(), controller()];
    const forget = [
      onAbort([options.signal, options.stop].filter((it) => it !== undefined), () => drain.abort()),
      onAbort(options.stop === undefined ? [] : [options.stop], () => stop.abort()),
    ];
    const worker = new Worker(planet, (lease) => this.#handler(lease), logger, stop.signal);
    const ended = controller();
    try {
      await planet.attach(drain.signal);
      options.onReady?.(planet.region);
      const watching = planet.watch(ended.signal);
      await worker.take(this.name, this.#capacity, drain.signal).finally(async () => {
        await worker.rest();
        ended.abort();
        await watching;
      });
    } catch (error) {
      if (!drain.signal.aborted) throw error;
    } finally {
      forget.forEach((it) => it());
    }
  }

  get #capacity(): number {
    return this.#options.capacity ?? 4;
  }

  #spec(): AgentPut {
    const { skills = [], ...announced } = this.#options;
    const all = [...new Set([...skills, ...this.#handlers.keys()])];
    if (all.length === 0) throw new TypeError("the agent offers no skill");
    return { ...announced, skills: all, capacity: this.#capacity };
  }

  #handler(lease: Lease): Handler | undefined {
    const sole = this.#handlers.size === 1 ? [...this.#handlers.values()][0] : undefined;
    const skill = skillOf(lease);
    if (skill === undefined) return this.#default ?? sole;
    return this.#handlers.get(skill) ?? this.#default;
  }
}

/** Takes leases for as long as the region gives them, no more at once than there is room for. */
class Worker {
  readonly #planet: Planet;
  readonly #handlerOf: (lease: Lease) => Handler | undefined;
  readonly #logger: Logger;
  readonly #stop: AbortSignal;
  readonly #attempts = new Set<Promise<void>>();

  constructor(
    planet: Planet,
    handlerOf: (lease: Lease) => Handler | undefined,
    logger: Logger,
    stop: AbortSignal,
  ) {
    this.#planet = planet;
    this.#handlerOf = handlerOf;
    this.#logger = logger;
    this.#stop = stop;
  }

  /** Takes tasks until it is told not to. Throws when the region does not want the agent. */
  async take(agent: string, capacity: number, drain: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    while (!drain.aborted) {
      const limit = capacity - this.#attempts.size;
      if (limit <= 0) {
        await this.#until(Promise.race(this.#attempts), drain);
        continue;
      }
      const moved = this.#planet.moved;
      // A region that was away is first asked whether it is back, without waiting for work.
      const wait_ms = backoff.failures === 0 ? POLL_MS : 0;
      try {
        const how = { signals: [drain], timeoutMs: wait_ms + Planet.ANSWER_WITHIN_MS };
        const post = { agent, limit, wait_ms };
        const answer = await this.#planet.call("POST", "/v1/leases", post, how);
        backoff.reset();
        for (const lease of (answer as { leases: Lease[] }).leases) this.#begin(lease);
      } catch (error) {
        if (drain.aborted) return;
        this.#logger.debug("no answer to a question for work", { why: String(error) });
        await this.#mend(error, drain).catch((error: unknown) => {
          if (!isPassing(error) && !drain.aborted) throw error;
        });
        await this.#planet.pause(error, backoff, moved, drain);
      }
    }
  }

  /** Does about a refusal what can be done. */
  async #mend(error: unknown, drain: AbortSignal): Promise<void> {
    if (isPassing(error)) return;
    if (!(error instanceof ProblemError)) throw error;
    if (error.status === 404) return await this.#planet.announce(drain);
    if (error.kind !== "attached-elsewhere") throw error;
    await this.#planet.follow(error.problem.region, drain);
  }

  #begin(lease: Lease): void {
    const attempt = new Attempt(this.#planet, lease, this.#logger, this.#stop);
    const run = attempt.run(this.#handlerOf(lease)).finally(() => this.#attempts.delete(run));
    this.#attempts.add(run);
  }

  /** Waits until what is under way has ended, or the agent has to end at once. */
  async rest(): Promise<void> {
    await this.#until(Promise.all(this.#attempts), this.#stop);
  }

  async #until(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
    const over = controller();
    await Promise.race([promise, sleep(Infinity, signal, over.signal)]).finally(() => over.abort());
  }
}
