// The one error class of the library and the codes that it carries. Runs on every thread; imports nothing.
// A code is part of the public API: it never changes its meaning. The message names the offending values in
// hexadecimal and, where something can be done, says what.

/** Every `code` that a {@link HypervisorError} can carry. */
export type ErrorCode =
  // misuse of the API (also thrown as TypeError / RangeError)
  | 'ERR_INVALID_ARG_TYPE'
  | 'ERR_OUT_OF_RANGE'
  | 'ERR_UNKNOWN_OPTION'
  // guest memory
  | 'ERR_MEMORY_OVERLAP'
  | 'ERR_MEMORY_UNMAPPED'
  | 'ERR_MEMORY_READ_ONLY'
  | 'ERR_MEMORY_ALIGNMENT'
  | 'ERR_MEMORY_RANGE'
  | 'ERR_MEMORY_IN_USE'
  | 'ERR_BUFFER_TOO_SMALL'
  // slots and dirty tracking
  | 'ERR_SLOT_EXISTS'
  | 'ERR_SLOT_UNKNOWN'
  | 'ERR_SLOT_MISMATCH'
  | 'ERR_TOO_MANY_SLOTS'
  | 'ERR_DIRTY_TRACKING_OFF'
  | 'ERR_DIRTY_SOURCE'
  | 'ERR_HARVEST_OPEN'
  | 'ERR_HARVEST_ENDED'
  | 'ERR_CURSOR_EXISTS'
  | 'ERR_WATCH_CALLBACK'
  | 'ERR_VM_NOT_ATTACHED'
  | 'ERR_VM_ATTACHED'
  | 'ERR_NOT_A_VM'
  // the machine
  | 'ERR_KVM_UNAVAILABLE'
  | 'ERR_KVM_PERMISSION'
  | 'ERR_KVM_VERSION'
  | 'ERR_KVM_CAPABILITY'
  | 'ERR_CPU_FEATURE'
  | 'ERR_TOO_MANY_VCPUS'
  | 'ERR_POOL_TOO_SMALL'
  | 'ERR_STATE'
  | 'ERR_ENGINE'
  | 'ERR_TIMEOUT'
  | 'ERR_DEVICE_OVERLAP'
  | 'ERR_DEVICE_HANDLER'
  | 'ERR_VCPU_DIED'
  | 'ERR_VCPU_INTERNAL'
  | 'ERR_VCPU_FAIL_ENTRY'
  | 'ERR_VCPU_UNKNOWN_EXIT'
  | 'ERR_PROGRAM'
  // images
  | 'ERR_IMAGE_READ'
  | 'ERR_IMAGE_FORMAT'
  | 'ERR_IMAGE_RANGE'
  // the lab
  | 'ERR_LAB_SCENARIO'
  | 'ERR_LAB_ACTOR'
  | 'ERR_LAB_RESULT'
  // the rest
  | 'ERR_DISPOSED'
  | 'ERR_ABORTED'
  | 'ERR_SYSCALL'
  | 'ERR_ADDON'
  | 'ERR_UNSUPPORTED_RUNTIME';

/** What an error carries besides its message. `errno` is positive, as in `<errno.h>`. */
export interface ErrorDetails {
  errno?: number;
  syscall?: string;
  cause?: unknown;
  /** Structured facts for programs: register dumps, exit data, offending values. Must be structured-clonable. */
  info?: Record<string, unknown>;
}

/** On everything of the class below. */
const MARK = Symbol.for('node-kvm.HypervisorError');

/**
 * Base class of everything that the library throws on purpose. `code` is stable, the message is for people. On a worker of the library's this class
 * is there twice, in the worker's own file and in what a device module imports as 'node-kvm': `instanceof` holds for both.
 */
export class HypervisorError extends Error {
  static override [Symbol.hasInstance](thrown: unknown): boolean {
    return typeof thrown === 'object' && thrown !== null && MARK in thrown;
  }

  readonly code: ErrorCode;
  readonly errno?: number;
  readonly syscall?: string;
  readonly info?: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.info !== undefined) this.info = details.info;
  }

  get [MARK](): true {
    return true;
  }

  override get name(): string {
    return 'HypervisorError';
  }

  override toString(): string {
    return `${this.name} [${this.code}]: ${this.message}`;
  }
}

/** A `TypeError` with a code: the argument has the wrong type. Not a HypervisorError, as in Node's own API. */
export function invalidType(name: string, expected: string, actual: unknown): TypeError & { code: ErrorCode } {
  const shown =
    actual === null
      ? 'null'
      : typeof actual === 'object'
        ? (actual.constructor?.name ?? 'object')
        : `${typeof actual} ${String(actual)}`;
  return Object.assign(new TypeError(`${name} must be ${expected}, got ${shown}`), {
    code: 'ERR_INVALID_ARG_TYPE' as const,
  });
}

/** A `RangeError` with a code: the argument has the right type and an impossible value. */
export function outOfRange(name: string, expected: string, actual: unknown): RangeError & { code: ErrorCode } {
  const shown =
    typeof actual === 'bigint' || (typeof actual === 'number' && Number.isInteger(actual))
      ? hexOf(actual)
      : String(actual);
  return Object.assign(new RangeError(`${name} must be ${expected}, got ${shown}`), {
    code: 'ERR_OUT_OF_RANGE' as const,
  });
}

/** Throws `ERR_UNKNOWN_OPTION` when `options` has a key that is not in `known`; `undefined` options are fine. */
export function refuseUnknownKeys(options: object | undefined, known: readonly string[], where: string): void {
  if (options === undefined) return;
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      throw Object.assign(new TypeError(`${where} has no option '${key}' (known: ${known.join(', ')})`), {
        code: 'ERR_UNKNOWN_OPTION' as const,
      });
    }
  }
}

/** What a caught value says, for a message. Never throws: a handler may throw a proxy, or an object whose getters throw. */
export function messageOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? String(thrown.message) : String(thrown);
  } catch {
    return 'a value that cannot be shown';
  }
}

/** `instanceof`, which runs code of a proxy's, as a question that never throws. */
export function isHypervisorError(thrown: unknown): thrown is HypervisorError {
  try {
    return thrown instanceof HypervisorError;
  } catch {
    return false;
  }
}

/** Ends a `switch` over a literal union: the compiler proves that it is never reached. */
export function assertNever(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}

function hexOf(value: number | bigint): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}
