// What must have come out of the main job, and what did. Main thread.

import { type KvmMemory, u32le, type VirtualMachine, type VmResult } from 'node-kvm';
import { EXIT_WORDS } from '../guest/devices.ts';
import { dirtySequence, Report, reportAddress } from '../guest/guest.ts';
import type { Answers } from './helpers.ts';

const PAGE_SIZE = 4096;

/** Everything that the job left behind. */
export interface Outcome {
  readonly vm: VirtualMachine;
  readonly params: {
    readonly counter: number;
    readonly iterations: number;
    readonly area: number;
    readonly areaPages: number;
    readonly dirtyCount: number;
    readonly seed: number;
    readonly rings: number;
    readonly exits: number;
    readonly command: number;
  };
  readonly result: VmResult;
  readonly seconds: number;
  readonly answered: Answers;
  readonly adds: number;
  readonly consoleText: string;
  readonly exitWords: Float64Array;
}

/** One line of the report. */
export interface Figure {
  readonly what: string;
  readonly expected: number | string;
  readonly found: number | string;
  readonly correct: boolean;
}

const figure = (what: string, expected: number | string, found: number | string): Figure => ({
  what,
  expected,
  found,
  correct: expected === found,
});

export function compare(outcome: Outcome): Figure[] {
  const { vm, params, result, answered, adds, consoleText, exitWords } = outcome;
  const vcpus = vm.vcpus.length;
  const reports = vm.vcpus.map((_, index) => vm.memory.readObj(reportAddress(index), Report));
  const written = new Set(reports.flatMap((_, index) => dirtySequence(params, index)));
  const dirty = dirtyPagesOf(vm.memory, params.area, params.areaPages);
  const writes = reports.map((_, index) => exitWords[index * EXIT_WORDS.stride + EXIT_WORDS.writes] ?? 0);
  return [
    figure('ended by', 'power-off', result.error?.message ?? result.reason),
    figure('vCPUs that did everything', vcpus, reports.filter(report => report.done === params.command).length),
    figure('lines printed', vcpus, consoleText.split('\n').length - 1),
    figure('counter', vcpus * params.iterations + adds, vm.memory.atomics.load(params.counter, u32le)),
    figure('dirty pages found', written.size, dirty.size),
    figure('  written but not found', 0, [...written].filter(page => !dirty.has(page)).length),
    figure('  found but not written', 0, [...dirty].filter(page => !written.has(page)).length),
    figure('doorbells answered', params.rings, answered.rings),
    figure(
      'exits of the measured loop',
      vcpus * (params.exits + 2),
      writes.reduce((sum, count) => sum + count, 0),
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
