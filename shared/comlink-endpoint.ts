// A Node MessagePort as Comlink's endpoint. Runs on both ends; pure. Comlink's own adapter has no types under NodeNext, and leaves
// no way to see the messages; this is the one place with a cast for Comlink.

import type { Endpoint } from 'comlink';

/** The part of a Node MessagePort that Comlink needs. */
export interface PortLike {
  postMessage(message: unknown, transferList?: readonly never[]): void;
  on(event: 'message', listener: (data: unknown) => void): unknown;
  off(event: 'message', listener: (data: unknown) => void): unknown;
  start(): void;
}

type Listener = EventListenerOrObject;
type EventListenerOrObject = ((event: { data: unknown }) => void) | { handleEvent(event: { data: unknown }): void };

export function comlinkEndpoint(port: PortLike): Endpoint {
  const listeners = new WeakMap<object, (data: unknown) => void>();
  const endpoint = {
    postMessage: port.postMessage.bind(port),
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
  // SAFETY: Comlink's type speaks of DOM events; it reads nothing but `data` of them, which is what we pass.
  return endpoint as unknown as Endpoint;
}
