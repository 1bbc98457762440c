// The messages of a port to a device, held back while its VM is paused: what they make the device do touches guest memory. Any thread.

import type { MessagePort } from 'node:worker_threads';

export class PausableInbox<Message> {
  readonly #port: MessagePort;
  readonly #receive: (message: Message) => void;
  /** Those of a pause, in order: both ends limit what is on its way. Undefined: there is none. */
  #held: Message[] | undefined;

  constructor(port: MessagePort, receive: (message: Message) => void) {
    this.#port = port;
    this.#receive = receive;
    port.on('message', (message: Message) => {
      if (this.#held === undefined) receive(message);
      else this.#held.push(message);
    });
  }

  pause(): void {
    this.#held ??= [];
  }

  resume(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const message of held) this.#receive(message);
  }

  /** The other end sees the port close. */
  close(): void {
    this.#port.close();
  }
}
