// A disk that writes elsewhere: what is written goes to a sparse temporary file without a name, what was not written comes from the disk below,
// which stays as it is. Any thread. Requests are whole sectors, so a sector is always in one place: nothing is copied up, and two writes at the
// same time cannot undo each other.

import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HypervisorError, messageOf } from '../../shared/errors.ts';
import { type Disk, SECTOR } from '../../shared/virtio/blk.ts';
import { FileDisk } from './file-disk.ts';

/** Sectors per piece of the map: pieces are made when something in them is written. */
const PIECE = 32_768;

export class OverlayDisk implements Disk {
  readonly capacity: number;
  readonly readOnly = false;
  readonly id: string;
  readonly #base: Disk & AsyncDisposable;
  readonly #top: FileDisk;
  /** Which sectors were written: a byte each, by piece. */
  readonly #written = new Map<number, Uint8Array>();

  private constructor(base: Disk & AsyncDisposable, top: FileDisk) {
    this.#base = base;
    this.#top = top;
    this.capacity = base.capacity;
    this.id = base.id;
  }

  /** Takes `base` over, and closes it with itself. @throws HypervisorError `ERR_IMAGE_READ` when there is no room for a temporary file */
  static async over(base: Disk & AsyncDisposable): Promise<OverlayDisk> {
    let folder: string | undefined;
    try {
      folder = await mkdtemp(join(tmpdir(), 'node-kvm-overlay-'));
      const path = join(folder, 'sectors');
      const file = await open(path, 'wx', 0o600);
      try {
        await file.truncate(base.capacity);
      } finally {
        await file.close();
      }
      return new OverlayDisk(base, await FileDisk.open(path));
    } catch (cause) {
      throw new HypervisorError('ERR_IMAGE_READ', `no overlay can be made in ${tmpdir()}: ${messageOf(cause)}`, {
        cause,
      });
    } finally {
      // Open it stays, without a name: it goes with this process, whatever ends that.
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    }
  }

  async read(views: readonly Uint8Array[], position: number): Promise<void> {
    const length = views.reduce((sum, view) => sum + view.byteLength, 0);
    // One after the other: a guest that has written every second sector makes as many parts as it likes.
    for (let done = 0; done < length; ) {
      const { isWritten, bytes } = this.#run(position + done, length - done);
      const disk = isWritten ? this.#top : this.#base;
      await disk.read(slice(views, done, bytes), position + done);
      done += bytes;
    }
  }

  async write(views: readonly Uint8Array[], position: number): Promise<void> {
    const length = views.reduce((sum, view) => sum + view.byteLength, 0);
    await this.#top.write(views, position);
    this.#mark(position, length);
  }

  async writeZeroes(position: number, length: number): Promise<void> {
    await this.#top.writeZeroes(position, length);
    this.#mark(position, length);
  }

  /** What is written does not outlive the machine: there is nothing to make safe. */
  flush(): Promise<void> {
    return Promise.resolve();
  }

  /** Closes both disks. Transfers must have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#base[Symbol.asyncDispose](), this.#top[Symbol.asyncDispose]()]);
  }

  /** How many bytes from `position` on, of at most `most`, are in the same place. */
  #run(position: number, most: number): { isWritten: boolean; bytes: number } {
    const first = position / SECTOR;
    const isWritten = this.#isWritten(first);
    let sectors = 1;
    while (sectors * SECTOR < most && this.#isWritten(first + sectors) === isWritten) sectors += 1;
    return { isWritten, bytes: Math.min(sectors * SECTOR, most) };
  }

  #isWritten(sector: number): boolean {
    return this.#written.get(Math.floor(sector / PIECE))?.[sector % PIECE] === 1;
  }

  #mark(position: number, length: number): void {
    const end = (position + length) / SECTOR;
    for (let sector = position / SECTOR; sector < end; ) {
      const index = Math.floor(sector / PIECE);
      let piece = this.#written.get(index);
      if (piece === undefined) {
        piece = new Uint8Array(PIECE);
        this.#written.set(index, piece);
      }
      const until = Math.min(end, (index + 1) * PIECE);
      piece.fill(1, sector % PIECE, (sector % PIECE) + (until - sector));
      sector = until;
    }
  }
}

/** The views' bytes [start, start + length). */
function slice(views: readonly Uint8Array[], start: number, length: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const view of views) {
    const from = Math.max(start - at, 0);
    const to = Math.min(start + length - at, view.byteLength);
    if (from < to) parts.push(view.subarray(from, to));
    at += view.byteLength;
  }
  return parts;
}
