// Hazard: a pool is disposed of under a machine that runs, and memory that the guest uses is removed before anybody heard of it.

import { VcpuPool } from 'node-kvm';
import { startSpinning } from '../../spinning-guest.ts';

const REGION = 0x1000_0000;
const pool = new VcpuPool({ threads: 2 });
const vm = await startSpinning({ pool });
vm.memory.addRegion(REGION, 0x1_0000);

console.log('EVENT');
void pool[Symbol.asyncDispose]();
vm.memory.removeRegion(REGION);
console.log('removed');
const { reason, error } = await vm.finished;
console.log(`finished ${reason} ${error?.code}`);
await vm[Symbol.asyncDispose]();
console.log('disposed');
