/**
 * The JSON that a region and a worker exchange.
 * Must not know when any of it is said.
 */

/** Any JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A piece of a message or an artifact, as A2A 1.0 has it: one of `text`, `raw`, `url`, `data`. */
export interface Part {
  text?: string;
  /** Bytes, in base 64. */
  raw?: string;
  url?: string;
  data?: unknown;
  filename?: string;
  mediaType?: string;
  metadata?: Record<string, unknown>;
}

/** One message between a client and an agent, as A2A 1.0 has it. */
export interface Message {
  messageId: string;
  role: "ROLE_USER" | "ROLE_AGENT";
  parts: Part[];
  contextId?: string;
  taskId?: string;
  metadata?: Record<string, unknown>;
  extensions?: string[];
  referenceTaskIds?: string[];
}

/** The right to work on a task. */
export interface Lease {
  task: string;
  token: string;
  attempt: number;
  home: string;
  skill?: string;
  agent?: string;
  message: Message;
  turns?: Message[];
  checkpoints?: { key: string; value: unknown }[];
  context_id: string;
  placement: string;
  ttl_ms: number;
  closes_at?: string;
}

/**
 * Returns the skill that is asked for: of an agent that was asked for by name its client may say so
 * in the message's metadata, as it would to have any agent with the skill.
 */
export function skillOf(lease: Lease): string | undefined {
  const metadata = lease.message.metadata ?? {};
  const named = lease.skill ?? metadata["photon/skill"] ?? metadata["skill"];
  return typeof named === "string" ? named : undefined;
}

/** One thing that a worker tells of a task. */
export interface Note {
  status?: string;
  artifact?: { id: string; name?: string; parts: Part[]; append: boolean; last: boolean };
  checkpoint?: { key: string; value: unknown };
}

/** Where a task stands at its home. */
export interface Standing {
  state: string;
  generation: number;
}

/** What an agent's operator announces. */
export interface AgentPut {
  skills: string[];
  capacity: number;
  cost?: number;
  card?: object;
  description?: string;
  placement?: string;
}

/** The planet, as one region sees it. */
export interface Regions {
  here: string;
  regions: {
    name: string;
    api: string;
    health: string;
    verdict?: string;
    round_trip_ms?: number;
  }[];
  placements: Record<string, string[]>;
}

/** What a region says when it refuses (RFC 9457). */
export interface Problem {
  type?: string;
  title?: string;
  detail?: string;
  region?: string;
  members?: string[];
  expected?: number;
  retry_after_ms?: number;
}

/** States in which a task has ended. */
const TERMINAL = ["completed", "failed", "canceled", "rejected"];

/** Whether a task has ended, for ever. */
export function isTerminal(state: string): boolean {
  return TERMINAL.includes(state);
}

/** Whether a text may name an artifact or a checkpoint: 1 to 128 visible ASCII characters. */
export function isLabel(text: string): boolean {
  return /^[!-~]{1,128}$/.test(text);
}

/** Writes JSON as regions take it: what is no text in Unicode (half a surrogate pair) is mended. */
export function encode(value: unknown): string | undefined {
  const mend = (_: string, it: unknown) => (typeof it === "string" ? it.toWellFormed() : it);
  return JSON.stringify(value, mend);
}

/** The parts that a value stands for: nothing, text, bytes, or else JSON. */
export function partsOf(value: unknown): Part[] {
  if (value === undefined || value === null) return [];
  if (typeof value === "string") return [{ text: value }];
  if (value instanceof Uint8Array) return [{ raw: Buffer.from(value).toString("base64") }];
  const data = encode(value);
  if (data === undefined) throw new TypeError(`a ${typeof value} is no JSON`);
  return [{ data: JSON.parse(data) as Json }];
}

/** All text of some messages, part by part, joined with newlines. */
export function textOf(...messages: Message[]): string {
  const texts = messages.flatMap((it) => it.parts.map((part) => part.text));
  return texts.filter((it) => it !== undefined).join("\n");
}

/**
 * The client's answers among the turns of a task. A question may be missing, but never an answer:
 * the last turn is one, and so is whatever follows a question.
 */
export function answersAmong(turns: Message[]): Message[] {
  let asked = false;
  return turns.filter((turn, at) => {
    asked = turn.role === "ROLE_AGENT" && !asked && at + 1 < turns.length;
    return !asked;
  });
}
