// Hazard: committed memory is disposed of, and nothing else gives V8 a reason to collect: does the kernel get it back?

import { readFileSync } from 'node:fs';
import { KvmMemory } from 'node-kvm';

const residentMib = () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;

const before = residentMib();
for (let i = 0; i < 16; i++) {
  const memory = new KvmMemory(128 << 20, { prefault: true });
  memory[Symbol.dispose]();
  await new Promise(resolve => setImmediate(resolve));
}
console.log(`MIB ${Math.round(residentMib() - before)}`);
console.log('EVENT');
