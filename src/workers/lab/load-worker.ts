// A thread that loads the machine while regions come and go: writes to page after page and reads back what it wrote, in JavaScript through the API, in
// WebAssembly or in C. A worker thread; ends when the main thread says so in its words (shared/lab/storm.ts).

import { workerData } from 'node:worker_threads';
import { native } from '../../../native/index.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import { LAB_LAYOUT } from '../../../shared/lab/control.ts';
import { LOADER, LOADER_OVER } from '../../../shared/lab/storm.ts';
import { u32le } from '../../../shared/layout.ts';
import type { MemoryHandle, WasmMemory } from '../../../shared/memory-layout.ts';
import { KIB, PAGE_SIZE } from '../../../shared/units.ts';
import { attachMemory } from '../attach-memory.ts';
import { arenaOf } from './arena.ts';
import { instantiate } from './wasm-kernels.ts';

/** What the main thread sends along. */
export interface LoadData {
  readonly kind: 'js' | 'wasm' | 'c';
  readonly words: SharedArrayBuffer;
  /** Processors that it may run on; empty: any. */
  readonly cpus: readonly number[];
  /** js: where its pages are, which may come and go. The others have as much memory of their own. */
  readonly memory: MemoryHandle;
  readonly at: number;
  readonly pages: number;
}

const WASM_PAGE = 64 * KIB;

// SAFETY: only load-threads.ts starts this file, and with exactly this.
const { kind, words: buffer, cpus, memory, at, pages } = workerData as LoadData;
const words = new Int32Array(buffer);

/** One step, the `step`-th; false: what was read back was not what had been written. */
type Step = (step: number) => boolean;

/** A page through the API. It may be gone, and then the access is refused; gone and there again between write and read, it is zero. */
function stepOfJs(): Step {
  const guest = attachMemory(memory);
  return step => {
    const address = at + (step % pages) * PAGE_SIZE;
    try {
      guest.writeObj(address, u32le, step);
      const found = guest.readObj(address, u32le);
      return found === step || found === 0;
    } catch (error) {
      if (!(error instanceof HypervisorError) || error.code !== 'ERR_MEMORY_UNMAPPED') throw error;
      words[LOADER.REFUSED] = (words[LOADER.REFUSED] ?? 0) + 1;
      return true;
    }
  };
}

/** All pages by one call of C's. */
function stepOfC(): Step {
  const bytes = new Uint8Array(new SharedArrayBuffer(pages * PAGE_SIZE));
  return step => {
    native().fill(bytes, 0, bytes.length, step & 0xff);
    return bytes[0] === (step & 0xff) && bytes.at(-1) === (step & 0xff);
  };
}

/** All pages by one call of a WebAssembly kernel. */
async function stepOfWasm(): Promise<Step> {
  const size = (LAB_LAYOUT.DATA + pages * PAGE_SIZE) / WASM_PAGE;
  const { Memory } = (globalThis as unknown as { WebAssembly: WasmMemories }).WebAssembly;
  const own = new Memory({ initial: size, maximum: size, shared: true });
  const { write } = await instantiate(own);
  const arena = arenaOf(own.buffer);
  const values = new BigUint64Array(3);
  return step => {
    const bytes = pages * PAGE_SIZE;
    write(arena, Uint32Array.of(LAB_LAYOUT.DATA, bytes, 1, step), values);
    return arena.u32[LAB_LAYOUT.DATA / 4] === step && arena.u32[(LAB_LAYOUT.DATA + bytes) / 4 - 1] === step;
  };
}

/** As in wasm-kernels.ts: the compiler's library has it with the browser's types only. */
interface WasmMemories {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => WasmMemory;
}

if (cpus.length > 0) native().setAffinity(cpus);
const take = kind === 'js' ? stepOfJs() : kind === 'c' ? stepOfC() : await stepOfWasm();
let step = 0;
for (;;) {
  Atomics.store(words, LOADER.WORKS, 0);
  Atomics.wait(words, LOADER.GO, 0);
  if (Atomics.load(words, LOADER.GO) === LOADER_OVER) break;
  Atomics.store(words, LOADER.WORKS, 1);
  while (Atomics.load(words, LOADER.GO) === 1) {
    step = (step % 0x7fff_ffff) + 1;
    if (!take(step)) words[LOADER.WRONG] = (words[LOADER.WRONG] ?? 0) + 1;
    Atomics.store(words, LOADER.STEPS, step);
  }
}
