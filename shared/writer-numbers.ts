// Which threads write to a memory: each that attaches takes a number, which its marks carry, and a table in the memory's shared header
// says who that is. Every thread; pure.

import { WRITER_COUNT, WRITER_TABLE } from './memory-layout.ts';
import { WRITER_GUEST, WRITER_THREAD_LAST, WRITER_UNKNOWN, WRITER_VCPU, type Writer } from './writer.ts';

/** Who attaches: a thread by Node's `threadId`, or a vCPU of the host engine by its index. */
export type WriterIdentity = { readonly threadId: number } | { readonly vcpu: number };

const INDEX_MASK = 0x3fff;

/**
 * This thread's number in the memory, 1 to 255; the last one is shared by all that find no other free. Who attaches again (a pool's
 * thread, the next VM's vCPU 0) gets the number that it had.
 *
 * The entry is stored before the number is used in any mark, and never changes: who reads a mark finds it.
 */
export function takeWriterNumber(header: Int32Array, identity: WriterIdentity): number {
  const entry = entryOf(identity);
  const taken = Math.min(Atomics.load(header, WRITER_COUNT), WRITER_THREAD_LAST - 1);
  for (let number = 1; number <= taken; number++) {
    if (Atomics.load(header, WRITER_TABLE + number) === entry) return number;
  }
  // At the limit nothing is counted any more, so that it cannot wrap around.
  if (taken === WRITER_THREAD_LAST - 1) return WRITER_THREAD_LAST;
  const number = Atomics.add(header, WRITER_COUNT, 1) + 1;
  if (number >= WRITER_THREAD_LAST) return WRITER_THREAD_LAST;
  Atomics.store(header, WRITER_TABLE + number, entry);
  return number;
}

/** What a writer's code (writer.ts) means in the memory whose header this is. */
export function writerOf(header: Int32Array, code: number): Writer {
  if (code === WRITER_UNKNOWN) return { kind: 'unknown' };
  if ((code & WRITER_VCPU) !== 0) return { kind: 'vcpu', index: code & INDEX_MASK };
  if (code === WRITER_GUEST) return { kind: 'guest' };
  const entry = code < WRITER_THREAD_LAST ? Atomics.load(header, WRITER_TABLE + code) : 0;
  if (entry < 0) return { kind: 'vcpu', index: -entry - 1 };
  return { kind: 'thread', threadId: entry === 0 ? undefined : entry - 1 };
}

/** 0 is a free entry: threads count up from 1, vCPUs down from -1. */
function entryOf(identity: WriterIdentity): number {
  return 'vcpu' in identity ? -1 - identity.vcpu : identity.threadId + 1;
}
