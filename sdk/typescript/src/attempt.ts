/**
 * One attempt at one task: runs the handler, and tells the region what comes of it.
 * Must not know how tasks are come by, nor of other attempts.
 */

import { Cancelled, Failed, Rejected } from "./errors.js";
import { isFaulty, ProblemError } from "./http.js";
import type { Logger } from "./log.js";
import { Outbox } from "./outbox.js";
import type { Planet } from "./planet.js";
import { messageOf, Reply } from "./reply.js";
import { OUTPUT, Task } from "./task.js";
import { controller, onAbort, sleep } from "./time.js";
import type { Lease } from "./wire.js";
import { isTerminal, partsOf } from "./wire.js";

/** Does a task. What it returns completes the task: nothing, text, bytes, JSON, or a `Reply`. */
export type Handler = (task: Task) => unknown;

/** What there is to tell in the end: which of the region's doors, and what. */
interface Verdict {
  verb: "complete" | "fail" | "pause";
  body: object;
}

/** The longest reason that is told to clients. */
const REASON_MAX = 4_000;

/** An attempt. */
export class Attempt {
  readonly #planet: Planet;
  readonly #lease: Lease;
  readonly #logger: Logger;
  readonly #stop: AbortSignal;
  readonly #lost = controller();
  readonly #over = controller();
  readonly #outbox: Outbox;

  constructor(planet: Planet, lease: Lease, logger: Logger, stop: AbortSignal) {
    this.#planet = planet;
    this.#lease = lease;
    this.#logger = logger;
    this.#stop = stop;
    const { signal } = this.#lost;
    this.#outbox = new Outbox(
      (first, notes) => planet.tell(lease, "events", { first, notes }, signal),
      (error) => this.#end(asFailure(error)),
    );
  }

  /** Works on the task until the region has taken the result, or does not want it any more. */
  async run(handler: Handler | undefined): Promise<void> {
    const forget = onAbort([this.#stop], () => this.#end(new Cancelled("the worker is stopped")));
    const around = [this.#beat(), this.#watchTime()];
    const fields = { task: this.#lease.task, attempt: this.#lease.attempt };
    try {
      const verdict = await this.#work(handler);
      if (verdict === undefined) {
        const why = String(this.#lost.signal.reason);
        return this.#logger.info("abandoned", { ...fields, why });
      }
      await this.#report(verdict);
      this.#logger.info(verdict.verb, fields);
    } catch (error) {
      this.#logger.warn("the result was not taken", { ...fields, why: String(error) });
    } finally {
      forget();
      this.#end(new Cancelled("the attempt is over"));
      await Promise.all(around);
    }
  }

  /** Runs the handler, and tells what it left to tell. There is no verdict if the task is lost. */
  async #work(handler: Handler | undefined): Promise<Verdict | undefined> {
    const { signal } = this.#lost;
    const task = new Task(this.#lease, this.#outbox, signal);
    let verdict: Verdict;
    try {
      if (handler === undefined) throw new Rejected(`nothing here does ${task.skill ?? "tasks that name no skill"}`);
      const value = await handler(task);
      verdict = asked(task) ?? this.#completed(task, value);
    } catch (error) {
      verdict = asked(task) ?? this.#failed(error);
    }
    try {
      if (!signal.aborted) await this.#outbox.settle();
    } catch {
      // The outbox has ended the attempt.
    }
    if (!signal.aborted) return verdict;
    const reason = signal.reason as unknown;
    return reason instanceof Failed ? failure(reason) : undefined;
  }

  #completed(task: Task, value: unknown): Verdict {
    const reply = value instanceof Reply ? value : new Reply(undefined, { output: value });
    const parts = partsOf(reply.output);
    if (0 < parts.length && !task.hasOutput) {
      const artifact = { id: OUTPUT, parts, append: false, last: true };
      void this.#outbox.tell({ artifact }).catch(() => undefined);
    }
    this.#outbox.close();
    const { message } = reply;
    return { verb: "complete", body: message === undefined ? {} : { message } };
  }

  #failed(error: unknown): Verdict {
    const isMeant = error instanceof Failed || error instanceof Rejected;
    if (!isMeant && !this.#lost.signal.aborted) {
      this.#logger.error("the handler failed", { task: this.#lease.task, error });
    }
    return failure(error);
  }

  /** Tells what came of it, until the region takes it or does not want it. */
  async #report({ verb, body }: Verdict): Promise<void> {
    const tell = (door: string, it: object) => this.#planet.tell(this.#lease, door, it, this.#stop);
    try {
      await this.#outbox.end(
        (notes) => tell(verb, { ...body, notes }),
        (first, notes) => tell("events", { first, notes }),
      );
    } catch (error) {
      const reason = asFailure(error);
      if (verb === "fail" || reason instanceof Cancelled) throw error;
      await this.#report(failure(reason));
    }
  }

  /** Says at once, and then again and again, that the worker lives. */
  async #beat(): Promise<void> {
    const every = Math.max(this.#lease.ttl_ms / 3, 10);
    while (!this.#over.signal.aborted) {
      const began = performance.now();
      try {
        const { signal } = this.#over;
        const { state } = await this.#planet.tell(this.#lease, "heartbeat", {}, signal);
        if (isTerminal(state)) return void this.#end(new Cancelled(`the task is ${state}`));
      } catch (error) {
        return void this.#end(asFailure(error));
      }
      const pause = every - (performance.now() - began);
      await sleep(Math.max(pause, every / 10), this.#over.signal);
    }
  }

  /** Ends the attempt when its time is over. */
  async #watchTime(): Promise<void> {
    if (this.#lease.closes_at === undefined) return;
    const closes = Date.parse(this.#lease.closes_at);
    while (!this.#over.signal.aborted) {
      const rest = closes - Date.now();
      if (rest <= 0) return void this.#end(new Cancelled("the time of the attempt is over"));
      await sleep(rest, this.#over.signal);
    }
  }

  /** Brings the handler to its end; the first reason counts. */
  #end(reason: Cancelled | Failed): Error {
    this.#lost.abort(reason);
    if (reason instanceof Cancelled) this.#over.abort(); // It is heard no more.
    return reason;
  }
}

function asked(task: Task): Verdict | undefined {
  if (task.question === undefined) return undefined;
  const message = messageOf(task.question.parts);
  return { verb: "pause", body: { for: task.question.for, message } };
}

function failure(error: unknown): Verdict {
  const isOwn = error instanceof Failed || error instanceof Rejected;
  const name = isOwn || !(error instanceof Error) ? "" : `${error.name}: `;
  const text = error instanceof Error ? error.message : String(error);
  const reason = (name + text).slice(0, REASON_MAX).toWellFormed();
  const rejected = error instanceof Rejected;
  return { verb: "fail", body: { reason, rejected, non_retryable: !retryable(error) } };
}

function retryable(error: unknown): boolean {
  return !(error instanceof Failed) || error.retryable;
}

/** What a refusal means for the attempt: what is told is not acceptable, or the lease is lost. */
function asFailure(error: unknown): Cancelled | Failed {
  if (error instanceof Cancelled || error instanceof Failed) return error;
  if (isFaulty(error)) {
    const why = `the region refuses it: ${error.message}`;
    return new Failed(why, { retryable: false, cause: error });
  }
  const kind = error instanceof ProblemError ? ` (${error.kind || error.status})` : "";
  return new Cancelled(error instanceof Error ? error.message + kind : String(error));
}
