// What must have come out of the main job, and what did. Main thread.

import { type KvmMemory, u32le, type VmResult } from 'node-kvm';
import { EXIT_WORDS } from '../guest/devices.ts';
import { dirtySequence, type InputParams, Report, reportAddress } from '../guest/guest.ts';
import type { Answers } from './helpers.ts';
import type { Machine } from './machine.ts';

const PAGE_SIZE = 4096;

/** Everything that the job left behind. */
export interface Outcome {
  readonly machine: Machine;
  readonly params: InputParams;
  readonly result: VmResult;
  readonly seconds: number;
  readonly answers: Answers;
  /** Additions of the JavaScript worker. */
  readonly adds: number;
}

/** One line of the report. */
export interface Figure {
  readonly what: string;
  readonly expected: number | string;
  readonly found: number | string;
  readonly correct: boolean;
}

const figure = (what: string, expected: number | string, found: number | string): Figure => {
  return { what, expected, found, correct: expected === found };
};

export function compare({ machine, params, result, answers, adds }: Outcome): Figure[] {
  const { memory, vcpus } = machine.vm;
  const count = vcpus.length;
  const reports = vcpus.map((_, index) => memory.readObj(reportAddress(index), Report));
  const written = new Set(vcpus.flatMap((_, index) => dirtySequence(params, index)));
  const dirty = dirtyPagesOf(memory, params.area, params.areaPages);
  const writes = vcpus.map((_, index) => machine.exitWords[index * EXIT_WORDS.stride + EXIT_WORDS.writes] ?? 0);
  const done = reports.filter(report => report.done === params.command);
  return [
    figure('ended by', 'power-off', result.error?.message ?? result.reason),
    figure('vCPUs that did everything', count, done.length),
    figure('lines printed', count, machine.printed().split('\n').length - 1),
    figure('counter', count * params.iterations + adds, memory.atomics.load(params.counter, u32le)),
    figure('dirty pages', written.size, dirty.size),
    figure('  written but not found', 0, [...written].filter(page => !dirty.has(page)).length),
    figure('  found but not written', 0, [...dirty].filter(page => !written.has(page)).length),
    figure('doorbells answered', params.rings, answers.rings),
    figure(
      'exits in the measured loop',
      count * (params.exits + 2),
      writes.reduce((sum, part) => sum + part, 0),
    ),
  ];
}

/** Numbers of the dirty pages within the area. */
function dirtyPagesOf(memory: KvmMemory, area: number, pages: number): Set<number> {
  const found = new Set<number>();
  for (const { guestAddr, size } of memory.getDirtyPages()) {
    for (let address = guestAddr; address < guestAddr + size; address += PAGE_SIZE) {
      const page = (address - area) / PAGE_SIZE;
      if (page >= 0 && page < pages) found.add(page);
    }
  }
  return found;
}
