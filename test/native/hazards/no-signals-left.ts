// Hazard: the user's signal queue is full, so that no vCPU can be signalled.

import { execFileSync } from 'node:child_process';
import { startSpinning } from '../../spinning-guest.ts';

const REGION = 0x1000_0000;
const vm = await startSpinning();
vm.memory.addRegion(REGION, 0x1_0000);
execFileSync('prlimit', ['--pid', String(process.pid), '--sigpending=0']);

console.log('EVENT');
vm.memory.removeRegion(REGION);
await vm.stop();
console.log(`finished ${(await vm.finished).reason}`);
await vm[Symbol.asyncDispose]();
