// Hazard: very many machines, created, run and destroyed one after the other on one pool. Nothing may be left of them. Needs --expose-gc.

import { VcpuPool } from 'node-kvm';
import { code } from '../../guest-code.ts';
import { collect, leftovers } from '../../process-state.ts';
import { runGuest } from '../../run-guest.ts';

const count = Number(process.argv[2]);
const guest = code([0xf4]); // hlt
const pool = new VcpuPool({ threads: 1 });
const runOne = () => runGuest(guest, { mode: 32, memory: 1 << 20, pool });

for (let i = 0; i < 20; i++) await runOne();
await collect();
const before = leftovers();
for (let i = 0; i < count; i++) await runOne();
await collect();
console.log(`LEFT ${JSON.stringify(leftovers(before))}`);
await pool[Symbol.asyncDispose]();
console.log('EVENT');
