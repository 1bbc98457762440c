// The console of a VM with a Linux guest: a serial port whose registers are on the vCPUs' threads, and its interrupt, an eventfd that KVM
// takes for edges of a pin. Main thread.

import { type NativeEventFd, type NativeVm, native } from '../../../native/index.ts';
import type { DeviceSpec } from '../../../shared/device.ts';
import { deviceModule } from '../devices/device-module.ts';
import { type SerialConsole, SerialPort } from '../devices/serial.ts';
import type { SerialHardware } from '../images/hardware.ts';
import { workerFile } from './worker-file.ts';

export class VmConsole {
  /** For the vCPUs. */
  readonly device: DeviceSpec;
  readonly #port: SerialPort;
  readonly #event: NativeEventFd;
  #closed = false;

  /** KVM has interrupt controllers already. @throws `ERR_SYSCALL` */
  constructor(vm: NativeVm, { port, irq }: SerialHardware) {
    this.#event = native().createEventFd();
    const interrupt = {
      id: this.#event.id,
      // Who destroys the stream after the end lets the chip go on, with nobody to interrupt.
      raise: () => this.#closed || this.#event.signal(),
    };
    this.#port = new SerialPort({ base: port, interrupt });
    const { pio, state } = this.#port;
    this.device = deviceModule(workerFile('serial-device'), { name: 'console', pio, where: 'vcpu', state });
    vm.assignIrqFd(irq, this.#event, null);
  }

  get stream(): SerialConsole {
    return this.#port.console;
  }

  /** When the guest said its first byte, and opened the port: CLOCK_MONOTONIC in ns; 0: not yet. */
  get times(): { readonly firstByte: number; readonly open: number } {
    return { firstByte: this.#port.firstByteNs, open: this.#port.openNs };
  }

  /** The guest is gone: what it said can still be read. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#port.hangUp();
    this.#event.close();
  }
}
