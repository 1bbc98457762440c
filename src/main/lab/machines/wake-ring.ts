// A guest that rings by a port for which KVM signals an eventfd, and the thread that answers it: the machine, the event, rounds of questions,
// and the guest's times. Main thread.

import { setTimeout as sleep } from 'node:timers/promises';
import { type NativeEventFd, native } from '../../../../native/index.ts';
import {
  ORDER,
  ORDER_BYTES,
  SAMPLES_MAX,
  STORM_ORDERS,
  STORM_PORTS,
  STORM_TICKS,
} from '../../../../shared/lab/storm.ts';
import { COUNTER_PAIRS, COUNTER_SPAN_MS, counterRate } from '../actor-clocks.ts';
import { requireResult } from './guest-mixes.ts';
import { StormMachine } from './storm-machine.ts';
import { WakeBell } from './wake-bell.ts';

/** Answers all questions that a guest may still have. */
const ALL_ANSWERED = 0x7fff_ffff;

export class WakeRing implements AsyncDisposable {
  readonly #bell = new WakeBell();
  readonly #event: NativeEventFd = native().createEventFd();
  readonly #machine: StormMachine;
  readonly #order: Int32Array;
  readonly #clock: BigUint64Array;
  readonly #ticks: BigUint64Array;
  #ticksPerNs = 1;

  /**
   * The guest is on the first of the CPUs, the thread on the second where there is one; it answers in JavaScript or (the baseline) in C. Takes 0.1 s,
   * for the guest's clock. @throws HypervisorError
   */
  static async open(by: 'js' | 'c', cpus: readonly number[]): Promise<WakeRing> {
    const { machine, vm } = await StormMachine.openBare({ vcpus: 1, cpus: cpus.slice(0, 1) });
    const ring = new WakeRing(machine);
    try {
      vm.signalOnWrite(STORM_PORTS.BELL, ring.#event);
      const order = machine.memory.view(STORM_ORDERS, ORDER_BYTES);
      await ring.#bell.addEventThread(by, cpus[1] ?? cpus[0], ring.#event, order);
      await ring.#calibrate();
      return ring;
    } catch (error) {
      await ring[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** @internal Use open(). */
  constructor(machine: StormMachine) {
    this.#machine = machine;
    const order = machine.memory.view(STORM_ORDERS, ORDER_BYTES);
    this.#order = new Int32Array(order.buffer, order.byteOffset, ORDER_BYTES / 4);
    this.#clock = new BigUint64Array(order.buffer, order.byteOffset + 4 * ORDER.CLOCK, 1);
    const ticks = machine.memory.view(STORM_TICKS, 8 * SAMPLES_MAX);
    this.#ticks = new BigUint64Array(ticks.buffer, ticks.byteOffset, SAMPLES_MAX);
  }

  /** Lets the guest ask so many questions, 65,536 at most; resolves with the nanoseconds of each. @throws `ERR_LAB_ACTOR`, `ERR_LAB_RESULT` */
  async ask(count: number): Promise<Float64Array> {
    const answered = this.#bell.answered;
    const exits = this.#machine.counted();
    this.#event.take();
    this.#ticks.fill(0n, 0, count);
    await Promise.race([this.#machine.run(() => ({ kind: 'ring', count })), this.#bell.failed]);
    const answers = this.#bell.answered - answered;
    requireResult(answers === count, () => `${count} questions had ${answers} answers`);
    const signals = this.#event.take();
    requireResult(signals === count, () => `${count} writes signalled the event ${signals} times`);
    requireResult(`${this.#machine.counted()}` === `${exits}`, () => "the guest's writes were exits");
    return Float64Array.from(this.#ticks.subarray(0, count), ticks => Number(ticks) / this.#ticksPerNs);
  }

  async #calibrate(): Promise<void> {
    const pairs = async () => {
      const found: { readonly end: bigint; readonly gate: bigint }[] = [];
      for (let i = 0; i < COUNTER_PAIRS; i++) {
        await this.ask(1);
        found.push({ end: this.#clock[0] ?? 0n, gate: process.hrtime.bigint() });
      }
      return found;
    };
    const early = await pairs();
    await sleep(COUNTER_SPAN_MS);
    this.#ticksPerNs = counterRate(early, await pairs());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bell[Symbol.asyncDispose]();
    // Nobody else answers any more: a guest that waits must come back to its gate.
    Atomics.store(this.#order, ORDER.ANSWERED, ALL_ANSWERED);
    await this.#machine[Symbol.asyncDispose]();
    this.#event.close();
  }
}
