// Makes the first, the second, … KVM ioctl of an operation fail until none is left to fail, so that every error path runs.
// Main thread; the fault is one for the process, and also hits the ioctls that the operation has done on vCPU threads.

import { native } from '../native/index.ts';

export const ENOMEM = 12;

/** An operation may survive a failing ioctl (it may ask for something optional): only so many successes in a row mean the end. */
const SUCCESSES_MEAN_END = 4;

export interface Failure {
  readonly code?: string;
  readonly errno?: number;
  readonly syscall?: string;
}

/** The operation `run`, on what `prepare` makes for each try. */
export interface Attempt<Target, Result> {
  /** Only calls by this name; default: all. (Which of two vCPUs makes the n-th call of all is a matter of chance.) */
  readonly ioctl?: string;
  prepare(): Target | Promise<Target>;
  run(target: Target): Result | Promise<Result>;
  /** After a success: back to the state before. */
  undo(target: Target, result: Result): void | Promise<void>;
  /** After a failure: what must hold then. */
  afterFailure(error: Failure, target: Target): void | Promise<void>;
}

/** No ioctl fails any more. */
export function disarm(): void {
  native().injectFault('', 0, 0);
}

/** The names of the calls that failed, in the order of the operation. It succeeds at the end. */
export async function failEachIoctl<Target, Result>(attempt: Attempt<Target, Result>): Promise<string[]> {
  const failed: string[] = [];
  let successes = 0;
  for (let nth = 1; successes < SUCCESSES_MEAN_END; nth++) {
    const target = await attempt.prepare();
    native().injectFault(attempt.ioctl ?? '*', nth, ENOMEM);
    let result: Result;
    try {
      result = await attempt.run(target);
    } catch (error) {
      disarm();
      const failure = error as Failure;
      if (failure.errno !== ENOMEM) throw error;
      failed.push(String(failure.syscall));
      successes = 0;
      await attempt.afterFailure(failure, target);
      continue;
    }
    disarm();
    successes += 1;
    await attempt.undo(target, result);
  }
  return failed;
}
