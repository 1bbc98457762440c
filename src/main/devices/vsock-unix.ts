// A machine's sockets as UNIX sockets of the host's, for programs that are not ours: who connects to PATH and says `CONNECT <port>` is
// connected to the guest's port, and the guest's connections to port N of the host's go to PATH_N. As in Firecracker and cloud-hypervisor. Main thread.

import { unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { outOfRange } from '../../../shared/errors.ts';
import type { VsockHost } from './vsock-host.ts';
import type { VsockSocket } from './vsock-socket.ts';

/** sun_path has 108 bytes, the last one 0; the longest name has a port of ten digits behind `_`. */
const PATH_MAX = 107 - 11;
/** `CONNECT`, a port and the end of the line. */
const LINE_MAX = 32;
const NEWLINE = 0x0a;

export class VsockUnix implements AsyncDisposable {
  readonly path: string;
  readonly #host: VsockHost;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  #open = true;
  /** A process that ends without dispose() leaves no file either. */
  readonly #onExit = (): void => {
    try {
      unlinkSync(this.path);
    } catch {
      // Somebody has removed it before.
    }
  };

  private constructor(host: VsockHost, path: string) {
    this.path = path;
    this.#host = host;
    this.#server = createServer({ allowHalfOpen: true }, client => this.#greet(this.#keep(client)));
  }

  /**
   * Makes the socket at `path`, which is removed when this is disposed. Who may connect to it may talk to every port of the guest's.
   * @throws (rejects) RangeError for a path of more than 96 bytes; Node's error, such as EADDRINUSE when there is a file
   */
  static async open(host: VsockHost, path: string): Promise<VsockUnix> {
    const bytes = Buffer.byteLength(path);
    if (bytes === 0 || bytes > PATH_MAX || path.includes('\0'))
      throw outOfRange(
        'path',
        `1 to ${PATH_MAX} bytes without NUL, as a UNIX socket's name with a port behind it`,
        path,
      );
    const unix = new VsockUnix(host, path);
    await new Promise<void>((resolve, reject) => {
      unix.#server.once('error', reject);
      unix.#server.listen(path, () => {
        unix.#server.off('error', reject);
        resolve();
      });
    });
    // A client that is gone before it was accepted is no reason to end.
    unix.#server.on('error', () => {});
    process.on('exit', unix.#onExit);
    host.offer((socket, port) => unix.#forward(socket, port));
    return unix;
  }

  /** Closes the socket and all its connections. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#open = false;
    process.off('exit', this.#onExit);
    for (const client of this.#clients) client.destroy();
    // Closing removes the file, too; it says that it was closed already, if it was.
    await new Promise(resolve => this.#server.close(resolve));
  }

  #keep(client: Socket): Socket {
    this.#clients.add(client);
    client.once('close', () => this.#clients.delete(client));
    return client.on('error', () => {});
  }

  /** Reads the first line, and connects. */
  #greet(client: Socket): void {
    let said = Buffer.alloc(0);
    const listen = (chunk: Buffer) => {
      said = Buffer.concat([said, chunk]);
      const end = said.subarray(0, LINE_MAX).indexOf(NEWLINE);
      if (end < 0 && said.length < LINE_MAX) return;
      client.off('data', listen).off('end', leave).pause();
      const port = Number(
        /^CONNECT ([0-9]{1,10})\r?$/i.exec(said.subarray(0, Math.max(0, end)).toString('latin1'))?.[1],
      );
      // What is no port is refused by connect(), as what was no such line.
      if (end + 1 < said.length) client.unshift(said.subarray(end + 1));
      void this.#connect(client, port);
    };
    // Who ends before that will never say it.
    const leave = () => client.destroy();
    client.on('data', listen).on('end', leave);
  }

  async #connect(client: Socket, port: number): Promise<void> {
    const left = new AbortController();
    client.once('close', () => left.abort());
    try {
      const socket = await this.#host.connect(port, { signal: left.signal });
      client.write(`OK ${socket.localPort}\n`);
      join(client, socket);
    } catch {
      client.destroy();
    }
  }

  #forward(socket: VsockSocket, port: number): void {
    if (!this.#open) {
      socket.destroy();
      return;
    }
    const client = this.#keep(createConnection({ path: `${this.path}_${port}`, allowHalfOpen: true }));
    // Nobody there, or the guest has given up.
    client.once('error', () => socket.destroy());
    socket.on('error', () => client.destroy());
    socket.once('close', () => {
      if (client.connecting) client.destroy();
    });
    client.once('connect', () => {
      if (socket.destroyed) return;
      socket.accept();
      join(client, socket);
    });
  }
}

/** Both directions; each ends for itself, and a failure of one side is the other's end. */
function join(client: Duplex, socket: Duplex): void {
  // pipeline() destroys both; errors after its end are nobody's.
  for (const stream of [client, socket]) stream.on('error', () => {});
  pipeline(client, socket, () => {});
  pipeline(socket, client, () => {});
}
