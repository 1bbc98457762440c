// The main job (`npm start`): a guest on 2 vCPUs in ring 3 and a JavaScript worker work on the same bytes at the same time;
// afterwards every figure is compared with what must have come out. `--json` prints the figures for programs.
// Exit status 1 when one is wrong. Without KVM, engine 'host' runs the same work as a program.

import { Worker } from 'node:worker_threads';
import { deviceModule, elf, program, u32le, VirtualMachine } from 'node-kvm';
import { EXIT_WORDS } from './guest/devices.ts';
import { COMMAND, DOORBELL_ADDRESS, PARAMS_ADDRESS, Params, PORT } from './guest/guest.ts';
import { compare, type Outcome } from './main-job/compare.ts';
import { answerDoorbell, watchCounter } from './main-job/helpers.ts';
import { report } from './main-job/report.ts';

const VCPUS = 2;
const COUNTER = 0x2_0000;
const ADDS_OF_WORKER = 1_000_000;
const params = {
  command: COMMAND.print | COMMAND.count | COMMAND.dirty | COMMAND.doorbell | COMMAND.exits,
  participants: VCPUS + 1,
  arrived: 0,
  running: VCPUS,
  counter: COUNTER,
  iterations: 5_000_000,
  area: 0x100_0000,
  areaPages: 4096,
  dirtyCount: 700,
  seed: Number(process.env['SEED'] ?? Date.now() % 0x1_0000_0000),
  rings: 32,
  answer: 0,
  exits: 10_000,
};

const json = process.argv.includes('--json');
const bell = new SharedArrayBuffer(4);
const exitWords = new SharedArrayBuffer(VCPUS * EXIT_WORDS.stride * 8);
const modules = new URL('./guest/devices.js', import.meta.url);
let consoleText = '';

const vm = await VirtualMachine.create({
  memory: 64 << 20,
  vcpus: VCPUS,
  dirtyTracking: true,
  deadlineMs: 60_000,
  devices: [
    {
      name: 'console',
      pio: { base: PORT.console, length: 1 },
      write: (_at, _size, byte) => void (consoleText += String.fromCharCode(Number(byte))),
    },
    {
      name: 'power',
      pio: { base: PORT.power, length: 1 },
      write: (_at, _size, _value, access) => access.end('power-off'),
    },
    deviceModule(modules, { name: 'exits', pio: { base: PORT.exit, length: 4 }, where: 'vcpu', state: exitWords }),
    deviceModule(modules, {
      name: 'doorbell',
      mmio: { base: DOORBELL_ADDRESS, length: 4096 },
      where: 'vcpu',
      state: bell,
    }),
  ],
});
let outcome: Outcome;
try {
  const guest = new URL('../guest/counter.elf', import.meta.url);
  await vm.load(vm.engine === 'kvm' ? elf(guest, { cpl: 3 }) : program(new URL('./guest/program.js', import.meta.url)));
  vm.memory.writeObj(PARAMS_ADDRESS, Params, params);
  vm.memory.getDirtyPages(); // what loading wrote is known; from here on it counts
  const adder = new Worker(new URL('./main-job/adder.js', import.meta.url), {
    workerData: { memory: vm.memory.handle, counter: COUNTER, adds: ADDS_OF_WORKER, participants: params.participants },
  });
  const stopWatching = watchCounter(
    () => vm.memory.atomics.load(COUNTER, u32le),
    VCPUS * params.iterations + ADDS_OF_WORKER,
  );
  const begin = performance.now();
  await vm.start();
  const answered = answerDoorbell(bell, vm.memory, params.rings);
  const result = await vm.finished;
  const seconds = (performance.now() - begin) / 1000;
  stopWatching();
  await adder.terminate();
  outcome = {
    vm,
    params,
    result,
    seconds,
    answered,
    adds: ADDS_OF_WORKER,
    consoleText,
    exitWords: new Float64Array(exitWords),
  };
  const figures = compare(outcome);
  report(figures, outcome, json);
  process.exitCode = figures.every(figure => figure.correct) ? 0 : 1;
} finally {
  await vm[Symbol.asyncDispose]();
}
