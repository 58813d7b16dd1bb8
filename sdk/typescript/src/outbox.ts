/**
 * What an attempt tells its region, numbered: few requests, soon, and in order.
 * Must not know how a request finds its region.
 */

import { Cancelled } from "./errors.js";
import { ProblemError } from "./http.js";
import type { Note } from "./wire.js";
import { encode } from "./wire.js";

/** Tells notes; the first has a number. Throws what cannot pass. */
export type Send = (first: number, notes: Note[]) => Promise<unknown>;

/** A note with its size, and who waits until the task's home has it on disk. */
interface Entry {
  note: Note;
  bytes: number;
  done: PromiseWithResolvers;
}

interface PromiseWithResolvers {
  promise: Promise<void>;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

/**
 * The notes of one attempt. All are kept until it ends: a home that takes over from one that was
 * lost may ask for them again. A region bounds what they hold together (4 MiB unless configured).
 */
export class Outbox {
  /** How many notes, and bytes of them, are told in one request. */
  static readonly NOTES_MAX = 64;
  static readonly BATCH_BYTES_MAX = 512 << 10;
  /** Bytes that wait to be told; at it those who write wait. */
  static readonly UNTOLD_BYTES_MAX = 256 << 10;
  /** How long a piece waits for others that may be told with it. */
  static readonly LINGER_MS = 50;

  readonly #send: Send;
  readonly #onFault: (error: unknown) => Error;
  readonly #entries: Entry[] = [];
  readonly #streams = new Map<string, ArtifactStream>();
  #known = 0;
  #untold = 0;
  #busy: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #fault: Error | undefined;

  /** `onFault` is told what cannot pass, and says what those are thrown who wait. */
  constructor(send: Send, onFault: (error: unknown) => Error) {
    this.#send = send;
    this.#onFault = onFault;
  }

  /** Tells a note after all that was told before; returns once the task's home has it on disk. */
  async tell(note: Note): Promise<void> {
    this.#collect();
    const entry = this.#push(note);
    this.#kick();
    await entry.done.promise;
  }

  /** Begins an artifact that is told in pieces, or returns it if it is under way. */
  stream(id: string, name?: string): ArtifactStream {
    const open = this.#streams.get(id);
    if (open !== undefined) return open;
    const link = { isDue: (now: boolean) => this.#due(now), last: () => this.#last(id) };
    const stream = new ArtifactStream(id, name, link);
    this.#streams.set(id, stream);
    return stream;
  }

  /** Ends the artifacts that are under way. */
  close(): void {
    for (const stream of this.#streams.values()) void stream.close().catch(() => undefined);
  }

  /** Returns once all that was told is on the disk of the task's home. Throws if it cannot be. */
  async settle(): Promise<void> {
    this.#collect();
    this.#kick();
    await this.#busy;
    if (this.#fault !== undefined) throw this.#fault;
  }

  /**
   * Has the end said, with the number of notes before it. While the home lacks some of them, `send`
   * tells those again, and the end is said anew. Nothing new is told any more.
   */
  async end(say: (notes: number) => Promise<unknown>, send: Send): Promise<void> {
    this.#fault ??= new Cancelled("the attempt has ended");
    await this.#busy;
    for (;;) {
      await this.#tellRest(send);
      try {
        await say(this.#known);
        return;
      } catch (error) {
        this.#goBack(error);
      }
    }
  }

  #push(note: Note): Entry {
    const bytes = Buffer.byteLength(encode(note) ?? "");
    const entry = { note, bytes, done: withResolvers() };
    entry.done.promise.catch(() => undefined); // Whoever waits is told; nobody has to.
    if (this.#fault !== undefined) {
      entry.done.reject(this.#fault);
    } else {
      this.#entries.push(entry);
      this.#untold += bytes;
    }
    return entry;
  }

  /** Makes notes of what was written since. */
  #collect(): void {
    for (const [id, stream] of this.#streams) {
      for (const note of stream.take()) this.#push(note);
      if (stream.isClosed) this.#streams.delete(id);
    }
  }

  /** Something was written: it is told now, or soon. Returns once there is room for more. */
  async #due(now: boolean): Promise<void> {
    if (now) {
      this.#collect();
      this.#kick();
    } else if (this.#busy === undefined) {
      this.#timer ??= setTimeout(() => this.#kick(), Outbox.LINGER_MS);
    }
    if (Outbox.UNTOLD_BYTES_MAX < this.#untold) await this.#busy;
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** A stream has ended: returns once its last piece is on disk. */
  async #last(id: string): Promise<void> {
    this.#collect();
    this.#kick();
    if (this.#fault !== undefined) throw this.#fault;
    const notes = this.#entries.filter((it) => it.note.artifact?.id === id);
    await notes.at(-1)?.done.promise;
  }

  #kick(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#fault !== undefined) return;
    this.#busy ??= this.#pump();
  }

  /** Tells what there is to tell. Never throws. */
  async #pump(): Promise<void> {
    await Promise.resolve(); // What is told in one go is told in one request.
    await this.#tellRest(this.#send).catch(() => undefined); // Those who wait are told.
  }

  /** Tells what there is to tell, one request after the other. What is refused does not count. */
  async #tellRest(send: Send): Promise<void> {
    try {
      for (;;) {
        this.#collect();
        const batch = this.#batch();
        if (batch.length === 0) return;
        await this.#tellBatch(batch, send);
      }
    } catch (cause) {
      this.#fault = this.#onFault(cause);
      for (const entry of this.#entries.splice(this.#known)) entry.done.reject(this.#fault);
      throw this.#fault;
    } finally {
      this.#busy = undefined;
    }
  }

  #batch(): Entry[] {
    let bytes = 0;
    const waiting = this.#entries.slice(this.#known, this.#known + Outbox.NOTES_MAX);
    const end = waiting.findIndex((it) => Outbox.BATCH_BYTES_MAX < (bytes += it.bytes));
    return end === -1 ? waiting : waiting.slice(0, Math.max(end, 1));
  }

  async #tellBatch(batch: Entry[], send: Send): Promise<void> {
    try {
      await send(this.#known + 1, batch.map((it) => it.note));
    } catch (error) {
      return this.#goBack(error);
    }
    this.#known += batch.length;
    this.#measure();
    for (const entry of batch) entry.done.resolve();
  }

  /** Goes back to the first note that the home lacks; throws the error if that is another. */
  #goBack(error: unknown): void {
    const isGap = error instanceof ProblemError && error.kind === "note-gap";
    const expected = isGap ? (error.problem.expected ?? 0) : 0;
    if (expected < 1 || this.#known < expected) throw error;
    this.#known = expected - 1; // A lost home took the others along: its heir is told again.
    this.#measure();
  }

  #measure(): void {
    this.#untold = this.#entries.slice(this.#known).reduce((sum, it) => sum + it.bytes, 0);
  }
}

/** What a stream has of its outbox. */
interface StreamLink {
  isDue: (now: boolean) => Promise<void>;
  last: () => Promise<void>;
}

/**
 * An artifact that is told piece by piece, as it comes about: text, or bytes. Text is cut between
 * characters. What is open when the handler returns is ended by that.
 */
export class ArtifactStream {
  /** The most bytes of a part. */
  static readonly PART_BYTES_MAX = 16 << 10;

  readonly #name: string | undefined;
  readonly #link: StreamLink;
  #text = "";
  #notes: Note[] = [];
  #begun = false;
  #closed = false;

  /** @internal */
  constructor(
    readonly id: string,
    name: string | undefined,
    link: StreamLink,
  ) {
    this.#name = name;
    this.#link = link;
  }

  /** @internal */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Adds a piece. Returns at once, or when too much waits to be told once that is told. */
  async write(piece: string | Uint8Array): Promise<void> {
    if (this.#closed) throw new TypeError(`the artifact ${this.id} is closed`);
    if (typeof piece === "string") this.#text += piece;
    else this.#addBytes(piece);
    await this.#link.isDue(
      ArtifactStream.PART_BYTES_MAX <= this.#text.length || 0 < this.#notes.length,
    );
  }

  /** Ends the artifact: it is whole. Returns once the task's home has all of it on disk. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#cut(true);
      this.#closed = true;
      const last = this.#notes.at(-1)?.artifact;
      if (last !== undefined) last.last = true;
      else this.#add({ text: "" }, true);
    }
    await this.#link.last();
  }

  /** @internal Gives the notes that are due, what could be half a character excepted. */
  take(): Note[] {
    if (!this.#closed) this.#cut(false);
    return this.#notes.splice(0);
  }

  #addBytes(bytes: Uint8Array): void {
    this.#cut(true);
    const max = ArtifactStream.PART_BYTES_MAX;
    for (let at = 0; at < bytes.length; at += max) {
      this.#add({ raw: Buffer.from(bytes.subarray(at, at + max)).toString("base64") });
    }
  }

  #cut(isEnd: boolean): void {
    const room = new Uint8Array(ArtifactStream.PART_BYTES_MAX);
    const held = !isEnd && /[\ud800-\udbff]$/.test(this.#text) ? 1 : 0;
    let rest = this.#text.slice(0, this.#text.length - held);
    while (rest !== "") {
      const { read } = new TextEncoder().encodeInto(rest, room);
      this.#add({ text: rest.slice(0, read).toWellFormed() });
      rest = rest.slice(read);
    }
    this.#text = this.#text.slice(this.#text.length - held);
  }

  #add(part: { text: string } | { raw: string }, last = false): void {
    const name = this.#name === undefined ? {} : { name: this.#name };
    const { id } = this;
    this.#notes.push({ artifact: { id, ...name, parts: [part], append: this.#begun, last } });
    this.#begun = true;
  }
}

function withResolvers(): PromiseWithResolvers {
  let resolve = (): void => undefined;
  let reject = (_: unknown): void => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
