// Seeded random writes, each kind of writer its own way: through the API, by raw stores into views, by fs.read into guest RAM.
// Any thread that has the memory. A write that meets a removed or read-only region is dropped: those come and go meanwhile.

import { readSync } from 'node:fs';
import { type KvmMemory, u8, u32le, u64le } from 'node-kvm';
import { PAGE, tagged, targets } from './layout.ts';
import type { Random } from './random.ts';

/** Writes once, somewhere. */
export type Scribble = () => void;

/** Bytes of the longest write: it spans up to four pages. */
const CHUNK_MAX = 3 * PAGE;
/** Bytes that a write may go beyond a page, for pages in the middle of a region and at its end. */
const EXPECTED = new Set(['ERR_MEMORY_UNMAPPED', 'ERR_MEMORY_READ_ONLY', 'ERR_MEMORY_RANGE']);

/** Runs the write, which may meet a region that has gone or is read-only. */
function attempt(write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!EXPECTED.has(String((error as { code?: unknown }).code))) throw error;
  }
}

/** Words with the tag; the offset is a multiple of four, so that every word in memory was written at once. */
class Words {
  readonly #words = new Uint32Array(CHUNK_MAX / 4);
  readonly #tag: number;
  #count = 0;

  constructor(tag: number) {
    this.#tag = tag;
  }

  word(): number {
    this.#count += 1;
    return tagged(this.#tag, this.#count);
  }

  twice(): bigint {
    const word = BigInt(this.word());
    return (word << 32n) | word;
  }

  chunk(length: number): Uint8Array {
    this.#words.fill(this.word(), 0, Math.ceil(length / 4));
    return new Uint8Array(this.#words.buffer, 0, length);
  }
}

const offset = (random: Random) => random.below(PAGE / 4) * 4;
/** Mostly short, now and then over several pages. */
const length = (random: Random) => 4 * (1 + random.below(random.oneIn(8) ? CHUNK_MAX / 4 : 64));

/** Every way to write through the API. */
export function apiScribble(memory: KvmMemory, random: Random, tag: number): Scribble {
  const words = new Words(tag);
  const ways: readonly ((at: number) => void)[] = [
    at => memory.write(at, words.chunk(length(random))),
    at => memory.memset(at, tag, length(random)),
    at => memory.writeObj(at, u32le, words.word()),
    at => memory.writeObj(at, u64le, words.twice()),
    at => memory.atomics.store(at, u32le, words.word()),
    at => memory.atomics.exchange(at, u32le, words.word()),
    at => memory.writeObj(at, u8, tag),
  ];
  return () => {
    const at = random.pick(targets) + offset(random);
    const way = random.pick(ways);
    attempt(() => way(at));
  };
}

/** Stores into typed arrays over the shared buffer, of which the library hears nothing. */
export function rawScribble(memory: KvmMemory, random: Random, tag: number): Scribble {
  const words = new Words(tag);
  const ways: readonly ((view: Uint8Array) => void)[] = [
    view => {
      new Uint32Array(view.buffer, view.byteOffset, PAGE / 4)[random.below(PAGE / 4)] = words.word();
    },
    view => {
      new BigUint64Array(view.buffer, view.byteOffset, PAGE / 8)[random.below(PAGE / 8)] = words.twice();
    },
    view => {
      const from = offset(random);
      view.set(words.chunk(Math.min(length(random), PAGE - from)), from);
    },
    view => {
      Atomics.exchange(new Uint32Array(view.buffer, view.byteOffset, PAGE / 4), random.below(PAGE / 4), words.word());
    },
    view => {
      view[random.below(PAGE)] = tag;
    },
  ];
  return () => {
    const page = random.pick(targets);
    const way = random.pick(ways);
    attempt(() => way(memory.view(page, PAGE)));
  };
}

/** read(2) into guest RAM from `file`, which holds `fileSize` bytes of tagged words. */
export function fsScribble(memory: KvmMemory, random: Random, file: number, fileSize: number): Scribble {
  return () => {
    const at = random.pick(targets) + offset(random);
    const bytes = length(random);
    const from = 4 * random.below((fileSize - CHUNK_MAX) / 4);
    attempt(() => {
      readSync(file, memory.view(at, bytes), 0, bytes, from);
    });
  };
}
