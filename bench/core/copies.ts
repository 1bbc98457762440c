// Bulk: read, write and memset of KvmMemory against memcpy and memset in C, on memory mapped in the same way. Main thread.

import { KvmMemory } from 'node-kvm';
import type { Baseline } from './baseline.ts';
import type { Measure, Part } from './rounds.ts';

const MAPPED = 16 << 20;
const LARGEST = 1 << 20;

interface Shape {
  readonly label: string;
  readonly bytes: number;
  /** Calls go round in this many bytes: a second-level cache's worth of pages, or more than it holds. */
  readonly window: number;
  readonly calls: number;
}

const SHAPES: readonly Shape[] = [
  { label: '4 KiB', bytes: 4096, window: 256 << 10, calls: 300 },
  { label: '1 MiB', bytes: LARGEST, window: 8 << 20, calls: 4 },
];

type Kind = 'read' | 'write' | 'memset';

/** Nanoseconds of `calls` calls. */
function run(memory: KvmMemory, kind: Kind, buffer: Uint8Array, { bytes, window, calls }: Shape): number {
  let at = 0;
  const start = process.hrtime.bigint();
  for (let i = 0; i < calls; i += 1) {
    if (kind === 'read') memory.read(at, buffer);
    else if (kind === 'write') memory.write(at, buffer);
    else memory.memset(at, i & 0xff, bytes);
    at = at + bytes === window ? 0 : at + bytes;
  }
  return Number(process.hrtime.bigint() - start);
}

/** Copies that are not copies would be fast: what a call does is checked once before it is timed. */
function verify(memory: KvmMemory, buffer: Uint8Array): void {
  buffer.fill(0xa5);
  memory.write(4096, buffer);
  buffer.fill(0);
  memory.read(4096, buffer);
  memory.memset(4096, 0x11, buffer.byteLength);
  if (buffer.some(byte => byte !== 0xa5)) throw new Error('write and read lost bytes');
  if (memory.view(4096, buffer.byteLength).some(byte => byte !== 0x11)) throw new Error('memset left bytes');
}

/** Commits the memory of both sides. */
export async function openCopies(baseline: Baseline, quick: boolean): Promise<Part> {
  const memory = new KvmMemory(MAPPED);
  memory.memset(0, 1, MAPPED);
  await baseline.run('copies-open', MAPPED, LARGEST);
  const measures: Measure[] = [];
  for (const shape of SHAPES) {
    const buffer = new Uint8Array(shape.bytes);
    verify(memory, buffer);
    for (const kind of ['read', 'write', 'memset'] as const) {
      measures.push({
        group: 'bulk against memcpy and memset',
        name: `${kind} ${shape.label}`,
        unit: 'ns',
        goal: { ratio: 1 },
        rounds: quick ? 60 : 400,
        warmup: quick ? 30 : 100,
        ours: () => run(memory, kind, buffer, shape) / shape.calls,
        theirs: async () => {
          const answer = await baseline.run('copies-run', kind, shape.bytes, shape.window, shape.calls);
          return answer.nanoseconds / shape.calls;
        },
      });
    }
  }
  return {
    measures,
    async [Symbol.asyncDispose]() {
      memory[Symbol.dispose]();
    },
  };
}
