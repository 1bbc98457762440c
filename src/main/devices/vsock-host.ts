// The application's side of a machine's socket device: connecting to the guest's ports and listening on the host's. Main thread.

import type { MessagePort } from 'node:worker_threads';
import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { VsockCommand, VsockEvent } from '../../../shared/virtio/vsock-link.ts';
import { socketError, VsockSocket } from './vsock-socket.ts';

const PORT_MAX = 0xffff_fffe;

/**
 * Connections of the guest's to one port of the host's. Iterating gives them in the order in which they came, those included that came before; it ends
 * with `close()`. Each is for one taker: for the callback where `listen()` got one, otherwise for whoever iterates.
 */
export class VsockServer implements AsyncIterable<VsockSocket> {
  readonly port: number;
  readonly #onConnection: ((socket: VsockSocket) => void) | undefined;
  readonly #onClose: () => void;
  readonly #waiting = new Set<VsockSocket>();
  readonly #takers: ((result: IteratorResult<VsockSocket, undefined>) => void)[] = [];
  #open = true;

  /** @internal Use `listen()` of the device. */
  constructor(port: number, onConnection: ((socket: VsockSocket) => void) | undefined, onClose: () => void) {
    this.port = port;
    this.#onConnection = onConnection;
    this.#onClose = onClose;
  }

  /** @internal */
  accept(socket: VsockSocket): void {
    if (this.#onConnection !== undefined) {
      this.#onConnection(socket);
      return;
    }
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker({ done: false, value: socket });
      return;
    }
    this.#waiting.add(socket);
    // Nobody has it yet who could hear its errors: the guest gave it up, and it is no connection any more.
    socket.on('error', () => {});
    socket.once('close', () => this.#waiting.delete(socket));
  }

  /** No more connections: those that nobody has taken are destroyed, the others stay. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onClose();
    for (const socket of this.#waiting) socket.destroy();
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Leaving the loop does not close the server. */
  [Symbol.asyncIterator](): AsyncIterator<VsockSocket, undefined> {
    return {
      next: () =>
        new Promise(resolve => {
          const [socket] = this.#waiting;
          if (socket !== undefined) {
            this.#waiting.delete(socket);
            socket.removeAllListeners('error');
            resolve({ done: false, value: socket });
          } else if (this.#open) this.#takers.push(resolve);
          else resolve({ done: true, value: undefined });
        }),
    };
  }
}

export interface VsockConnectOptions {
  /** Gives the attempt up; `AbortSignal.timeout(ms)` is a limit for it. Without effect once it is connected. */
  readonly signal?: AbortSignal;
}

/** How an application and its guest talk: stream sockets by port number, without a network. */
export class VsockHost {
  readonly #port: MessagePort;
  readonly #sockets = new Map<number, VsockSocket>();
  readonly #servers = new Map<number, VsockServer>();
  #others: ((socket: VsockSocket, port: number) => void) | undefined;
  #nextId = 2;
  #open = true;

  /** @internal `port`: the channel to the device. It does not keep the process alive. */
  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (event: VsockEvent) => this.#hear(event));
    port.on('close', () => this.#close());
    port.unref();
  }

  /**
   * Connects to the guest's `port`; resolves when the guest has accepted. A guest that does not answer keeps it waiting, until `signal` ends that.
   * @throws (rejects) Error `ECONNREFUSED`: nobody listens there, no driver is up, or there are 256 connections; `ENETDOWN`: the machine
   *   has ended; HypervisorError `ERR_ABORTED`: by the signal, whose reason is the cause; TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`,
   *   RangeError for a port that is none
   */
  async connect(port: number, options: VsockConnectOptions = {}): Promise<VsockSocket> {
    checkPort(port);
    const signal = checkSignal(options);
    if (signal?.aborted === true) throw aborted(port, signal);
    if (!this.#open) throw socketError('ENETDOWN', 'the machine has ended');
    const id = this.#nextId;
    this.#nextId += 2;
    return new Promise((resolve, reject) => {
      const socket = this.#add(id, { remotePort: port }, () => {
        settle();
        resolve(socket);
      });
      const abort = () => socket.destroy(aborted(port, signal));
      const fail = (error: Error) => {
        settle();
        reject(error);
      };
      const settle = () => {
        socket.off('error', fail);
        signal?.removeEventListener('abort', abort);
      };
      socket.on('error', fail);
      signal?.addEventListener('abort', abort);
      this.#post({ type: 'connect', id, port }, []);
    });
  }

  /**
   * Accepts the guest's connections to `port` of the host (cid 2) from now on: call it before the guest starts, and none is refused. As with
   * `net.Server`, a socket's 'error' wants a listener: the guest can reset any connection.
   * @throws HypervisorError `ERR_STATE` when it is listened on already; Error `ENETDOWN`; TypeError, RangeError for a port that is none
   */
  listen(port: number, onConnection?: (socket: VsockSocket) => void): VsockServer {
    checkPort(port);
    if (onConnection !== undefined && typeof onConnection !== 'function')
      throw invalidType('onConnection', 'a function', onConnection);
    if (!this.#open) throw socketError('ENETDOWN', 'the machine has ended');
    if (this.#servers.has(port)) throw new HypervisorError('ERR_STATE', `port ${port} is listened on already`);
    const server = new VsockServer(port, onConnection, () => {
      this.#servers.delete(port);
      this.#post({ type: 'unlisten', port }, []);
    });
    this.#servers.set(port, server);
    this.#post({ type: 'listen', port }, []);
    return server;
  }

  /**
   * @internal The guest's connections to ports that nobody listens on go to `take`, which calls `accept()` of the socket, and the guest is connected, or
   * destroys it, and the guest was refused.
   */
  offer(take: (socket: VsockSocket, port: number) => void): void {
    this.#others = take;
    this.#post({ type: 'offer' }, []);
  }

  #hear(event: VsockEvent): void {
    if (event.type !== 'accepted' && event.type !== 'offered') {
      this.#sockets.get(event.id)?.hear(event);
      return;
    }
    const socket = this.#add(event.id, { localPort: event.port, remotePort: event.guestPort });
    const server = this.#servers.get(event.port);
    if (server !== undefined) {
      // Listened on while it was on its way.
      if (event.type === 'offered') socket.accept();
      server.accept(socket);
    } else if (event.type === 'offered') this.#others?.(socket, event.port);
    // Closed while the connection was on its way.
    else socket.destroy();
  }

  #add(id: number, ports: { localPort?: number; remotePort: number }, connected?: () => void): VsockSocket {
    const channel = {
      post: (command: VsockCommand, transfer: readonly ArrayBuffer[]) => this.#post(command, transfer),
      forget: () => this.#sockets.delete(id),
    };
    const socket = new VsockSocket(id, ports, channel, connected);
    this.#sockets.set(id, socket);
    return socket;
  }

  #post(command: VsockCommand, transfer: readonly ArrayBuffer[]): void {
    if (this.#open) this.#port.postMessage(command, transfer);
  }

  #close(): void {
    this.#open = false;
    for (const server of [...this.#servers.values()]) server.close();
    for (const socket of [...this.#sockets.values()]) socket.cut();
    this.#sockets.clear();
  }
}

function checkPort(port: number): void {
  if (typeof port !== 'number') throw invalidType('port', 'a number', port);
  if (!Number.isInteger(port) || port < 0 || port > PORT_MAX)
    throw outOfRange('port', 'an integer from 0 to 2^32 - 2', port);
}

function checkSignal(options: VsockConnectOptions): AbortSignal | undefined {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['signal'], 'connect()');
  const { signal } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalidType('signal', 'an AbortSignal', signal);
  return signal;
}

function aborted(port: number, signal: AbortSignal | undefined): HypervisorError {
  return new HypervisorError('ERR_ABORTED', `the signal was aborted before the guest answered at port ${port}`, {
    cause: signal?.reason,
  });
}
