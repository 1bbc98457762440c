// Errors on their way between threads: class, code, errno, info and cause survive. Runs on every thread; pure.

import { type ErrorCode, HypervisorError, messageOf } from './errors.ts';

/** An error as it crosses threads: class, code and cause survive, which structured clone and Comlink drop. */
export interface WireError {
  readonly marker: 'node-kvm.error';
  readonly class: 'HypervisorError' | 'TypeError' | 'RangeError' | 'Error';
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly errno: number | undefined;
  readonly syscall: string | undefined;
  readonly info: Record<string, unknown> | undefined;
  readonly cause: WireError | undefined;
}

/** How many causes below each other are kept: enough for people, and an end for a cycle. */
const CAUSES_MAX = 4;

/** Never throws, and what it gives can be cloned, whatever was thrown. */
export function toWire(thrown: unknown, depth = 0): WireError {
  try {
    if (thrown instanceof Error) return describe(thrown, depth);
  } catch {
    // A proxy, or a getter that throws: what can be said of it is the message.
  }
  return {
    marker: 'node-kvm.error',
    class: 'Error',
    message: messageOf(thrown),
    stack: undefined,
    code: undefined,
    errno: undefined,
    syscall: undefined,
    info: undefined,
    cause: undefined,
  };
}

function describe(thrown: Error, depth: number): WireError {
  const field = (name: string): unknown =>
    name in thrown ? (thrown as unknown as Record<string, unknown>)[name] : undefined;
  const code = field('code');
  const errno = field('errno');
  const syscall = field('syscall');
  return {
    marker: 'node-kvm.error',
    class:
      thrown instanceof HypervisorError
        ? 'HypervisorError'
        : thrown instanceof TypeError
          ? 'TypeError'
          : thrown instanceof RangeError
            ? 'RangeError'
            : 'Error',
    message: messageOf(thrown),
    stack: typeof thrown.stack === 'string' ? thrown.stack : undefined,
    code: typeof code === 'string' ? code : undefined,
    errno: typeof errno === 'number' ? errno : undefined,
    syscall: typeof syscall === 'string' ? syscall : undefined,
    info: thrown instanceof HypervisorError ? cloneable(thrown.info) : undefined,
    cause: thrown.cause === undefined || depth >= CAUSES_MAX ? undefined : toWire(thrown.cause, depth + 1),
  };
}

/** Users throw HypervisorErrors too, with anything in them: the error counts more than facts that cannot cross. */
function cloneable(info: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
  try {
    return structuredClone(info);
  } catch {
    return undefined;
  }
}

export function fromWire(wire: WireError): Error {
  const cause = wire.cause === undefined ? undefined : fromWire(wire.cause);
  const error = rebuild(wire, cause);
  if (wire.stack !== undefined)
    Object.defineProperty(error, 'stack', { value: wire.stack, configurable: true, writable: true });
  return error;
}

function rebuild(wire: WireError, cause: Error | undefined): Error {
  if (wire.class === 'HypervisorError') {
    return new HypervisorError(wire.code as ErrorCode, wire.message, {
      ...(wire.errno === undefined ? {} : { errno: wire.errno }),
      ...(wire.syscall === undefined ? {} : { syscall: wire.syscall }),
      ...(wire.info === undefined ? {} : { info: wire.info }),
      ...(cause === undefined ? {} : { cause }),
    });
  }
  const Class = wire.class === 'TypeError' ? TypeError : wire.class === 'RangeError' ? RangeError : Error;
  const error = new Class(wire.message, cause === undefined ? undefined : { cause });
  for (const key of ['code', 'errno', 'syscall'] as const) {
    if (wire[key] !== undefined) Object.assign(error, { [key]: wire[key] });
  }
  return error;
}

export function isWireError(value: unknown): value is WireError {
  return typeof value === 'object' && value !== null && 'marker' in value && value.marker === 'node-kvm.error';
}
