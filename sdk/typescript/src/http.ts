/**
 * One request to one region, and what can come of it.
 * Must not ask again.
 */

import { onAbort } from "./time.js";
import type { Problem } from "./wire.js";
import { encode } from "./wire.js";

/** A region refused what it was asked. */
export class ProblemError extends Error {
  override readonly name: string = "ProblemError";
  /** Which kind of problem it is, such as `stale-token`; empty if whoever answered does not say. */
  readonly kind: string;
  /** When to ask again, if that was said. */
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly status: number,
    readonly problem: Problem,
    retryAfterMs?: number,
  ) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
    this.kind = problem.type?.split("/").at(-1) ?? "";
    this.retryAfterMs = problem.retry_after_ms ?? retryAfterMs;
  }
}

/** A region could not be asked, or did not answer. What was asked may have been done. */
export class Unreachable extends Error {
  override readonly name: string = "Unreachable";
}

/** Whether the same request may succeed later. */
export function isPassing(error: unknown): error is ProblemError | Unreachable {
  if (!(error instanceof ProblemError)) return error instanceof Unreachable;
  return [408, 429].includes(error.status) || 500 <= error.status;
}

/** Whether an answer is as good as none: nobody is there who could do what is asked. */
export function isAway(error: unknown): boolean {
  if (!(error instanceof ProblemError)) return error instanceof Unreachable;
  return ["starting", "stopping"].includes(error.kind) || [502, 504].includes(error.status);
}

/** Whether what was asked is not acceptable, whoever asks and whenever. */
export function isFaulty(error: unknown): error is ProblemError {
  return error instanceof ProblemError && [400, 413, 422].includes(error.status);
}

/** A request. */
export interface Request {
  method: "GET" | "PUT" | "POST";
  path: string;
  body?: unknown;
  token?: string | undefined;
  timeoutMs: number;
  signals: AbortSignal[];
}

/** Asks a region. Throws `ProblemError`, `Unreachable`, or the reason of the aborted signal. */
export async function ask(base: string, request: Request): Promise<unknown> {
  const { method, path, body, token, timeoutMs, signals } = request;
  const abort = new AbortController();
  const late = new Unreachable(`${base} did not answer within ${timeoutMs} ms`);
  const timer = setTimeout(() => abort.abort(late), timeoutMs);
  const forget = onAbort(signals, (reason) => abort.abort(reason));
  try {
    const headers: Record<string, string> = { accept: "application/json" };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    const init: RequestInit = { method, headers, signal: abort.signal, redirect: "error" };
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      init.body = encode(body) ?? "null";
    }
    const answer = await fetch(base + path, init);
    const json = parse(await answer.text());
    if (!answer.ok) throw new ProblemError(answer.status, problem(json), retryAfter(answer));
    if (json === undefined) throw new Unreachable(`${base} answered with what is no JSON`);
    return json;
  } catch (error) {
    if (abort.signal.aborted) throw abort.signal.reason;
    if (error instanceof ProblemError || error instanceof Unreachable) throw error;
    throw new Unreachable(`${base} cannot be asked: ${cause(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    forget();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function problem(json: unknown): Problem {
  return typeof json === "object" && json !== null ? json : {};
}

function retryAfter(answer: Response): number | undefined {
  const seconds = Number(answer.headers.get("retry-after") ?? NaN);
  return 0 <= seconds ? seconds * 1_000 : undefined;
}

function cause(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(inner instanceof Error)) return String(inner);
  const code = "code" in inner ? String(inner.code) : "";
  return inner.message || code || inner.name;
}
