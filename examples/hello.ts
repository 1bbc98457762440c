// README's example: two vCPUs and JavaScript add to the same word of guest memory, and the sum is exact.

import { flat, u32le, VirtualMachine } from 'node-kvm';

// mov ecx, 100000;  again: lock inc dword [0x2000];  loop again;  hlt
const code = Uint8Array.of(0xb9, 0xa0, 0x86, 0x01, 0, 0xf0, 0xff, 0x04, 0x25, 0, 0x20, 0, 0, 0xe2, 0xf6, 0xf4);

const vm = await VirtualMachine.create({ memory: 1 << 20, vcpus: 2, engine: 'kvm' });
await vm.load(flat(code, { at: 0x1000, mode: 64 }));
await vm.start();
for (let i = 0; i < 100_000; i++) vm.memory.atomics.add(0x2000, u32le, 1); // beside the running guest
const { reason } = await vm.finished;
console.log(reason, vm.memory.readObj(0x2000, u32le)); // halt 300000
await vm[Symbol.asyncDispose]();
