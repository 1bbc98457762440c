// A file as a disk: asynchronous vectored reads and writes between it and guest memory, by libuv's threads. Any thread: the main
// thread, or an I/O worker. Imports shared/ and Node only.

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { HypervisorError, invalidType, messageOf, refuseUnknownKeys } from '../../shared/errors.ts';
import { hex, MIB } from '../../shared/units.ts';
import { type Disk, SECTOR } from '../../shared/virtio/blk.ts';

export interface FileDiskOptions {
  /** Default false: the file is opened for writing, and its guest changes it. */
  readonly readOnly?: boolean;
  /** What the guest may read as the disk's serial number: 20 bytes at most. Default: the file's inode number. */
  readonly id?: string;
  /**
   * Makes a hole in the file with this descriptor: zeroes that take no room; false where its file system has none. Without it the guest is offered no
   * discard, and zeroes are written.
   */
  readonly punchHole?: (fd: number, position: number, length: number) => Promise<boolean>;
}

const ZEROES = new Uint8Array(MIB);
/**
 * One transfer of the system's at most, roughly, in bytes: the threads that do them are all of the process's, and a guest may ask for 4 GiB at
 * once, 64 times. So each of them gets a thread in turn, and what else reads files waits for pieces.
 */
const TRANSFER = 4 * MIB;

export class FileDisk implements Disk {
  readonly capacity: number;
  readonly readOnly: boolean;
  readonly id: string;
  readonly discard?: (position: number, length: number) => Promise<void>;
  readonly #file: FileHandle;
  readonly #punchHole: FileDiskOptions['punchHole'];

  private constructor(
    file: FileHandle,
    facts: { capacity: number; readOnly: boolean; id: string },
    punchHole: FileDiskOptions['punchHole'],
  ) {
    this.#file = file;
    this.#punchHole = punchHole;
    // Only a hint: where there are no holes, nothing happens.
    if (punchHole !== undefined)
      this.discard = async (position, length) => void (await punchHole(file.fd, position, length));
    this.capacity = facts.capacity;
    this.readOnly = facts.readOnly;
    this.id = facts.id;
  }

  /**
   * Opens the file at `path`, whose size is the disk's: a multiple of 512 bytes. It must not be changed by others meanwhile.
   * @throws HypervisorError `ERR_IMAGE_READ` with the path, errno and the cause; `ERR_IMAGE_FORMAT` for what is no regular file of whole sectors
   */
  static async open(path: string | URL, options: FileDiskOptions = {}): Promise<FileDisk> {
    if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
    refuseUnknownKeys(options, ['readOnly', 'id', 'punchHole'], 'FileDisk.open()');
    const { readOnly = false, id, punchHole } = options;
    if (typeof readOnly !== 'boolean') throw invalidType('readOnly', 'a boolean', readOnly);
    if (id !== undefined && typeof id !== 'string') throw invalidType('id', 'a string', id);
    if (punchHole !== undefined && typeof punchHole !== 'function')
      throw invalidType('punchHole', 'a function', punchHole);
    let file: FileHandle;
    try {
      // O_NONBLOCK: opening a FIFO must not wait for a writer; it is refused below.
      file = await open(path, (readOnly ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK);
    } catch (cause) {
      const { errno, syscall } = cause as NodeJS.ErrnoException;
      throw new HypervisorError('ERR_IMAGE_READ', `the disk ${String(path)} cannot be opened: ${messageOf(cause)}`, {
        cause,
        ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
        ...(syscall === undefined ? {} : { syscall }),
      });
    }
    try {
      const facts = await file.stat();
      const { size, ino } = facts;
      if (!facts.isFile() || size % SECTOR !== 0) {
        throw new HypervisorError(
          'ERR_IMAGE_FORMAT',
          `${String(path)} is no disk: a regular file of whole sectors of 512 bytes is needed, it has ${hex(size)} bytes`,
        );
      }
      return new FileDisk(file, { capacity: size, readOnly, id: id ?? String(ino) }, punchHole);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Reads until all views are full. @throws when the file is shorter than it was, or the system's error */
  async read(views: readonly Uint8Array[], position: number): Promise<void> {
    await this.#transfer(views, position, (rest, at) => this.#file.readv(rest, at).then(({ bytesRead }) => bytesRead));
  }

  async write(views: readonly Uint8Array[], position: number): Promise<void> {
    await this.#transfer(views, position, (rest, at) =>
      this.#file.writev(rest, at).then(({ bytesWritten }) => bytesWritten),
    );
  }

  /** fdatasync(2). */
  async flush(): Promise<void> {
    await this.#file.datasync();
  }

  async writeZeroes(position: number, length: number): Promise<void> {
    if (this.#punchHole !== undefined && (await this.#punchHole(this.#file.fd, position, length))) return;
    for (let done = 0; done < length; ) {
      const count = Math.min(ZEROES.length, length - done);
      await this.write([ZEROES.subarray(0, count)], position + done);
      done += count;
    }
  }

  /** Closes the file. Transfers must have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** The system may do less than was asked for: goes on with the rest. */
  async #transfer(
    views: readonly Uint8Array[],
    position: number,
    move: (views: Uint8Array[], position: number) => Promise<number>,
  ): Promise<void> {
    let rest = [...views];
    let at = position;
    while (rest.length > 0) {
      const count = await move(firstOf(rest), at);
      if (count === 0) throw new HypervisorError('ERR_IMAGE_READ', `the disk ends at ${hex(at)}`);
      at += count;
      rest = without(rest, count);
    }
  }
}

/** So many of the views, and of the bytes of one that is longer by itself, as are one transfer. */
function firstOf(views: readonly Uint8Array[]): Uint8Array[] {
  const first: Uint8Array[] = [];
  let bytes = 0;
  for (const view of views) {
    if (bytes >= TRANSFER) break;
    const piece = view.byteLength > TRANSFER ? view.subarray(0, TRANSFER) : view;
    first.push(piece);
    bytes += piece.byteLength;
    // A gap must not follow.
    if (piece !== view) break;
  }
  return first;
}

/** The views without their first `count` bytes. */
function without(views: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  let index = 0;
  for (const view of views) {
    if (skip < view.byteLength) break;
    skip -= view.byteLength;
    index += 1;
  }
  const rest = views.slice(index);
  const [first] = rest;
  if (first !== undefined && skip > 0) rest[0] = first.subarray(skip);
  return rest;
}
