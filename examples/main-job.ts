// The main job (`npm start`): a guest on 2 vCPUs in ring 3 and a JavaScript worker work on the same bytes at the same time;
// afterwards every figure is compared with what must have come out. `--json` prints the figures for programs.
// Exit status 1 when one is wrong. Without KVM, engine 'host' runs the same work as a program.

import { Worker } from 'node:worker_threads';
import { elf, program, u32le } from 'node-kvm';
import { COMMAND, PARAMS_ADDRESS, Params } from './guest/guest.ts';
import { compare } from './main-job/compare.ts';
import { answerDoorbell, watchCounter } from './main-job/helpers.ts';
import { createMachine } from './main-job/machine.ts';
import { report } from './main-job/report.ts';

const VCPUS = 2;
const ADDS_OF_WORKER = 1_000_000;
const params = {
  command: COMMAND.print | COMMAND.count | COMMAND.dirty | COMMAND.doorbell | COMMAND.exits,
  participants: VCPUS + 1,
  arrived: 0,
  running: VCPUS,
  counter: 0x2_0000,
  iterations: 5_000_000,
  area: 0x100_0000,
  areaPages: 4096,
  dirtyCount: 700,
  seed: Number(process.env['SEED'] ?? Date.now() % 0x1_0000_0000),
  rings: 32,
  answer: 0,
  exits: 10_000,
};

const machine = await createMachine(VCPUS, new URL('./guest/devices.js', import.meta.url));
const { vm } = machine;
try {
  const guest = new URL('../guest/counter.elf', import.meta.url);
  await vm.load(vm.engine === 'kvm' ? elf(guest, { cpl: 3 }) : program(new URL('./guest/program.js', import.meta.url)));
  vm.memory.writeObj(PARAMS_ADDRESS, Params, params);
  vm.memory.getDirtyPages(); // what loading wrote is known; from here on it counts
  const adder = new Worker(new URL('./main-job/adder.js', import.meta.url), {
    workerData: { ...params, memory: vm.memory.handle, adds: ADDS_OF_WORKER },
  });
  const adderEnded = new Promise(resolve => adder.once('exit', resolve));
  const total = VCPUS * params.iterations + ADDS_OF_WORKER;
  const stopWatching = watchCounter(() => vm.memory.atomics.load(params.counter, u32le), total);
  const begin = performance.now();
  await vm.start();
  const answers = answerDoorbell(machine.bell, vm.memory, params.rings);
  const result = await vm.finished;
  const seconds = (performance.now() - begin) / 1000;
  stopWatching();
  if (result.reason === 'power-off') await adderEnded;
  else await adder.terminate();
  const outcome = { machine, params, result, seconds, answers, adds: ADDS_OF_WORKER };
  const figures = compare(outcome);
  report(figures, outcome, process.argv.includes('--json'));
  process.exitCode = figures.every(figure => figure.correct) ? 0 : 1;
} finally {
  await vm[Symbol.asyncDispose]();
}
