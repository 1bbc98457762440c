// The split interrupt controllers of a VM: LAPICs in the kernel, the IOAPIC here, and no PIC and no PIT. Main thread: a guest seldom programs its
// IOAPIC, and interrupts do not come this way: irqfds go by the routes that the IOAPIC has set, inside the kernel.
// Source: Documentation/virt/kvm/api.rst, KVM_CAP_SPLIT_IRQCHIP, KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_EXIT_IOAPIC_EOI.

import type { NativeVm } from '../../../native/index.ts';
import type { Device } from '../../../shared/device.ts';
import { IOAPIC_ADDR, IOAPIC_PINS, IOAPIC_SIZE, Ioapic } from '../../../shared/devices/ioapic.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import { KVM_CAP } from '../../../shared/generated/kvm-abi.ts';

/** Where its registers are. */
export const IOAPIC_PLACE = { name: 'ioapic', mmio: { base: IOAPIC_ADDR, length: IOAPIC_SIZE } } as const;

const NEEDED = ['SPLIT_IRQCHIP', 'IRQ_ROUTING', 'SIGNAL_MSI'] as const;

export class SplitIrqchip {
  /** The IOAPIC's registers, and where the ends of interrupts arrive. */
  readonly device: Device;
  readonly #ioapic: Ioapic;

  /** Before any vCPU. @throws `ERR_KVM_CAPABILITY`, `ERR_SYSCALL` */
  constructor(vm: NativeVm) {
    for (const name of NEEDED)
      if (vm.checkExtension(KVM_CAP[name]) === 0)
        throw new HypervisorError('ERR_KVM_CAPABILITY', `irqchip 'split' needs KVM_CAP_${name}, which this KVM lacks`, {
          info: { capability: name },
        });
    vm.splitIrqchip(IOAPIC_PINS);
    const ioapic = new Ioapic({
      send: ({ address, data }) => vm.signalMsi(address, data),
      route: messages =>
        vm.setMsiRoutes(
          Uint32Array.from(
            messages.flatMap((message, pin) => (message === undefined ? [] : [pin, message.address, message.data])),
          ),
        ),
    });
    this.#ioapic = ioapic;
    this.device = {
      ...IOAPIC_PLACE,
      read: (offset, size) => ioapic.read(offset, size),
      write: (offset, size, value) => ioapic.write(offset, size, Number(value)),
    };
  }

  setLine(pin: number, asserted: boolean): void {
    this.#ioapic.setLine(pin, asserted);
  }
}
