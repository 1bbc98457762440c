// Boots a PC firmware that nobody here wrote: SeaBIOS, from Debian's package `seabios`, and prints its debug output until it
// finds nothing to boot from. Usage: node build/examples/seabios.js [bios file]

import { bios, VirtualMachine } from 'node-kvm';

const file = process.argv[2] ?? '/usr/share/seabios/bios-256k.bin';
const found = new AbortController();

await using vm = await VirtualMachine.create({
  memory: 64 << 20,
  vcpus: 2,
  engine: 'kvm',
  deadlineMs: 60_000,
  signal: found.signal,
});
await vm.load(
  bios(file, {
    onDebug: line => {
      console.log(line);
      if (line.startsWith('No bootable device')) found.abort();
    },
  }),
);
await vm.start();
const { reason, error } = await vm.finished;
console.log(error?.message ?? reason, vm.stats().total.exitsByReason);
process.exitCode = found.signal.aborted ? 0 : 1;
