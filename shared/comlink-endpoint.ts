// Comlink over Node: a MessagePort as its endpoint, and errors that stay what they are. Runs on both ends; pure: it
// describes what it needs of Comlink. Comlink's own adapter for Node has no types under NodeNext; the casts for Comlink are all here.

import { fromWire, isWireError, toWire } from './wire-error.ts';

/** The part of a Node MessagePort that Comlink needs. */
export interface PortLike {
  postMessage(message: unknown, transferList?: readonly never[]): void;
  on(event: 'message', listener: (data: unknown) => void): unknown;
  off(event: 'message', listener: (data: unknown) => void): unknown;
  start(): void;
}

type Listener = ((event: { data: unknown }) => void) | { handleEvent(event: { data: unknown }): void };

/** What Comlink's `wrap` and `expose` take. */
export interface CommunicationEnd {
  postMessage(message: unknown, transfer?: readonly object[]): void;
  addEventListener(type: string, listener: Listener): void;
  removeEventListener(type: string, listener: Listener): void;
  start(): void;
}

export function comlinkEndpoint(port: PortLike): CommunicationEnd {
  const listeners = new WeakMap<object, (data: unknown) => void>();
  return {
    // SAFETY: what Comlink transfers, it was given by us: ports and buffers, which Node takes.
    postMessage: (message, transfer) => port.postMessage(message, transfer as readonly never[] | undefined),
    addEventListener(_type: string, listener: Listener): void {
      const onMessage = (data: unknown): void => {
        if (typeof listener === 'function') listener({ data });
        else listener.handleEvent({ data });
      };
      port.on('message', onMessage);
      listeners.set(listener, onMessage);
    },
    removeEventListener(_type: string, listener: Listener): void {
      const onMessage = listeners.get(listener);
      if (onMessage !== undefined) port.off('message', onMessage);
    },
    start: port.start.bind(port),
  };
}

/** Comlink's handler of errors, as far as it matters here: the marker that it looks for is private. */
interface ThrowHandler {
  canHandle(value: unknown): value is { value: unknown };
  serialize(thrown: { value: unknown }): [serialized: unknown, transfer: never[]];
  deserialize(serialized: unknown): { value: unknown };
}

/**
 * Puts our errors into Comlink's 'throw' handler, to be called once on both ends: they keep class, code, errno, syscall, info and
 * cause. What is sent is a superset of Comlink's own form, so that an application's own Comlink workers, which share the table of
 * handlers, still understand it.
 */
export function keepErrorsWhole<Handler>(handlers: Map<string, Handler>): void {
  // SAFETY: under this name stands Comlink's own handler of this type; the table's type has forgotten it.
  const original = handlers.get('throw') as unknown as ThrowHandler | undefined;
  if (original === undefined) return;
  const ours: ThrowHandler = {
    canHandle: original.canHandle,
    serialize({ value }) {
      if (!(value instanceof Error)) return original.serialize({ value });
      const wire = toWire(value);
      return [{ isError: true, value: { message: value.message, name: value.name, stack: value.stack, wire } }, []];
    },
    deserialize(serialized) {
      const wire = (serialized as { value?: { wire?: unknown } }).value?.wire;
      if (isWireError(wire)) throw fromWire(wire);
      return original.deserialize(serialized);
    },
  };
  handlers.set('throw', ours as unknown as Handler);
}
