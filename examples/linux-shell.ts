// A shell in a Linux guest: boots a kernel with an initrd and connects the terminal to its console.
// It needs an ordinary KVM, a kernel (Debian: /boot/vmlinuz-*, a bzImage; or an ELF vmlinux) and an initrd whose /init is a shell or ends in one.
// Usage: node build/examples/linux-shell.js <kernel> <initrd> [vCPUs]

import { probe, VirtualMachine } from 'node-kvm';

const [kernel, initrd, vcpus = '2'] = process.argv.slice(2);
if (kernel === undefined || initrd === undefined) {
  console.error('usage: node build/examples/linux-shell.js <kernel> <initrd> [vCPUs]');
  process.exit(2);
}
if (probe().kvm.kind === 'pvm') {
  console.error(
    "This machine's KVM is PVM's, which emulates ring 0 and lacks instructions of a stock Linux kernel: it does not boot here.",
  );
  console.error(
    'It boots on kvm_intel and kvm_amd; test/machine/README.md tells how to get those in an emulated machine.',
  );
  process.exit(1);
}

await using vm = await VirtualMachine.create({
  kernel,
  initrd,
  cmdline: 'console=ttyS0 panic=-1 quiet',
  memory: 512 << 20,
  vcpus: Number(vcpus),
  engine: 'kvm',
});

// Keys go to the guest as they are typed, Ctrl-C too: `poweroff -f` in the guest is the way out.
if (process.stdin.isTTY) process.stdin.setRawMode(true);
vm.console.once('open', () => process.stdin.pipe(vm.console));
vm.console.pipe(process.stdout);

await vm.start();
const { reason, error } = await vm.finished;
if (process.stdin.isTTY) process.stdin.setRawMode(false);
process.stdin.unpipe().destroy();
console.error(
  error?.message ?? `the guest ended: ${reason}; its first process ran after ${vm.marks.init?.toFixed()} ms`,
);
process.exitCode = reason === 'power-off' ? 0 : 1;
