// Hazard: everything is disposed of twice, in both orders, and used afterwards.

import { KvmMemory, VcpuPool, VirtualMachine } from 'node-kvm';

const codeOf = (action: () => unknown): string => {
  try {
    action();
    return 'nothing';
  } catch (error) {
    return String((error as { code?: string }).code);
  }
};

console.log('EVENT');
const memory = new KvmMemory(1 << 20);
memory[Symbol.dispose]();
memory[Symbol.dispose]();
console.log(`memory ${codeOf(() => memory.read(0, new Uint8Array(1)))}`);

const pool = new VcpuPool({ threads: 2 });
const vm = await VirtualMachine.create({ memory: 1 << 20, vcpus: 2, engine: 'kvm', pool });
await Promise.all([vm[Symbol.asyncDispose](), vm[Symbol.asyncDispose]()]);
await vm[Symbol.asyncDispose]();
console.log(`machine's memory ${codeOf(() => vm.memory.read(0, new Uint8Array(1)))}`);
console.log(
  `start ${await vm.start().then(
    () => 'nothing',
    error => error.code,
  )}`,
);

await Promise.all([pool[Symbol.asyncDispose](), pool[Symbol.asyncDispose]()]);
await pool[Symbol.asyncDispose]();
