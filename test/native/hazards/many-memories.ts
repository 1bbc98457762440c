// Hazard: very many guest memories; disposed of ('dispose') or just forgotten ('forget'). Nothing may be left. Needs --expose-gc.

import { KvmMemory } from 'node-kvm';
import { collect, leftovers } from '../../process-state.ts';

const forget = process.argv[2] === 'forget';

function one(): void {
  const memory = new KvmMemory(1 << 20);
  memory.addRegion(0x1000_0000, 8192);
  memory.enableDirtyTracking();
  memory.write(0x1000_0100, Uint8Array.of(1));
  if (!forget) memory[Symbol.dispose]();
}

for (let i = 0; i < 20; i++) one();
await collect();
const before = leftovers();
for (let i = 0; i < 1000; i++) {
  one();
  if (i % 100 === 99) await collect();
}
await collect();
console.log(`LEFT ${JSON.stringify(leftovers(before))}`);
console.log('EVENT');
