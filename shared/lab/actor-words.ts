// Views of the words of control.ts: the control area, and one actor's block in it. Pure; any thread.

import type { WasmMemory } from '../memory-layout.ts';
import { LAB_BLOCK_BYTES, LAB_BLOCKS, LAB_LAYOUT, LAB_RESULT, LAB_VALUES_MAX } from './control.ts';

export const controlWords = (arena: SharedArrayBuffer) => new Int32Array(arena, LAB_LAYOUT.CONTROL, LAB_BLOCKS / 4);

/** One actor's block. `actor`: 0 to LAB_ACTORS_MAX - 1. */
export class ActorWords {
  /** LAB_BLOCK's words. */
  readonly words: Int32Array;
  /** LAB_RESULT's words. */
  readonly results: BigUint64Array;
  /** LAB_RESULT.VALUES and what follows. */
  readonly values: BigUint64Array;

  constructor(arena: SharedArrayBuffer, actor: number) {
    const at = LAB_LAYOUT.CONTROL + LAB_BLOCKS + actor * LAB_BLOCK_BYTES;
    this.words = new Int32Array(arena, at, LAB_BLOCK_BYTES / 4);
    this.results = new BigUint64Array(arena, at, LAB_BLOCK_BYTES / 8);
    this.values = this.results.subarray(LAB_RESULT.VALUES, LAB_RESULT.VALUES + LAB_VALUES_MAX);
  }
}

/** What an actor's thread is started with. */
export interface ActorData {
  readonly kind: 'js' | 'wasm' | 'c';
  readonly actor: number;
  /** The shared WebAssembly.Memory whose buffer is the arena. */
  readonly memory: WasmMemory;
}
