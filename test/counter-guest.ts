// Runs the project's ELF guest (examples/guest) the way the main job does, with parameters of the test's own. Main thread.

import { elf, type ValueOf, type VirtualMachine, type VmResult } from 'node-kvm';
import { COMMAND, type InputParams, PARAMS_ADDRESS, Params, Report, reportAddress } from '../examples/guest/guest.ts';
import { createMachine, type Machine } from '../examples/main-job/machine.ts';
import { fromRoot } from './command.ts';

/** Compiled by the build. */
export const COUNTER_ELF = fromRoot('build/guest/counter.elf');
const DEVICES = new URL('../../examples/guest/devices.js', import.meta.url);

export interface CounterRun extends Machine {
  readonly vm: VirtualMachine;
  readonly params: InputParams;
}

/** A machine with the guest loaded and its parameters written; not yet started. */
export async function loadCounter(
  { vcpus, cpl }: { vcpus: number; cpl: 0 | 3 },
  command: readonly (keyof typeof COMMAND)[],
  changes: Partial<InputParams> = {},
): Promise<CounterRun> {
  const machine = await createMachine(vcpus, DEVICES);
  const params: InputParams = {
    command: command.reduce((bits, name) => bits | COMMAND[name], 0),
    participants: vcpus,
    arrived: 0,
    running: vcpus,
    counter: 0x2_0000,
    iterations: 1000,
    area: 0x20_0000,
    areaPages: 1000,
    dirtyCount: 100,
    seed: 1,
    rings: 4,
    answer: 0,
    exits: 100,
    ...changes,
  };
  try {
    await machine.vm.load(elf(COUNTER_ELF, { cpl }));
    machine.vm.memory.writeObj(PARAMS_ADDRESS, Params, params);
    return { ...machine, params };
  } catch (error) {
    await machine.vm[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts it, waits for the end, and gives each vCPU's report. */
export async function finish(run: CounterRun): Promise<{ result: VmResult; reports: ValueOf<typeof Report>[] }> {
  await run.vm.start();
  const result = await run.vm.finished;
  return { result, reports: run.vm.vcpus.map((_, index) => run.vm.memory.readObj(reportAddress(index), Report)) };
}
