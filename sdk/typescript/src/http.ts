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
  /** Beside those that each request has. */
  headers?: Record<string, string>;
  token?: string | undefined;
  timeoutMs: number;
  signals: AbortSignal[];
}

/** Asks a region. Throws `ProblemError`, `Unreachable`, or the reason of the aborted signal. */
export async function ask(base: string, request: Request): Promise<unknown> {
  const { timeoutMs, signals } = request;
  const abort = new AbortController();
  const late = new Unreachable(`${base} did not answer within ${timeoutMs} ms`);
  const timer = setTimeout(() => abort.abort(late), timeoutMs);
  const forget = onAbort(signals, (reason) => abort.abort(reason));
  try {
    const answer = await send(base + request.path, request, abort.signal);
    const json = parse(await answer.text());
    if (!answer.ok) throw new ProblemError(answer.status, problem(json), retryAfter(answer));
    if (json === undefined) throw new Unreachable(`${base} answered with what is no JSON`);
    return json;
  } catch (error) {
    if (abort.signal.aborted) throw abort.signal.reason;
    if (error instanceof ProblemError || error instanceof Unreachable) throw error;
    const { message, code, name } = cause(error);
    const why = message || code || name;
    throw new Unreachable(`${base} cannot be asked: ${why}`, { cause: error });
  } finally {
    clearTimeout(timer);
    forget();
  }
}

async function send(url: string, request: Request, signal: AbortSignal): Promise<Response> {
  const { method, token, body } = request;
  const headers: Record<string, string> = { ...request.headers, accept: "application/json" };
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  const init: RequestInit = { method, headers, signal, redirect: "error" };
  if (body === undefined) return await fetch(url, init);
  headers["content-type"] = "application/json";
  const text = encode(body) ?? "null";
  try {
    return await fetch(url, { ...init, body: text });
  } catch (error) {
    // Answered with 421, `fetch` sends a body that it can repeat once more; Node trips over that.
    if (cause(error).code !== "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH") throw error;
    return await fetch(url, { ...init, body: new Blob([text]).stream(), duplex: "half" });
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

/** What went wrong below `fetch`, which itself does not say. */
function cause(error: unknown): { message: string; code?: string; name: string } {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return inner instanceof Error ? inner : { message: String(inner), name: "Error" };
}
