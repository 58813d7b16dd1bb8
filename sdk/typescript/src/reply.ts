/**
 * What a handler may return.
 * Must not know how it is told.
 */

import { randomUUID } from "node:crypto";

import type { Message, Part } from "./wire.js";
import { partsOf } from "./wire.js";

/** What a reply says beside its text. */
export interface ReplyOptions {
  /** Parts of the closing message, after the text. */
  parts?: Part[];
  /** Metadata of the closing message. */
  metadata?: Record<string, unknown>;
  /** Whether A2A clients that wait are answered with the message alone, without a task. */
  direct?: boolean;
  /** The artifact `output`: text, bytes, or any JSON. */
  output?: unknown;
}

/** Completes a task with closing words: a message, which is no artifact. */
export class Reply {
  readonly output: unknown;
  readonly #parts: Part[];
  readonly #metadata: Record<string, unknown>;

  constructor(text?: string, options: ReplyOptions = {}) {
    this.output = options.output;
    this.#parts = [...partsOf(text), ...(options.parts ?? [])];
    const direct = options.direct === true ? { "photon/direct": true } : {};
    this.#metadata = { ...options.metadata, ...direct };
  }

  /** @internal */
  get message(): Message | undefined {
    return this.#parts.length === 0 ? undefined : messageOf(this.#parts, this.#metadata);
  }
}

/** A message of an agent. */
export function messageOf(parts: Part[], metadata: Record<string, unknown> = {}): Message {
  const extra = Object.keys(metadata).length === 0 ? {} : { metadata };
  return { messageId: randomUUID(), role: "ROLE_AGENT", parts, ...extra };
}
