// A lab team without threads: its actors run the JavaScript kernels one after another, on this thread. For workloads whose actors never wait for
// each other; what they leave can be spoilt, so that a test sees whether that is found.

import { LAB_LAYOUT, LAB_VALUES_MAX } from '../shared/lab/control.ts';
import type { ActorResult, Order, Team } from '../src/main/lab/workload.ts';
import { arenaOf } from '../src/workers/lab/arena.ts';
import { openJsKernels } from '../src/workers/lab/js-kernels.ts';

export class FakeTeam implements Team {
  readonly buffer: SharedArrayBuffer;
  readonly data: Team['data'];
  readonly counts = { js: 4, wasm: 4, guest: 4, c: 4 };
  readonly clockNs = {};
  /** Every order that was given. */
  readonly ordered: Order[] = [];
  /** Called with the results and the arena after each repetition. */
  spoil: ((results: { values: bigint[]; ops: number }[], data: Uint32Array) => void) | undefined;

  constructor(bytes: number) {
    this.buffer = new SharedArrayBuffer(LAB_LAYOUT.DATA + bytes);
    this.data = { at: LAB_LAYOUT.DATA, bytes };
  }

  async run(orders: readonly Order[]): Promise<readonly ActorResult[]> {
    this.ordered.push(...orders);
    const arena = arenaOf(this.buffer);
    const kernels = openJsKernels(arena);
    const results = orders.map(({ kernel, params }) => {
      const values = new BigUint64Array(LAB_VALUES_MAX);
      if (kernel === 'litmus') throw new RangeError('litmus tests need threads');
      const start = performance.now();
      kernels[kernel](arena, Uint32Array.from(params), values);
      return { startNs: 0, ns: (performance.now() - start) * 1e6, ops: Number(values[0]), values: [...values] };
    });
    this.spoil?.(results, new Uint32Array(this.buffer, this.data.at));
    return results;
  }

  async [Symbol.asyncDispose]() {}
}
