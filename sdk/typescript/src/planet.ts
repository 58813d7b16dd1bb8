/**
 * The regions: which there are, which one the agent is attached to, and when to leave it.
 * Must not know what the agent works on.
 */

import { ask, isAway, isPassing, ProblemError, Unreachable } from "./http.js";
import type { Logger } from "./log.js";
import { Backoff, controller, sleep } from "./time.js";
import type { AgentPut, Lease, Regions, Standing } from "./wire.js";

const URL_DEFAULT = "http://127.0.0.1:7400";

/** How the regions are reached. */
export interface PlanetOptions {
  /** Base URLs, in the order in which they are tried. */
  urls: string[];
  token?: string | undefined;
  /** For how long the region may not answer before the agent goes to another one. */
  failoverAfterMs: number;
  logger: Logger;
}

/** What is asked of the attached region, or of another one that may hold the task. */
export interface Ask {
  signals: AbortSignal[];
  timeoutMs?: number;
}

/** The region that the agent is attached to, for as long as it is. */
interface Attachment {
  base: string;
  region: string;
  /** Aborted once the agent is attached elsewhere: whoever waits for this region need not. */
  moved: AbortController;
}

/** A planet, as a worker knows it. */
export class Planet {
  /** How long a region may take to answer; it may itself wait for 10 s for the home of a task. */
  static readonly ANSWER_WITHIN_MS = 15_000;
  /** How often the planet is asked which regions it has. */
  static readonly LEARN_EVERY_MS = 60_000;
  /** The longest pause that a region can ask for. */
  static readonly RETRY_AFTER_MS_MAX = 60_000;

  readonly #options: PlanetOptions;
  readonly #path: string;
  readonly #spec: AgentPut;
  readonly #names = new Map<string, string>();
  /** When regions were of no use. */
  readonly #awayAt = new Map<string, number>();
  #learned: Regions["regions"] = [];
  #placements = new Map<string, string[]>();
  #learnedAt = -Infinity;
  #at: Attachment | undefined;
  #heardAt = 0;
  #silentSince: number | undefined;
  #doubt = controller();

  constructor(agent: string, spec: AgentPut, options: PlanetOptions) {
    this.#options = { ...options, urls: [...new Set(options.urls.map(normal))] };
    if (this.#options.urls.length === 0) throw new TypeError("no URL of a region is given");
    if (options.token !== undefined && !/^[!-~]+$/.test(options.token)) {
      throw new TypeError("the token has to be visible ASCII characters");
    }
    this.#path = `/v1/agents/${encodeURIComponent(agent)}`;
    this.#spec = spec;
  }

  /** The region that the agent is attached to. */
  get region(): string {
    return this.#attached.region;
  }

  get #attached(): Attachment {
    if (this.#at === undefined) throw new Error("the agent is not attached to a region yet");
    return this.#at;
  }

  /**
   * Registers with the first region that takes the agent, however long it takes to find one.
   * Throws if none will ever take it and it never had a region, or if it is aborted.
   */
  async attach(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    for (;;) {
      let refused: ProblemError | undefined;
      let mayPass = this.#at !== undefined;
      const bases = this.#bases();
      for (const base of bases) {
        try {
          return this.#settle(base, await this.#register(base, [signal]));
        } catch (error) {
          if (signal.aborted) throw signal.reason;
          const why = String(error);
          this.#options.logger.warn("a region did not take the agent", { base, why });
          if (error instanceof ProblemError && !isPassing(error)) refused = error;
          else mayPass = true;
          if (refused?.status !== 421) continue;
          // What may not be there may be welcome in a region that is yet to be learned of.
          await this.#learn(base, signal);
          bases.push(...this.#bases().filter((it) => !bases.includes(it)));
        }
      }
      if (refused !== undefined && !mayPass) throw refused;
      await sleep(backoff.next(), signal);
      if (signal.aborted) throw signal.reason;
    }
  }

  /** Registers once more with the attached region, once. */
  async announce(signal: AbortSignal): Promise<void> {
    const { base, moved } = this.#attached;
    await this.#register(base, [signal, moved.signal]);
  }

  async #register(base: string, signals: AbortSignal[]): Promise<string> {
    const timeoutMs = Math.max(this.#options.failoverAfterMs, 1_000);
    const request = { method: "PUT", path: this.#path, body: this.#spec } as const;
    const { token } = this.#options;
    const agent = await ask(base, { ...request, token, timeoutMs, signals });
    return (agent as { region: string }).region;
  }

  /** Goes on with a region. Who waits for another one is told. */
  #settle(base: string, region: string): void {
    const before = this.#at;
    this.#names.set(base, region);
    if (before?.base === base) return this.#heard();
    this.#at = { base, region, moved: controller() };
    this.#learnedAt = -Infinity;
    if (before !== undefined) this.#awayAt.set(before.base, performance.now());
    this.#doubt.abort();
    this.#heard();
    this.#options.logger.info("attached", { region, base, before: before?.region });
    before?.moved.abort(new Unreachable(`the agent is attached to ${region} now`));
  }

  /** Goes where the planet says that the agent is; or calls it back, if nobody is there. */
  async follow(region: string | undefined, signal: AbortSignal): Promise<void> {
    let base = this.#bases().find((it) => this.#name(it) === region);
    if (base === undefined) {
      await this.#learn(this.#attached.base, signal);
      base = this.#bases().find((it) => this.#name(it) === region);
    }
    if (base === undefined || region === undefined || base === this.#attached.base) {
      return await this.announce(signal);
    }
    if (await this.#probe(base, this.#options.failoverAfterMs, signal)) {
      return this.#settle(base, region);
    }
    await this.announce(signal);
  }

  /** Asks the attached region, once. */
  async call(method: "GET" | "POST", path: string, body: unknown, how: Ask): Promise<unknown> {
    const { base, moved } = this.#attached;
    const signals = [...how.signals, moved.signal];
    const timeoutMs = how.timeoutMs ?? Planet.ANSWER_WITHIN_MS;
    try {
      const { token } = this.#options;
      const answer = await ask(base, { method, path, body, token, timeoutMs, signals });
      if (base === this.#at?.base) this.#heard();
      return answer;
    } catch (error) {
      if (base === this.#at?.base && !signals.some((it) => it.aborted)) this.#took(error);
      throw error;
    }
  }

  /**
   * Tells something of a lease until it is answered for good: through the attached region, or if
   * that may not hold the task through one that may. All of it may safely be told twice.
   */
  async tell(lease: Lease, verb: string, body: object, signal: AbortSignal): Promise<Standing> {
    const path = `/v1/leases/${encodeURIComponent(lease.task)}/${verb}`;
    const request = { token: lease.token, ...body };
    const backoff = new Backoff();
    for (;;) {
      const { moved } = this.#attached;
      try {
        return (await this.#tellOnce(lease.placement, path, request, signal)) as Standing;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        const isOutside = error instanceof ProblemError && error.status === 421;
        const members = isOutside ? error.problem.members : undefined;
        if (members !== undefined) this.#placements.set(lease.placement, members);
        else if (!isPassing(error)) throw error;
        this.#options.logger.debug("asking again", { task: lease.task, verb, why: String(error) });
        await this.pause(error, backoff, moved.signal, signal);
        if (signal.aborted) throw signal.reason;
      }
    }
  }

  async #tellOnce(
    placement: string,
    path: string,
    body: object,
    signal: AbortSignal,
  ): Promise<unknown> {
    const members = this.#placements.get(placement);
    const others = this.#bases().filter((it) => members?.includes(this.#name(it) ?? ""));
    const isInside = members === undefined || members.includes(this.#attached.region);
    if (isInside || others.length === 0) {
      return await this.call("POST", path, body, { signals: [signal] });
    }
    // Who was of no use just now is the last to be asked.
    others.sort((a, b) => (this.#awayAt.get(a) ?? 0) - (this.#awayAt.get(b) ?? 0));
    const [base = ""] = others;
    const { token } = this.#options;
    const timeoutMs = Planet.ANSWER_WITHIN_MS;
    try {
      return await ask(base, { method: "POST", path, body, token, timeoutMs, signals: [signal] });
    } catch (error) {
      if (isAway(error)) this.#awayAt.set(base, performance.now());
      throw error;
    }
  }

  /** The signal that the agent is not attached to the region of today any more. */
  get moved(): AbortSignal {
    return this.#attached.moved.signal;
  }

  /** Waits after an error that will pass, as long as the region wants, but not until it is left. */
  async pause(error: unknown, backoff: Backoff, ...signals: AbortSignal[]): Promise<void> {
    const asked = error instanceof ProblemError ? (error.retryAfterMs ?? 0) : 0;
    const own = backoff.next();
    await sleep(Math.max(own, Math.min(asked, Planet.RETRY_AFTER_MS_MAX) + own / 2), ...signals);
  }

  /**
   * Sees that the attached region answers, and leaves it when it has not for too long; learns now
   * and then which regions there are. Ends once it is aborted.
   */
  async watch(signal: AbortSignal): Promise<void> {
    const patience = this.#options.failoverAfterMs;
    while (!signal.aborted) {
      const now = performance.now();
      if (this.#silentSince === undefined && Planet.LEARN_EVERY_MS <= now - this.#learnedAt) {
        await this.#learn(this.#attached.base, signal);
      } else if (this.#silentSince === undefined && now < this.#heardAt + patience) {
        await sleep(this.#heardAt + patience - now, signal, this.#doubt.signal);
      } else if (patience <= now - (this.#silentSince ?? now)) {
        const { region } = this.#attached;
        this.#options.logger.warn("the region does not answer; going to another", { region });
        await this.attach(signal).catch(() => undefined); // It was aborted.
      } else {
        await this.#look(patience - (now - (this.#silentSince ?? now)), signal);
      }
    }
  }

  /** Looks whether the attached region is there, for a while at most. */
  async #look(withinMs: number, signal: AbortSignal): Promise<void> {
    const asked = performance.now();
    const { base } = this.#attached;
    const isThere = await this.#probe(base, Math.max(withinMs, 10), signal);
    if (base !== this.#attached.base) return;
    if (isThere) return this.#heard();
    this.#silentSince ??= asked;
    const rest = this.#silentSince + this.#options.failoverAfterMs - performance.now();
    if (0 < rest) await sleep(Math.min(rest, this.#options.failoverAfterMs / 8), signal);
  }

  async #probe(base: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    try {
      await ask(base, { method: "GET", path: "/readyz", timeoutMs, signals: [signal] });
      return true;
    } catch {
      return false;
    }
  }

  /** Learns which regions there are; it does no harm if that does not work out. */
  async #learn(base: string, signal: AbortSignal): Promise<void> {
    const { token, failoverAfterMs: timeoutMs, logger } = this.#options;
    this.#learnedAt = performance.now();
    try {
      const request = { method: "GET", path: "/v1/regions", token, timeoutMs } as const;
      const found = (await ask(base, { ...request, signals: [signal] })) as Regions;
      this.#names.set(base, found.here);
      this.#learned = found.regions;
      this.#placements = new Map(Object.entries(found.placements));
      if (base === this.#at?.base) this.#heard();
    } catch (error) {
      if (base === this.#at?.base && !signal.aborted) this.#took(error);
      logger.debug("the regions could not be learned of", { base, why: String(error) });
    }
  }

  /** All regions that could be asked: as configured, then the nearest; the attached one last. */
  #bases(): string[] {
    const { urls } = this.#options;
    const isPlain = urls.some((it) => it.startsWith("http:"));
    const distance = (it: Regions["regions"][number]) =>
      it.health === "unlinked" ? Infinity : (it.round_trip_ms ?? 0);
    const known = new Set(urls.map((it) => this.#names.get(it)));
    const learned = this.#learned.filter((it) => !known.has(it.name) && URL.canParse(it.api));
    learned.sort((a, b) => distance(a) - distance(b));
    // The token of a planet that is asked over TLS is shown to nobody without.
    const apis = learned.map((it) => normal(it.api));
    const all = [...urls, ...apis.filter((it) => isPlain || it.startsWith("https:"))];
    const last = this.#at?.base;
    return [...new Set(all.filter((it) => it !== last)), ...(last === undefined ? [] : [last])];
  }

  #name(base: string): string | undefined {
    return this.#names.get(base) ?? this.#learned.find((it) => normal(it.api) === base)?.name;
  }

  #heard(): void {
    this.#heardAt = performance.now();
    this.#silentSince = undefined;
    if (this.#doubt.signal.aborted) this.#doubt = controller();
  }

  /** Takes in that a request to the attached region failed. */
  #took(error: unknown): void {
    if (!isAway(error)) return this.#heard();
    this.#silentSince ??= performance.now();
    this.#doubt.abort();
  }
}

/** The base URLs that were given, or else those of the environment. */
export function addresses(urls: string | string[] | undefined): string[] {
  const given = urls ?? (process.env["PHOTON_URL"] || URL_DEFAULT);
  const list = (Array.isArray(given) ? given : given.split(",")).map((it) => it.trim());
  return list.filter((it) => it !== "");
}

/** A base URL without a slash at its end. Throws if it is none. */
export function normal(url: string): string {
  const { protocol, href } = new URL(url);
  if (!["http:", "https:"].includes(protocol)) throw new TypeError(`${url} is no URL of HTTP`);
  return href.replace(/\/+$/, "");
}
