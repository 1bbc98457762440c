// Inside the emulated machine: keeps two VMs open, one with interrupt controllers in the kernel and one without, each with a vCPU that
// never runs. The kernel patches its own code, the scheduler's included, when the first VM of a kind comes and the last one goes (static
// keys), and QEMU does not always show the finished patch to a processor that is just there: the machine then dies of a left-over
// breakpoint instruction. While these are open, tests cause no patching. Prints a line when they are.

import { native } from '../../native/index.ts';
import { VCPU_STATS } from '../../shared/generated/kvm-abi.ts';

const system = native().openSystem('/dev/kvm');
const held = [true, false].map(withIrqchip => {
  const vm = system.createVm();
  if (withIrqchip) vm.createIrqchip();
  return { vm, vcpu: native().createVcpu(vm.fd, 0, new Uint8Array(new SharedArrayBuffer(VCPU_STATS.SIZE))) };
});
console.log(`held: ${held.length} VMs`);
setInterval(() => held.length, 60_000);
