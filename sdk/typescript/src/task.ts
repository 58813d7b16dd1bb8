/**
 * A task as a handler sees it.
 * Must not know how the region is reached, nor who calls the handler.
 */

import { Cancelled, Failed, Paused } from "./errors.js";
import type { ArtifactStream, Outbox } from "./outbox.js";
import { unlessAborted } from "./time.js";
import type { Lease, Message, Part } from "./wire.js";
import { answersAmong, encode, isLabel, partsOf, skillOf, textOf } from "./wire.js";

/** What an artifact holds: exactly one of the first four. */
export interface Content {
  text?: string;
  /** Any JSON. */
  data?: unknown;
  /** Bytes. */
  raw?: Uint8Array;
  url?: string;
  /** What people call the artifact. */
  name?: string;
  mediaType?: string;
  filename?: string;
}

/** What the client is asked. */
export interface Question {
  for: "input" | "auth";
  parts: Part[];
}

/** The artifact that is made of what a handler returns. */
export const OUTPUT = "output";

/** A task under way: what is asked, and what the handler can tell of it. */
export class Task {
  /** The most bytes of a step's result, as JSON. */
  static readonly STEP_BYTES_MAX = 64 << 10;

  readonly id: string;
  /**
   * The skill that was asked for; absent if the agent was asked for by name, and the metadata of the
   * message name none.
   */
  readonly skill: string | undefined;
  /** The conversation that the task belongs to. */
  readonly contextId: string;
  /** Which attempt this is: 1 for the first. */
  readonly attempt: number;
  /** Where the task and all that belongs to it may live. */
  readonly placement: string;
  /** What was asked. */
  readonly message: Message;
  /** What was asked of the client and what it answered since, in order. */
  readonly turns: readonly Message[];
  /** When this attempt has to be over, if it has to. */
  readonly closesAt: Date | undefined;
  /** Aborted once the task is not this worker's any more. The reason is a `Cancelled`. */
  readonly signal: AbortSignal;

  readonly #outbox: Outbox;
  readonly #answers: Message[];
  readonly #steps = new Map<string, Promise<string>>();
  #asked = 0;
  #question: Question | undefined;
  #hasOutput = false;

  /** @internal */
  constructor(lease: Lease, outbox: Outbox, signal: AbortSignal) {
    this.id = lease.task;
    this.skill = skillOf(lease);
    this.contextId = lease.context_id;
    this.attempt = lease.attempt;
    this.placement = lease.placement;
    this.message = lease.message;
    this.turns = lease.turns ?? [];
    this.closesAt = lease.closes_at === undefined ? undefined : new Date(lease.closes_at);
    this.signal = signal;
    this.#outbox = outbox;
    this.#answers = answersAmong(lease.turns ?? []);
    for (const { key, value } of lease.checkpoints ?? []) {
      this.#steps.set(key, Promise.resolve(JSON.stringify(value)));
    }
  }

  /** All parts of the message and of the turns after it. */
  get parts(): Part[] {
    return [this.message, ...this.turns].flatMap((it) => it.parts);
  }

  /** All text of the message and of the turns after it, joined with newlines. */
  get text(): string {
    return textOf(this.message, ...this.turns);
  }

  /** What the client has answered so far: what `ask` gives the text of. */
  get answers(): readonly Message[] {
    return this.#answers;
  }

  /** Whether the task is not this worker's any more. */
  get cancelled(): boolean {
    return this.signal.aborted;
  }

  /** @internal What the client is asked, if the handler asked something. */
  get question(): Question | undefined {
    return this.#question;
  }

  /** @internal Whether the handler told the artifact `output` itself. */
  get hasOutput(): boolean {
    return this.#hasOutput;
  }

  /**
   * Does something once, whatever becomes of this worker: what `fn` returns is a checkpoint, and
   * the next attempt, in whatever region, is given that instead of running `fn` again. It has to be
   * JSON of at most 64 KiB, and is given back as JSON has it; `undefined` as `null`. Returns once
   * the checkpoint is on the disk of the task's home. `key`: 1 to 128 visible ASCII characters.
   */
  async step<T, A extends unknown[]>(
    key: string,
    fn: (...args: A) => T | PromiseLike<T>,
    ...args: A
  ): Promise<T> {
    this.#check(key);
    let step = this.#steps.get(key);
    if (step === undefined) {
      step = this.#run(key, async () => await fn(...args));
      this.#steps.set(key, step);
      step.catch(() => this.#steps.delete(key)); // It may be tried again.
    }
    return JSON.parse(await step) as T;
  }

  async #run(key: string, fn: () => Promise<unknown>): Promise<string> {
    const result = await unlessAborted(this.signal, fn());
    this.#check(key);
    const value = encode(result ?? null);
    if (value === undefined) throw new TypeError(`the result of step ${key} is no JSON`);
    if (Task.STEP_BYTES_MAX < Buffer.byteLength(value)) {
      const why = `the result of step ${key} has more than ${Task.STEP_BYTES_MAX} bytes`;
      throw new Failed(why, { retryable: false });
    }
    await this.#outbox.tell({ checkpoint: { key, value: JSON.parse(value) as unknown } });
    return value;
  }

  /**
   * Begins an artifact that is told piece by piece. Pieces are told together, soon. It is ended by
   * `close`, or by the handler's return; a later attempt begins it anew.
   */
  artifact(id: string, options: { name?: string } = {}): ArtifactStream {
    this.#check(id);
    this.#hasOutput ||= id === OUTPUT;
    return this.#outbox.stream(id, options.name);
  }

  /** Tells an artifact in one go. Returns once it is on the disk of the task's home. */
  async emit(id: string, content: Content): Promise<void> {
    this.#check(id);
    this.#hasOutput ||= id === OUTPUT;
    const { name, mediaType, filename, text, data, raw, url } = content;
    const given = [text, data, raw, url].filter((it) => it !== undefined);
    if (given.length !== 1) throw new TypeError("give one of `text`, `data`, `raw` and `url`");
    const found = partsOf(text ?? raw)[0] ?? (url === undefined ? dataPart(data) : { url });
    const part = { ...found, ...(mediaType && { mediaType }), ...(filename && { filename }) };
    const named = name === undefined ? {} : { name };
    const artifact = { id, ...named, parts: [part], append: false, last: true };
    await this.#outbox.tell({ artifact });
  }

  /** Makes a remark to whoever follows the task. */
  async status(text: string): Promise<void> {
    this.#check();
    await this.#outbox.tell({ status: text });
  }

  /**
   * Asks the client something, and returns the text of its answer. The first time that ends the
   * handler, by an exception that it has to let pass; it is run anew, maybe elsewhere, once the
   * client has answered. The n-th question of a handler gets the n-th answer: ask in the same order
   * each time, and put what must not be done twice into steps.
   */
  async ask(question: string | Part[]): Promise<string> {
    return this.#ask("input", question);
  }

  /** Asks the client to let the agent in somewhere, as `ask` does. */
  async askAuth(question: string | Part[]): Promise<string> {
    return this.#ask("auth", question);
  }

  #ask(what: Question["for"], question: string | Part[]): string {
    this.#check();
    const answer = this.#answers[this.#asked++];
    if (answer !== undefined) return textOf(answer);
    const parts = typeof question === "string" ? [{ text: question }] : question;
    this.#question = { for: what, parts };
    throw new Paused("the client is asked");
  }

  /** Checks that the task is still this worker's, and a label. */
  #check(label?: string): void {
    if (this.#question !== undefined) throw new Paused("the client is asked");
    if (this.signal.aborted) {
      const { reason } = this.signal as { reason: unknown };
      throw reason instanceof Error ? reason : new Cancelled(String(reason));
    }
    if (label !== undefined && !isLabel(label)) {
      throw new TypeError(`use 1 to 128 visible ASCII characters, not ${JSON.stringify(label)}`);
    }
  }
}

function dataPart(data: unknown): Part {
  const json = encode(data);
  if (json === undefined) throw new TypeError(`a ${typeof data} is no JSON`);
  return { data: JSON.parse(json) as unknown };
}
