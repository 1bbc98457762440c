// Dirty limits: throttles vCPUs that dirty memory faster than they may. Main thread: measures every 100 ms and decides how much of the time
// each vCPU runs; the vCPU's own thread sleeps for the rest (src/workers/throttle.ts).
//
// The law: from the pages that a vCPU dirtied and the time that it ran for, both over about the last fifth of a second, follows how many
// pages it dirties per millisecond of *running*. The share of time that it may run is limit / that. A share of 1 or more is no throttle:
// a guest that slows down by itself runs freely, without a switch that could flap. What is measured is measured again ten times
// a second, so a wrong guess (a guest that writes the same pages over and over dirties less per run the longer it runs) corrects itself.

import { HypervisorError, invalidType, outOfRange } from '../../../shared/errors.ts';
import type { DirtyCursor, KvmMemory } from '../memory/kvm-memory.ts';
import { openCursor } from './dirty-rate.ts';
import { countDirty, ShareCounter, type SharesHost } from './dirty-shares.ts';
import type { VcpuControl } from './vcpu-control.ts';

export interface DirtyLimitHost extends SharesHost {
  readonly memory: KvmMemory;
  readonly controls: readonly Pick<VcpuControl, 'throttle' | 'ranUs'>[];
}

/** A vCPU's limit, and what comes of it. */
export interface DirtyLimit {
  readonly pagesPerSecond: number;
  /** Pages per second that it dirtied over about the last second; an estimate with several vCPUs and another source than 'ring'. */
  readonly measured: number;
  /** The share of time that it may run, 0.001 to 1. */
  readonly share: number;
}

const PERIOD_MS = 100;
/** What a period's numbers count for in the next one: to steer by, and to show. */
const MEMORY = 0.5;
const SHOWN_MEMORY = 0.9;
/** A vCPU is never kept from running altogether: a millisecond a second is left to it. */
const SHARE_MIN = 0.001;
/** Runs and sleeps take turns within this, unless a millisecond of running is more than the share. */
const CYCLE_MS = 100;
const RUN_MAX_MS = 10;

interface Vcpu {
  limit: number | undefined;
  share: number;
  ranUs: number;
  /** Sums that fade: pages dirtied and milliseconds run, to steer by; pages dirtied and milliseconds passed, to show. */
  pages: number;
  ranMs: number;
  shownPages: number;
  passedMs: number;
}

const NOTHING = { pages: 0, ranMs: 0, shownPages: 0, passedMs: 0 };

export class DirtyLimiter {
  readonly #host: DirtyLimitHost;
  readonly #vcpus: readonly Vcpu[];
  #timer: NodeJS.Timeout | undefined;
  #cursor: DirtyCursor | undefined;
  #counter: ShareCounter | undefined;
  #lastMs = 0;
  /** Pages of whichever vCPU, from a period in which none had its time counted. */
  #undivided = 0;

  constructor(host: DirtyLimitHost) {
    this.#host = host;
    this.#vcpus = host.controls.map(() => ({
      limit: undefined,
      share: 1,
      ranUs: 0,
      ...NOTHING,
    }));
  }

  /** Limits these vCPUs to `pagesPerSecond` each; undefined: no limit. @throws `ERR_DIRTY_TRACKING_OFF`, `ERR_SYSCALL`; nothing changed then */
  set(vcpus: readonly number[], pagesPerSecond: number | undefined): void {
    if (pagesPerSecond !== undefined) {
      checkLimit(pagesPerSecond);
      // Also where limits are on already: with tracking off this one would not be kept.
      if (this.#host.source() === undefined)
        throw new HypervisorError('ERR_DIRTY_TRACKING_OFF', 'dirty tracking is off: call enableDirtyTracking() first');
      if (this.#timer === undefined) this.#start();
    }
    for (const index of vcpus) {
      const vcpu = this.#vcpus[index];
      if (vcpu === undefined) continue;
      vcpu.limit = pagesPerSecond;
      // Where no limit is on, nothing is measured either: a share would cut the vCPU's time into slices for good.
      if (pagesPerSecond === undefined && this.#timer !== undefined) this.#give(index, vcpu, 1);
    }
    if (this.#vcpus.every(({ limit }) => limit === undefined)) this.close();
  }

  get(index: number): DirtyLimit | undefined {
    const vcpu = this.#vcpus[index];
    if (vcpu?.limit === undefined) return undefined;
    const measured = vcpu.passedMs === 0 ? 0 : (vcpu.shownPages * 1000) / vcpu.passedMs;
    return { pagesPerSecond: vcpu.limit, measured, share: vcpu.share };
  }

  /** Lifts all limits. Idempotent. */
  close(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#cursor?.[Symbol.dispose]();
    this.#cursor = undefined;
    for (const vcpu of this.#vcpus) vcpu.limit = undefined;
    for (const control of this.#host.controls) control.throttle(0, 0);
  }

  #start(): void {
    const cursor = openCursor(this.#host.memory);
    const counter = new ShareCounter(this.#host);
    try {
      countDirty(cursor, counter);
    } catch (error) {
      cursor[Symbol.dispose]();
      throw error;
    }
    this.#cursor = cursor;
    this.#counter = counter;
    this.#lastMs = performance.now();
    this.#undivided = 0;
    for (const [index, vcpu] of this.#vcpus.entries()) {
      Object.assign(vcpu, { share: 1, ...NOTHING });
      vcpu.ranUs = this.#host.controls[index]?.ranUs ?? 0;
      this.#give(index, vcpu, 1);
    }
    // It steers running vCPUs, which keep the process alive themselves.
    this.#timer = setInterval(() => this.#tick(), PERIOD_MS).unref();
  }

  #tick(): void {
    const now = performance.now();
    const passed = now - this.#lastMs;
    this.#lastMs = now;
    const ran = this.#vcpus.map((vcpu, index) => {
      const before = vcpu.ranUs;
      vcpu.ranUs = this.#host.controls[index]?.ranUs ?? 0;
      // Wraps around at 2^32; the difference does not.
      return ((vcpu.ranUs - before) | 0) / 1000;
    });
    const pages = this.#measure(ran);
    for (const [index, vcpu] of this.#vcpus.entries()) {
      const own = pages[index] ?? 0;
      vcpu.pages = vcpu.pages * MEMORY + own;
      vcpu.ranMs = vcpu.ranMs * MEMORY + (ran[index] ?? 0);
      vcpu.shownPages = vcpu.shownPages * SHOWN_MEMORY + own;
      vcpu.passedMs = vcpu.passedMs * SHOWN_MEMORY + passed;
      if (vcpu.limit === undefined || vcpu.ranMs === 0) continue;
      const pagesPerMs = vcpu.pages / vcpu.ranMs;
      const share = pagesPerMs === 0 ? 1 : vcpu.limit / 1000 / pagesPerMs;
      this.#give(index, vcpu, Math.min(Math.max(share, SHARE_MIN), 1));
    }
  }

  /** Pages by vCPU since the last time, where need be divided by the milliseconds that each ran since then. */
  #measure(ran: readonly number[]): number[] {
    if (this.#cursor === undefined || this.#counter === undefined) return [];
    try {
      const { vcpus, others } = countDirty(this.#cursor, this.#counter).shares;
      const total = ran.reduce((sum, ms) => sum + ms, 0);
      // Time is counted at the end of a stretch: pages may come a period before it.
      const shared = this.#undivided + others;
      this.#undivided = total === 0 ? shared : 0;
      return vcpus.map((own, index) => own + (total === 0 ? 0 : (shared * (ran[index] ?? 0)) / total));
    } catch {
      // Tracking was turned off: nothing is dirtied, so to speak, and everybody runs. Or the kernel refused: the next harvest has it all.
      return [];
    }
  }

  #give(index: number, vcpu: Vcpu, share: number): void {
    vcpu.share = share;
    // Whole milliseconds of running, as a timer ends them; the sleep makes the share exact. A share of 1 is measured only.
    const runMs = Math.min(Math.max(Math.round(CYCLE_MS * share), 1), RUN_MAX_MS);
    this.#host.controls[index]?.throttle(runMs, (1 - share) / share);
  }
}

function checkLimit(value: unknown): void {
  if (typeof value !== 'number') throw invalidType('pagesPerSecond', 'a number or undefined', value);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) throw outOfRange('pagesPerSecond', 'more than 0', value);
}
