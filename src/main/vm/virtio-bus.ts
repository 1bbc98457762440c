// The virtio-mmio devices of one VM, seen from the main thread: where their registers and interrupts are, and the eventfds between KVM and
// the I/O worker that hosts them. The worker makes the eventfds (virtio-host.ts), since only the devices know how many queues they have.
//
//   guest writes QUEUE_NOTIFY ─ ioeventfd ─▶ worker's event loop        worker ─ irqfd ─▶ pin of the interrupt controllers

import { type NativeEventFd, type NativeVm, native } from '../../../native/index.ts';
import type { DeviceEntry } from '../../../shared/device-table.ts';
import { outOfRange } from '../../../shared/errors.ts';
import { KVM_CAP } from '../../../shared/generated/kvm-abi.ts';
import { MMIO, MMIO_SIZE } from '../../../shared/virtio/mmio.ts';
import type { VirtioDeviceSpec, VirtioEvents, VirtioSetup } from '../../../shared/virtio/module.ts';
import type { VirtioHardware } from '../images/hardware.ts';

/** The registers of the first device; one page each. */
const BASE = 0xd000_0000;
/** Pins that a PC's timer, keyboard, serial ports, clock and processor don't have: both PIC and IOAPIC, then the IOAPIC alone. */
const PINS = [5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];
const REGISTER = 4;

/** As many as there are pins. */
export const VIRTIO_DEVICES_MAX = PINS.length;

interface Placed {
  readonly spec: VirtioDeviceSpec;
  readonly base: number;
  readonly irq: number;
}

/** A device's ends of the events, on this thread. */
interface Ends {
  readonly queues: readonly NativeEventFd[];
  readonly interrupt: NativeEventFd;
}

export class VirtioBus {
  readonly #devices: readonly Placed[];
  #ends: readonly Ends[] = [];

  /** @throws RangeError for more devices than there are pins */
  constructor(specs: readonly VirtioDeviceSpec[]) {
    if (specs.length > VIRTIO_DEVICES_MAX)
      throw outOfRange('virtio devices', `at most ${VIRTIO_DEVICES_MAX}, disks and rng included`, specs.length);
    this.#devices = PINS.slice(0, specs.length).flatMap((irq, index) => {
      const spec = specs[index];
      return spec === undefined ? [] : [{ spec, base: BASE + index * MMIO_SIZE, irq }];
    });
  }

  get isEmpty(): boolean {
    return this.#devices.length === 0;
  }

  /** What vCPUs need to know: whose the registers are. */
  get entries(): readonly DeviceEntry[] {
    return this.#devices.map(({ spec, base }, virtio) => ({
      name: spec.name,
      where: 'io',
      mmio: { base, length: MMIO_SIZE },
      virtio,
    }));
  }

  /** What a guest needs to know. */
  get hardware(): readonly VirtioHardware[] {
    return this.#devices.map(({ base, irq }) => ({ base, size: MMIO_SIZE, irq }));
  }

  /** What the I/O worker makes, and what goes with it. */
  get setups(): readonly VirtioSetup[] {
    return this.#devices.map(({ spec: { name, url, data } }) => ({ name, url, data }));
  }

  get transfer(): readonly object[] {
    return this.#devices.flatMap(({ spec }) => spec.transfer);
  }

  /** The worker's events, by device. */
  take(events: readonly VirtioEvents[]): void {
    const attach = (id: number) => native().attachEventFd(id);
    this.#ends = events.map(({ queues, interrupt }) => ({ queues: queues.map(attach), interrupt: attach(interrupt) }));
  }

  /**
   * Gives the ends to KVM. `interrupts`: the VM has interrupt controllers; without them a driver has to poll. Where KVM has no ioeventfds,
   * notifications stay exits.
   * @throws `ERR_SYSCALL`
   */
  connect(vm: NativeVm, interrupts: boolean): void {
    if (this.isEmpty) return;
    const hasIoEventFds = vm.checkExtension(KVM_CAP.IOEVENTFD) > 0;
    this.#devices.forEach(({ base, irq }, index) => {
      const ends = this.#ends[index];
      if (hasIoEventFds)
        ends?.queues.forEach((event, queue) => {
          vm.assignIoEventFd('mmio', base + MMIO.QUEUE_NOTIFY, REGISTER, BigInt(queue), event);
        });
      if (interrupts && ends !== undefined) vm.assignIrqFd(irq, ends.interrupt, null);
    });
  }

  /** This thread's ends; KVM's own go with the VM's descriptor. Idempotent. */
  close(): void {
    for (const { queues, interrupt } of this.#ends) for (const event of [...queues, interrupt]) event.close();
    this.#ends = [];
  }
}
