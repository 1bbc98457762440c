// Mappings: the host memory that regions lie in, each with its SharedArrayBuffer, its mark bytes and its fresh dirty bits. Any thread
// that owns memory. A mapping lives as long as any reference to its buffer, on any thread, or a KVM slot over it.

import { native } from '../../../native/index.ts';
import { DirtyBitmap } from '../../../shared/dirty-bitmap.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import { PAGES_PER_SUMMARY, type Reclaim, type WasmMemory } from '../../../shared/memory-layout.ts';
import { hex, KIB, PAGE_SIZE } from '../../../shared/units.ts';
import { WRITER_UNKNOWN } from '../../../shared/writer.ts';
import { HUGE_SIZES, type MapPlan } from './options.ts';

/** What is needed of the WebAssembly global; its types are part of the DOM's library only. */
interface WasmGlobal {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => WasmMemory;
}

/** What a mapping is, besides memory. */
interface MappingOrigin {
  readonly wasm?: WasmMemory;
  readonly isOurs?: boolean;
  readonly hugePages?: MapPlan['hugePages'];
  readonly reclaim?: Reclaim | undefined;
}

export class Mapping {
  readonly buffer: SharedArrayBuffer;
  /** Address of the buffer's first byte. */
  readonly hostAddr: bigint;
  readonly wasm: WasmMemory | undefined;
  /** See RegionDescriptor.reclaim. */
  readonly reclaim: Reclaim | undefined;
  readonly pages: number;
  /** One byte per page, see RegionDescriptor.marks. Not committed until it is written. */
  readonly marks: SharedArrayBuffer;
  /** One byte per 4096 marks, see RegionDescriptor.summary. */
  readonly summary: SharedArrayBuffer;
  readonly #markBytes: Uint8Array;
  readonly #summaryBytes: Uint8Array;
  readonly #summaryWords: Int32Array;
  #fresh: DirtyBitmap;
  /** False: no bit of *fresh* is set. */
  hasFresh = false;
  #writers: Uint16Array | undefined;
  /** Bytes of its huge pages; a page's where it has none. */
  readonly #hugePage: number;

  /** The library mapped it, it is unmapped with its last buffer, and that has not been counted as garbage yet. */
  #isToCount: boolean;

  constructor(buffer: SharedArrayBuffer, hostAddr: bigint, from: MappingOrigin = {}) {
    const { wasm, isOurs = false, hugePages = 'none' } = from;
    this.#isToCount = isOurs;
    // 'thp' maps like any other memory, and what it is made of is 2 MiB.
    this.#hugePage = HUGE_SIZES[hugePages === 'thp' ? '2M' : hugePages];
    this.buffer = buffer;
    this.hostAddr = hostAddr;
    this.wasm = wasm;
    this.reclaim = from.reclaim;
    this.pages = buffer.byteLength / PAGE_SIZE;
    this.marks = new SharedArrayBuffer(this.pages);
    this.#markBytes = new Uint8Array(this.marks);
    // Whole words: it is looked at a word at a time.
    this.summary = new SharedArrayBuffer(Math.ceil(this.pages / PAGES_PER_SUMMARY / 4) * 4);
    this.#summaryBytes = new Uint8Array(this.summary);
    this.#summaryWords = new Int32Array(this.summary);
    this.#fresh = new DirtyBitmap(this.pages);
  }

  /** No region lies here any more: what is left are references that users may hold. */
  letGo(): void {
    // Once, although a region may be added here again and be removed.
    if (this.#isToCount) native().countGarbage(this.buffer);
    this.#isToCount = false;
  }

  /** A code (shared/writer.ts) per page: who wrote it last, as far as a source could say. Undefined without attribution. */
  get writers(): Uint16Array | undefined {
    return this.#writers;
  }

  setAttribution(on: boolean): void {
    if (!on) this.#writers = undefined;
    else this.#writers ??= new Uint16Array(this.pages);
  }

  /**
   * Pages that sources recorded and that no consumer has been told of yet. Pages of the *mapping*: splitting and merging regions
   * moves nothing, and a page that is mapped twice is dirty at both addresses. Whoever sets bits says so with noteFresh().
   */
  get fresh(): DirtyBitmap {
    return this.#fresh;
  }

  /** Hands the fresh pages over; `clean`, which is as long and has no bit set, takes their place. */
  exchangeFresh(clean: DirtyBitmap): DirtyBitmap {
    const fresh = this.#fresh;
    this.#fresh = clean;
    this.hasFresh = false;
    return fresh;
  }

  /** A call that sets bits of *fresh* found `pages` of them. After a call that failed, which may have found some: 1. */
  noteFresh(pages: number): void {
    if (pages > 0) this.hasFresh = true;
  }

  /** Moves the marks of writes through the API into *fresh*. */
  collectMarks(): void {
    if (!this.#isMarked()) return;
    const { fresh, writers = null } = this;
    this.noteFresh(native().takeMarks(this.#markBytes, this.#summaryBytes, this.pages, fresh.bytes, writers));
  }

  /**
   * Mostly nothing is, and then no native call is made. Plain loads: what was marked before this harvest began, as far as anybody can say so, is seen
   * here, and anything else is the next harvest's.
   */
  #isMarked(): boolean {
    const words = this.#summaryWords;
    for (let index = 0; index < words.length; index++) if (words[index] !== 0) return true;
    return false;
  }

  /** Forgets the marks of writes that were made while nobody tracked. */
  dropMarks(): void {
    const dropped = new DirtyBitmap(this.pages).bytes;
    native().takeMarks(this.#markBytes, this.#summaryBytes, this.pages, dropped, null);
  }

  /** Makes the huge page of each fresh page fresh. Nobody is known to have written what was not. */
  widenFresh(): void {
    const { fresh, writers } = this;
    const group = this.#hugePage / PAGE_SIZE;
    if (group === 1) return;
    // Huge pages are where the host's addresses say, wherever the mapping begins.
    const phase = group - (Number(this.hostAddr / BigInt(PAGE_SIZE)) % group);
    fresh.completeGroups(group, phase, (first, count) => {
      if (writers === undefined) return;
      for (let page = first; page < first + count; page++) if (!fresh.has(page)) writers[page] = WRITER_UNKNOWN;
    });
  }
}

/** Maps what was planned and validated. Nothing stays mapped when it throws. @throws HypervisorError `ERR_SYSCALL` */
export function createMapping(plan: MapPlan, size: number, name: string): Mapping {
  const addon = native();
  const mapping = plan.kind === 'wasm' ? createWasm(size) : createNative(plan, plan.kind, size, name);
  if (plan.prefaultThreads > 0) addon.prefault(mapping.buffer, 0, size, plan.prefaultThreads);
  remember(mapping);
  return mapping;
}

function createNative(plan: MapPlan, kind: 'anonymous' | 'memfd' | 'file', size: number, name: string): Mapping {
  const { file, hugePages } = plan;
  const source = file === undefined ? {} : { path: file.path, shared: file.shared, fileOffset: file.offset };
  const { buffer, hostAddr } = native().mapMemory({ size, kind, hugePages, name, ...source });
  // Of explicit huge pages the kernel takes back whole ones only, and what is in a file is its owner's.
  const reclaim = kind !== 'file' && (hugePages === 'none' || hugePages === 'thp') ? kind : undefined;
  return new Mapping(buffer, hostAddr, { isOurs: true, hugePages, reclaim });
}

function createWasm(size: number): Mapping {
  const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WasmGlobal };
  const pages = size / (64 * KIB);
  // initial == maximum: it never grows, so its buffer is the same object for good.
  const wasm = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return new Mapping(wasm.buffer, native().addressOf(wasm.buffer), { wasm });
}

/** Where an external range lies: in which buffer, and at which offset of it. */
export interface ExternalPlace {
  readonly buffer: SharedArrayBuffer;
  /** Address of the buffer's first byte. */
  readonly base: bigint;
  readonly offset: number;
}

/**
 * A buffer over [hostAddr, hostAddr + size), memory that the caller owns and keeps mapped. If it is part of a mapping of this library,
 * that mapping's own buffer: Node 20 ends the process when Atomics.wait and notify use different buffers over one address.
 * @throws HypervisorError `ERR_MEMORY_OVERLAP` when it is partly in a mapping of the library; `ERR_MEMORY_UNMAPPED`
 *   when it is not all mapped for reading and writing
 */
export function placeExternal(hostAddr: bigint, size: number): ExternalPlace {
  const end = hostAddr + BigInt(size);
  for (const { base, buffer } of liveBuffers()) {
    const limit = base + BigInt(buffer.byteLength);
    if (hostAddr >= base && end <= limit) return { buffer, base, offset: Number(hostAddr - base) };
    if (hostAddr < limit && end > base) {
      throw new HypervisorError(
        'ERR_MEMORY_OVERLAP',
        `host range [${hex(hostAddr)}, ${hex(end)}) is partly in the mapping [${hex(base)}, ${hex(limit)}): ` +
          'an external region lies in one mapping, or in none of this library',
      );
    }
  }
  // Always writable: read-only is the library's and KVM's business, and a raw store through a view must not fault.
  try {
    return { buffer: native().wrapExternal(hostAddr, size, true), base: hostAddr, offset: 0 };
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 'ERR_OUT_OF_RANGE') throw cause;
    throw new HypervisorError('ERR_MEMORY_UNMAPPED', (cause as Error).message, { cause });
  }
}

// The buffers over host memory that this thread made and that are still alive.
const known = new Map<bigint, WeakRef<SharedArrayBuffer>>();

export function remember(mapping: Mapping): void {
  known.set(mapping.hostAddr, new WeakRef(mapping.buffer));
}

function* liveBuffers(): Iterable<{ base: bigint; buffer: SharedArrayBuffer }> {
  for (const [base, weak] of known) {
    const buffer = weak.deref();
    if (buffer === undefined) known.delete(base);
    else yield { base, buffer };
  }
}
