// Hazard: raw views and buffers of guest memory are used after everything was disposed of, also from a vCPU's last writes.

import { collect } from '../../process-state.ts';
import { COUNTERS, startSpinning } from '../../spinning-guest.ts';

const vm = await startSpinning();
const view = vm.memory.view(COUNTERS, 8);
const [base] = vm.memory.regions();
console.log('EVENT');
await vm[Symbol.asyncDispose]();
await collect();
const words = new Uint32Array(view.buffer, view.byteOffset, 2);
const left = words[0];
words[1] = 42;
new Uint8Array(base?.buffer as SharedArrayBuffer).fill(7, 0x3000, 0x4000);
console.log(`counted ${(left ?? 0) > 0}, wrote ${words[1]}`);
