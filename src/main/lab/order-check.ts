// Checks orders before a word of the arena changes: actors that are there, parameters that fit. Main thread. What a kernel touches is said here once for all
// kinds of actors; the C kernels check again.

import { HypervisorError, invalidType, outOfRange } from '../../../shared/errors.ts';
import { LAB_PARAMS_MAX } from '../../../shared/lab/control.ts';
import { LAB_KERNELS, type LabKernel } from '../../../shared/lab/kernels.ts';
import { LITMUS_PACE_BYTES, LITMUS_PARAM, LITMUS_THREADS_MAX, registersOf } from '../../../shared/lab/litmus.ts';
import { LITMUS_PROGRAMS } from '../../../shared/lab/litmus-code.ts';
import { hex, PAGE_SIZE } from '../../../shared/units.ts';
import type { ActorKind } from './report.ts';
import type { Order } from './workload.ts';

/** Bytes from an offset in the arena on. */
interface Extent {
  readonly at: number;
  readonly bytes: number;
}

const CPU_MAX = 1023;
const U32_MAX = 0xffff_ffff;

/**
 * Checks all orders of a repetition.
 * @throws `ERR_OUT_OF_RANGE` (no orders, an actor that is not there or has two orders, a bad parameter, an extent out of the arena), `ERR_INVALID_ARG_TYPE`
 */
export function checkOrders(
  orders: readonly Order[],
  counts: Readonly<Record<ActorKind, number>>,
  arenaBytes: number,
): void {
  if (orders.length === 0) throw outOfRange('orders.length', 'at least 1', 0);
  const seen = new Set<string>();
  orders.forEach((order, i) => {
    const name = `orders[${i}]`;
    const { actor, kernel, params, cpu } = order;
    const count = Object.hasOwn(counts, actor.kind) ? counts[actor.kind] : 0;
    checkInteger(actor.index, `${name}.actor.index (${actor.kind})`, count - 1);
    const key = `${actor.kind}:${actor.index}`;
    if (seen.has(key)) throw outOfRange(`${name}.actor`, 'an actor that has no other order', key);
    seen.add(key);
    if (!Object.hasOwn(LAB_KERNELS, kernel)) throw outOfRange(`${name}.kernel`, 'a kernel of LAB_KERNELS', kernel);
    if (params.length > LAB_PARAMS_MAX)
      throw outOfRange(`${name}.params.length`, `at most ${LAB_PARAMS_MAX}`, params.length);
    params.forEach((param, j) => {
      checkInteger(param, `${name}.params[${j}]`, U32_MAX);
    });
    if (cpu !== undefined) checkInteger(cpu, `${name}.cpu`, CPU_MAX);
    checkExtents(name, kernel, params, arenaBytes);
  });
}

function checkInteger(value: number, name: string, max: number): void {
  if (typeof value !== 'number') throw invalidType(name, 'a number', value);
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw outOfRange(name, max < 0 ? 'absent: there is none' : `an integer from 0 to ${max}`, value);
}

function checkExtents(name: string, kernel: LabKernel, params: readonly number[], arenaBytes: number): void {
  for (const { at, bytes } of extentsOf(name, kernel, params)) {
    if (at + bytes <= arenaBytes) continue;
    throw new HypervisorError(
      'ERR_OUT_OF_RANGE',
      `${name}: ${kernel} touches ${hex(bytes)} bytes at ${hex(at)}, beyond the arena's ${hex(arenaBytes)}`,
    );
  }
}

function extentsOf(name: string, kernel: LabKernel, params: readonly number[]): Extent[] {
  const [at = 0, second = 0, third = 0, fourth = 0, fifth = 0] = params;
  switch (kernel) {
    case 'read':
    case 'write':
      return [words(name, at, second)];
    case 'copy':
      return [words(name, at, second), words(name, fourth, second)];
    case 'triad':
      return [words(name, at, second), words(name, fourth, second), words(name, fifth, second)];
    case 'strided':
      if (fourth === 0 || fourth % 8 !== 0) throw outOfRange(`${name}: stride`, 'a multiple of 8', fourth);
      return [words(name, at, second)];
    case 'random':
      powerOfTwo(`${name}: bytes`, second);
      return [words(name, at, second)];
    case 'chase':
    case 'atomicAdd':
    case 'casAdd':
    case 'increment':
      return [aligned(name, at, 4, 4)];
    case 'seqlockWrite':
    case 'seqlockRead':
      return [aligned(name, at, 32, 4)];
    case 'ticketLock':
      return [aligned(name, at, 132, 4)];
    case 'spscPush':
    case 'spscPop':
      powerOfTwo(`${name}: slots`, third);
      return [aligned(name, at, 128 + third * 4, 4)];
    case 'mpmcPush':
    case 'mpmcPop':
      powerOfTwo(`${name}: slots`, third);
      return [aligned(name, at, 128 + third * 8, 4)];
    case 'dirty':
      if (fourth === 0) throw outOfRange(`${name}: step`, 'at least 1', 0);
      return [aligned(name, at, second * PAGE_SIZE, 4)];
    case 'litmus':
      return litmusExtents(name, params);
    default:
      return [];
  }
}

/** The instances' words, the thread's registers, the progress of all threads. */
function litmusExtents(name: string, params: readonly number[]): Extent[] {
  const param = (which: keyof typeof LITMUS_PARAM) => params[LITMUS_PARAM[which]] ?? 0;
  const program = LITMUS_PROGRAMS.find(({ number }) => number === param('PROGRAM'));
  if (program === undefined) throw outOfRange(`${name}: program`, 'a litmus program', param('PROGRAM'));
  const count = param('COUNT');
  powerOfTwo(`${name}: count`, count);
  if (param('STRIDE') % 4 !== 0) throw outOfRange(`${name}: stride`, 'a multiple of 4', param('STRIDE'));
  const area = (count - 1) * param('STRIDE') + 4;
  return [
    aligned(name, param('X_AT'), area, 4),
    aligned(name, param('Y_AT'), area, 4),
    aligned(name, param('OUT_AT'), 4 * count * registersOf(program.ops).length, 4),
    aligned(name, param('PACE_AT'), LITMUS_THREADS_MAX * LITMUS_PACE_BYTES, 4),
  ];
}

const words = (name: string, at: number, bytes: number): Extent => aligned(name, at, bytes, 8);

function aligned(name: string, at: number, bytes: number, unit: number): Extent {
  if (at % unit !== 0) throw outOfRange(`${name}: offset`, `a multiple of ${unit}`, at);
  return { at, bytes };
}

function powerOfTwo(name: string, value: number): void {
  if (value < 8 && name.endsWith('bytes')) throw outOfRange(name, 'at least 8', value);
  if (value === 0 || !Number.isInteger(Math.log2(value))) throw outOfRange(name, 'a power of two', value);
}
