// A disk whose transfers can be held back: so that a paused machine's memory stands still. Any thread; pure.

import type { Disk } from '../../shared/virtio/blk.ts';

/** Passes everything on to `disk`; between pause() and resume() nothing begins. */
export class PausableDisk implements Disk {
  readonly capacity: number;
  readonly readOnly: boolean;
  readonly id: string;
  readonly discard?: (position: number, length: number) => Promise<void>;
  readonly writeZeroes?: (position: number, length: number) => Promise<void>;
  readonly #disk: Disk;
  readonly #underWay = new Set<Promise<void>>();
  #resumed: Promise<void> | undefined;
  #release: () => void = () => {};

  constructor(disk: Disk) {
    this.#disk = disk;
    this.capacity = disk.capacity;
    this.readOnly = disk.readOnly;
    this.id = disk.id;
    if (disk.discard !== undefined)
      this.discard = (position, length) => this.#pass(async () => disk.discard?.(position, length));
    if (disk.writeZeroes !== undefined)
      this.writeZeroes = (position, length) => this.#pass(async () => disk.writeZeroes?.(position, length));
  }

  read(views: readonly Uint8Array[], position: number): Promise<void> {
    return this.#pass(() => this.#disk.read(views, position));
  }

  write(views: readonly Uint8Array[], position: number): Promise<void> {
    return this.#pass(() => this.#disk.write(views, position));
  }

  flush(): Promise<void> {
    return this.#pass(() => this.#disk.flush());
  }

  /** Resolves when no transfer is under way. */
  async pause(): Promise<void> {
    this.#resumed ??= new Promise(resolve => {
      this.#release = resolve;
    });
    await Promise.allSettled(this.#underWay);
  }

  resume(): void {
    this.#resumed = undefined;
    this.#release();
  }

  async #pass(transfer: () => Promise<void>): Promise<void> {
    // It may be paused again before this goes on.
    while (this.#resumed !== undefined) await this.#resumed;
    const ends = transfer();
    this.#underWay.add(ends);
    try {
      await ends;
    } finally {
      this.#underWay.delete(ends);
    }
  }
}
