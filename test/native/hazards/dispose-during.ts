// Hazard: a machine is disposed of while another of its operations is under way: load, start, pause, resume or stop.

import { flat } from 'node-kvm';
import { loadGuest } from '../../run-guest.ts';
import { spinning, startSpinning } from '../../spinning-guest.ts';

const operation = process.argv[2];
const fresh = operation === 'load' || operation === 'start';
const vm = await (fresh ? loadGuest(spinning, { mode: 64, vcpus: 2 }) : startSpinning());
if (operation === 'resume') await vm.pause();

const run = {
  load: () => vm.load(flat(spinning, { at: 0x8000, mode: 64 })),
  start: () => vm.start(),
  pause: () => vm.pause(),
  resume: () => vm.resume(),
  stop: () => vm.stop(),
}[String(operation)];

console.log('EVENT');
const settled = run?.().then(
  () => 'done',
  error => error.code,
);
await vm[Symbol.asyncDispose]();
console.log(`operation ${await settled}`);
console.log(`finished ${(await vm.finished).reason}`);
