/**
 * Pauses: how long they are, and what ends them early.
 * Must not know what is waited for.
 */

import { setMaxListeners } from "node:events";

/** The longest time that a timer of the platform can be set to. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Makes a controller to whose signal as many may listen as there are requests under way. */
export function controller(): AbortController {
  const made = new AbortController();
  setMaxListeners(0, made.signal);
  return made;
}

/** Calls back when the first of some signals is aborted; returns what takes that back. */
export function onAbort(signals: AbortSignal[], then: (reason: unknown) => void): () => void {
  const aborted = signals.find((it) => it.aborted);
  if (aborted) {
    then(aborted.reason);
    return () => undefined;
  }
  const listeners = signals.map((it) => {
    const listener = () => then(it.reason);
    it.addEventListener("abort", listener, { once: true });
    return () => it.removeEventListener("abort", listener);
  });
  return () => listeners.forEach((remove) => remove());
}

/** Waits, but not after one of the signals was aborted. Never throws. */
export async function sleep(ms: number, ...signals: AbortSignal[]): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, Math.min(ms, TIMER_MS_MAX));
    const forget = onAbort(signals, done);
    function done(): void {
      clearTimeout(timer);
      resolve();
      queueMicrotask(() => forget());
    }
  });
}

/** Waits for a promise, or throws the reason of the signal once that is aborted. */
export async function unlessAborted<T>(signal: AbortSignal, promise: PromiseLike<T>): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const forget = onAbort([signal], reject);
    promise.then(resolve, reject).then(forget, forget);
  });
}

/** Counts failed tries, and says how long to pause after each: longer each time, never in step. */
export class Backoff {
  static readonly FIRST_MS = 50;
  static readonly PAUSE_MS_MAX = 2_000;
  #failures = 0;

  /** How many tries failed since the last success. */
  get failures(): number {
    return this.#failures;
  }

  /** The next pause: between a half and the whole of a bound that doubles. */
  next(): number {
    const bound = Math.min(Backoff.FIRST_MS * 2 ** this.#failures, Backoff.PAUSE_MS_MAX);
    this.#failures = Math.min(this.#failures + 1, 16);
    return bound * (0.5 + Math.random() / 2);
  }

  /** Begins anew, after a success. */
  reset(): void {
    this.#failures = 0;
  }
}
