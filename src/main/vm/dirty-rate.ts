// How fast a VM dirties memory: pages per second, of the VM and of each vCPU as far as that can be known, and how many distinct pages it
// is at work on. Main thread. On cursors of its own: no other consumer notices.

import { setTimeout as sleep } from 'node:timers/promises';
import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { DirtyCursor, DirtySourceName, KvmMemory } from '../memory/kvm-memory.ts';
import { countDirty, ShareCounter, type SharesHost } from './dirty-shares.ts';

export interface DirtyRateOptions {
  /** Milliseconds to measure for, 10 to 600,000. Default 1000. */
  readonly windowMs?: number;
  /**
   * Let each vCPU run alone for its part of a second window, while the others are paused, to learn its rate where the source does not tell.
   * Disturbs the guest: its vCPUs wait for each other. Default false.
   */
  readonly sample?: boolean;
  /** Aborting rejects with `ERR_ABORTED`. */
  readonly signal?: AbortSignal;
}

/** One vCPU's part. */
export interface VcpuDirtyRate {
  readonly index: number;
  /** Undefined: nobody can say. */
  readonly pagesPerSecond: number | undefined;
  /**
   * How it is known. 'ring': KVM's ring of this vCPU; 'writers': attribution; 'only-vcpu': there is no other, and all but what threads are known to have
   * written through the API is its; 'sample': it ran alone.
   */
  readonly known: 'ring' | 'writers' | 'only-vcpu' | 'sample' | undefined;
}

export interface DirtyRate {
  readonly source: DirtySourceName;
  /** Milliseconds that were measured for, as they were. */
  readonly windowMs: number;
  /**
   * Pages of 4096 bytes, by all writers that the source sees. The window is harvested in ten parts; a page counts once in each part that it
   * was written in: what a consumer at that rhythm would have to copy.
   */
  readonly pagesPerSecond: number;
  /** Distinct pages that were written in the whole window. */
  readonly workingSetPages: number;
  readonly vcpus: readonly VcpuDirtyRate[];
}

export interface DirtyRateHost extends SharesHost {
  readonly memory: KvmMemory;
  /** Aborted with the error to throw, when the VM is disposed of: nobody is left to be measured. */
  readonly disposed: AbortSignal;
  /** Calls `measure` while only this vCPU runs. */
  readonly alone: <T>(vcpu: number, measure: () => Promise<T>) => Promise<T>;
}

const PARTS = 10;
const WINDOW_MS = 1000;
const WINDOW_MIN_MS = 10;
const WINDOW_MAX_MS = 600_000;

export async function dirtyRate(host: DirtyRateHost, options: DirtyRateOptions): Promise<DirtyRate> {
  const { windowMs, sample, signal } = checkOptions(options);
  using parts = openCursor(host.memory);
  using whole = openCursor(host.memory);
  const counter = new ShareCounter(host);
  countDirty(parts, counter);
  countDirty(whole, counter);
  const source = host.source();
  if (source === undefined)
    throw new HypervisorError('ERR_DIRTY_TRACKING_OFF', 'dirty tracking is off: call enableDirtyTracking() first');
  const sums = { pages: 0, others: 0, host: 0, vcpus: new Array<number>(host.vcpus).fill(0) };
  const began = performance.now();
  for (let part = 1; part <= PARTS; part++) {
    await wait(began + (windowMs * part) / PARTS - performance.now(), host.disposed, signal);
    const { pages, shares } = countDirty(parts, counter);
    sums.pages += pages;
    sums.others += shares.others;
    sums.host += shares.host;
    for (const [vcpu, own] of shares.vcpus.entries()) sums.vcpus[vcpu] = (sums.vcpus[vcpu] ?? 0) + own;
  }
  const elapsed = performance.now() - began;
  const { pages: workingSetPages } = countDirty(whole, counter);
  const perSecond = (pages: number): number => (pages * 1000) / elapsed;
  const alone = sample ? await sampleAll(host, windowMs / PARTS, signal) : undefined;
  const vcpus = sums.vcpus.map((own, index): VcpuDirtyRate => {
    const sampled = alone?.[index];
    if (source === 'ring') return { index, pagesPerSecond: perSecond(own), known: 'ring' };
    if (sums.others === 0 && sums.pages > 0) return { index, pagesPerSecond: perSecond(own), known: 'writers' };
    if (host.vcpus === 1) return { index, pagesPerSecond: perSecond(own + sums.others), known: 'only-vcpu' };
    if (sampled !== undefined) return { index, pagesPerSecond: sampled, known: 'sample' };
    return { index, pagesPerSecond: undefined, known: undefined };
  });
  return { source, windowMs: elapsed, pagesPerSecond: perSecond(sums.pages), workingSetPages, vcpus };
}

/** Each vCPU's rate while it runs alone for its part of ten times `partMs`, harvested in the same rhythm: rates are then comparable. */
async function sampleAll(host: DirtyRateHost, partMs: number, signal: AbortSignal | undefined): Promise<number[]> {
  const rates: number[] = [];
  for (let vcpu = 0; vcpu < host.vcpus; vcpu++) {
    const rate = await host.alone(vcpu, async () => {
      using cursor = openCursor(host.memory);
      const counter = new ShareCounter(host);
      countDirty(cursor, counter);
      let pages = 0;
      const began = performance.now();
      for (let part = Math.max(Math.floor(PARTS / host.vcpus), 1); part > 0; part--) {
        await wait(partMs, host.disposed, signal);
        const { shares } = countDirty(cursor, counter);
        pages += (shares.vcpus[vcpu] ?? 0) + shares.others;
      }
      return (pages * 1000) / (performance.now() - began);
    });
    rates.push(rate);
  }
  return rates;
}

let opened = 0;

/** A cursor under a name that nobody else has. */
export function openCursor(memory: KvmMemory): DirtyCursor {
  opened += 1;
  return memory.dirtyCursor(`node-kvm:rate ${opened}`);
}

async function wait(ms: number, disposed: AbortSignal, signal: AbortSignal | undefined): Promise<void> {
  try {
    const either = signal === undefined ? disposed : AbortSignal.any([disposed, signal]);
    await sleep(Math.max(ms, 0), undefined, { signal: either });
  } catch (error) {
    disposed.throwIfAborted();
    throw new HypervisorError('ERR_ABORTED', 'the signal was aborted before the dirty rate was measured', {
      cause: signal?.reason ?? error,
    });
  }
}

function checkOptions(options: DirtyRateOptions) {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['windowMs', 'sample', 'signal'], 'dirtyRate');
  const { windowMs = WINDOW_MS, sample = false, signal } = options;
  if (typeof windowMs !== 'number') throw invalidType('windowMs', 'a number', windowMs);
  if (!(windowMs >= WINDOW_MIN_MS && windowMs <= WINDOW_MAX_MS))
    throw outOfRange('windowMs', `from ${WINDOW_MIN_MS} to ${WINDOW_MAX_MS} milliseconds`, windowMs);
  if (typeof sample !== 'boolean') throw invalidType('sample', 'a boolean', sample);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalidType('signal', 'an AbortSignal', signal);
  return { windowMs, sample, signal };
}
