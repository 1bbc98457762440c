// What may be asked of memory: option types, and their validation before anything is mapped. Any thread that owns memory.

import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { MapSpec } from '../../../native/index.ts';
import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import { GIB, HOLE_START, hex, KIB, MIB, PAGE_SIZE, toU64, type U64 } from '../../../shared/units.ts';

/** A file as memory. Private (copy-on-write) unless `shared`. The file must not be truncated while it is mapped. */
export interface FileBacking {
  /** Path. Must be at least `offset` + size bytes long. */
  readonly file: string;
  /** Stores reach the file, and other processes that map it. Default false. */
  readonly shared?: boolean;
  /** Byte offset in the file, a multiple of the page size. Default 0. */
  readonly offset?: U64;
}

/**
 * 'anonymous' (default), 'memfd', a file, or 'wasm': the region is a shared WebAssembly.Memory (multiple of 64 KiB, at most 3 GiB),
 * found as `region.wasm` and `memory.wasmMemory`.
 */
export type Backing = 'anonymous' | 'memfd' | 'wasm' | FileBacking;

export interface MemoryOptions {
  readonly backing?: Backing;
  /** 'thp': transparent huge pages by advice; '2M' / '1G': reserved ones, size a multiple (anonymous and memfd only). Default 'none'. */
  readonly hugePages?: 'none' | 'thp' | '2M' | '1G';
  /** Commit all pages now, on this many threads (true: one per CPU). Default false: pages are committed by their first use. */
  readonly prefault?: boolean | number;
}

export interface RegionOptions extends MemoryOptions {
  /** Neither the guest nor the library's accessors may write; raw views still can. Default false. */
  readonly readOnly?: boolean;
  /** First bytes of the region; the rest is zero (or the file's). At most its size. */
  readonly contents?: Uint8Array;
}

/** Options after validation. */
export interface MapPlan {
  readonly kind: 'anonymous' | 'memfd' | 'file' | 'wasm';
  readonly file: { readonly path: string; readonly shared: boolean; readonly offset: number } | undefined;
  readonly hugePages: NonNullable<MapSpec['hugePages']>;
  /** 0: none. */
  readonly prefaultThreads: number;
}

const WASM_PAGE = 64 * KIB;
/** What a size must be a multiple of. */
export const HUGE_SIZES = { none: PAGE_SIZE, thp: PAGE_SIZE, '2M': 2 * MIB, '1G': GIB } as const;
const MEMORY_KEYS = ['backing', 'hugePages', 'prefault'] as const;
const PREFAULT_THREADS_MAX = 256;
/** KVM_MEM_MAX_NR_PAGES: no slot may be larger. */
const REGION_SIZE_MAX = (2 ** 31 - 1) * PAGE_SIZE;

/** A region's address and size: page-aligned, not empty, end within 2^53 - 1. */
export function checkPlace(guestAddr: U64, size: U64): { at: number; bytes: number } {
  const at = toU64(guestAddr, 'guestAddr');
  const bytes = checkSize(size);
  checkAligned(at, 'guestAddr');
  if (at + bytes > Number.MAX_SAFE_INTEGER) {
    throw new HypervisorError('ERR_MEMORY_RANGE', `guestAddr ${hex(at)} + size ${hex(bytes)} is beyond 2^53 - 1`);
  }
  if (bytes > REGION_SIZE_MAX) {
    throw new HypervisorError(
      'ERR_MEMORY_RANGE',
      `size ${hex(bytes)} is more than a KVM slot holds (${hex(REGION_SIZE_MAX)})`,
    );
  }
  return { at, bytes };
}

export function checkSize(size: U64): number {
  const bytes = toU64(size, 'size');
  if (bytes === 0) throw outOfRange('size', 'more than zero', size);
  checkAligned(bytes, 'size');
  return bytes;
}

export function checkAligned(value: number | bigint, name: string, unit: number = PAGE_SIZE): void {
  const rest = typeof value === 'bigint' ? Number(value % BigInt(unit)) : value % unit;
  if (rest === 0) return;
  throw new HypervisorError('ERR_MEMORY_ALIGNMENT', `${name} must be a multiple of ${hex(unit)}, got ${hex(value)}`);
}

export function checkBoolean(value: unknown, name: string): asserts value is boolean {
  if (typeof value !== 'boolean') throw invalidType(name, 'a boolean', value);
}

/** Validates memory options for a mapping of `size` bytes. Unknown keys throw. `extraKeys`: those that the caller validates. */
export function planMapping(options: MemoryOptions, size: number, extraKeys: readonly string[] = []): MapPlan {
  if (options === null || typeof options !== 'object') throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, [...MEMORY_KEYS, ...extraKeys], 'memory');
  const hugePages = options.hugePages ?? 'none';
  if (!Object.hasOwn(HUGE_SIZES, hugePages)) throw outOfRange('hugePages', "'none', 'thp', '2M' or '1G'", hugePages);
  const backing = options.backing ?? 'anonymous';
  const kind = typeof backing === 'object' && backing !== null ? 'file' : backing;
  if (kind !== 'anonymous' && kind !== 'memfd' && kind !== 'wasm' && kind !== 'file') {
    throw outOfRange('backing', "'anonymous', 'memfd', 'wasm' or { file }", kind);
  }
  if (hugePages !== 'none' && (kind === 'wasm' || (kind === 'file' && hugePages !== 'thp'))) {
    throw outOfRange('hugePages', `'none' with backing ${kind}`, hugePages);
  }
  checkAligned(size, 'size', HUGE_SIZES[hugePages]);
  if (kind === 'wasm') {
    checkAligned(size, "size (backing 'wasm')", WASM_PAGE);
    if (size > HOLE_START) {
      throw new HypervisorError(
        'ERR_MEMORY_RANGE',
        `backing 'wasm' holds at most ${hex(HOLE_START)} bytes, got ${hex(size)}`,
      );
    }
  }
  return {
    kind,
    file: typeof backing === 'object' ? planFile(backing, size) : undefined,
    hugePages,
    prefaultThreads: threadsOf(options.prefault ?? false),
  };
}

function threadsOf(prefault: unknown): number {
  if (typeof prefault === 'boolean') return prefault ? Math.min(availableParallelism(), PREFAULT_THREADS_MAX) : 0;
  if (typeof prefault !== 'number') throw invalidType('prefault', 'a boolean or a number of threads', prefault);
  if (!Number.isInteger(prefault) || prefault < 1 || prefault > PREFAULT_THREADS_MAX) {
    throw outOfRange('prefault', `true, false or 1 to ${PREFAULT_THREADS_MAX} threads`, prefault);
  }
  return prefault;
}

function planFile(backing: FileBacking, size: number): NonNullable<MapPlan['file']> {
  refuseUnknownKeys(backing, ['file', 'shared', 'offset'], 'backing');
  const { file: path, shared = false } = backing;
  if (typeof path !== 'string') throw invalidType('backing.file', 'a path', path);
  checkBoolean(shared, 'backing.shared');
  const offset = toU64(backing.offset ?? 0, 'backing.offset');
  checkAligned(offset, 'backing.offset');
  // Pages beyond the end of a file raise SIGBUS when they are touched, which would end the process.
  const available = fileSize(path);
  if (offset + size > available) {
    throw new HypervisorError(
      'ERR_MEMORY_RANGE',
      `${path} has ${hex(available)} bytes, mapped would be [${hex(offset)}, ${hex(offset + size)})`,
    );
  }
  return { path, shared, offset };
}

function fileSize(path: string): number {
  try {
    return statSync(path).size;
  } catch (cause) {
    const { errno, syscall, message } = cause as NodeJS.ErrnoException;
    throw new HypervisorError('ERR_SYSCALL', message, {
      cause,
      ...(errno === undefined ? {} : { errno: -errno }),
      ...(syscall === undefined ? {} : { syscall }),
    });
  }
}
