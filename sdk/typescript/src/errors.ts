/**
 * What a handler throws, and what is thrown at it.
 * Must not know what becomes of it.
 */

/** The attempt failed. Thrown by a handler; another may follow unless `retryable` is false. */
export class Failed extends Error {
  override readonly name: string = "Failed";
  /** Whether another attempt may do better. */
  readonly retryable: boolean;

  constructor(reason: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(reason, "cause" in options ? { cause: options.cause } : {});
    this.retryable = options.retryable ?? true;
  }
}

/** The agent refuses the task. Thrown by a handler. */
export class Rejected extends Error {
  override readonly name: string = "Rejected";
}

/**
 * The task is not this worker's any more: it was called off, the lease is lost, its time is over,
 * or the worker was stopped. The reason of `task.signal`; every method of a task throws it then.
 */
export class Cancelled extends Error {
  override readonly name: string = "Cancelled";
}

/**
 * The handler ends here because the client was asked something. The library throws and catches it;
 * a handler lets it pass, and is run anew once the client has answered.
 */
export class Paused extends Error {
  override readonly name: string = "Paused";
}
