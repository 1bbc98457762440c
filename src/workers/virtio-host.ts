// The virtio devices of one VM: loads their modules, puts each behind a virtio-mmio transport, and passes the driver's notifications
// to it. The I/O worker's thread. A notification comes by an eventfd where KVM has one at the register, and otherwise as the exit
// that the transport sees itself; an interrupt is an eventfd, too. What is at their other ends is the main thread's (virtio-bus.ts).

import { type NativeEventFd, type NativeEventWatcher, native } from '../../native/index.ts';
import type { DeviceHandlers } from '../../shared/device.ts';
import { HypervisorError, isHypervisorError, messageOf } from '../../shared/errors.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';
import { VirtioMmio } from '../../shared/virtio/mmio.ts';
import type { HostedVirtioDevice, VirtioDeviceModule, VirtioEvents, VirtioSetup } from '../../shared/virtio/module.ts';

interface Hosted {
  readonly name: string;
  readonly device: HostedVirtioDevice;
  readonly transport: VirtioMmio;
  readonly queues: readonly NativeEventFd[];
  readonly interrupt: NativeEventFd;
}

/** What is told of devices while they live. */
export interface VirtioHostEvents {
  /** The code of one threw outside of a guest's access. */
  error(error: unknown): void;
  /** The driver of one broke a rule, and the device waits for its reset. The first times of each device: a guest can do it again and again. */
  fault(device: string, reason: string): void;
}

const FAULTS_TOLD = 16;

export class VirtioHost {
  readonly #hosted: Hosted[] = [];
  readonly #events: VirtioHostEvents;
  /** By index of the watched event. */
  #targets: { readonly hosted: Hosted; readonly queue: number }[] = [];
  #watcher: NativeEventWatcher | undefined;

  private constructor(events: VirtioHostEvents) {
    this.#events = events;
  }

  /**
   * Makes the devices, in order.
   * @throws what `createVirtioDevice` throws if that is a HypervisorError; `ERR_DEVICE_HANDLER` otherwise. Those before are closed then.
   */
  static async open(
    setups: readonly VirtioSetup[],
    memory: GuestMemory,
    events: VirtioHostEvents,
  ): Promise<VirtioHost> {
    const host = new VirtioHost(events);
    try {
      for (const setup of setups) await host.#add(setup, memory);
      host.#watch();
      return host;
    } catch (error) {
      await host.close();
      throw error;
    }
  }

  /** For the main thread: whose the other ends are. */
  get events(): readonly VirtioEvents[] {
    return this.#hosted.map(({ queues, interrupt }) => ({
      queues: queues.map(({ id }) => id),
      interrupt: interrupt.id,
    }));
  }

  /** The registers of device `index`. */
  registers(index: number): DeviceHandlers | undefined {
    return this.#hosted[index]?.transport;
  }

  /** The vCPUs are out of the guest: resolves when no device touches its memory, as far as the devices can say that. */
  async pause(): Promise<void> {
    this.#stopTaking();
    await Promise.all(
      this.#hosted.map(async ({ device, name }) => {
        try {
          await device.pause?.();
        } catch (cause) {
          this.#failed(cause, name);
        }
      }),
    );
    // What a device does when a transfer has ended, it has done by then.
    await new Promise(resolve => setImmediate(resolve));
  }

  resume(): void {
    for (const { device, name } of this.#hosted) this.#guard(() => device.resume?.(), name);
    for (const { transport, name } of this.#hosted) this.#guard(() => transport.resume(), name);
  }

  /** No notification any more; the devices close what they have open, each in its own time. */
  async close(): Promise<void> {
    this.#watcher?.close();
    // Turns of the loop that a device has asked for find nothing to do.
    this.#stopTaking();
    const ends = this.#hosted.map(async ({ device, queues, interrupt }) => {
      try {
        await device.close?.();
      } finally {
        for (const event of [...queues, interrupt]) event.close();
      }
    });
    for (const end of await Promise.allSettled(ends)) if (end.status === 'rejected') this.#events.error(end.reason);
  }

  async #add({ name, url, data }: VirtioSetup, memory: GuestMemory): Promise<void> {
    let device: HostedVirtioDevice | undefined;
    try {
      const module: Partial<VirtioDeviceModule> = await import(url);
      if (typeof module.createVirtioDevice !== 'function')
        throw new TypeError('the module exports no function createVirtioDevice');
      device = await module.createVirtioDevice({ name, memory, data });
      if (typeof device !== 'object' || device === null || typeof device.onQueue !== 'function')
        throw new TypeError('createVirtioDevice() must return a VirtioDevice');
      const interrupt = native().createEventFd();
      let faults = 0;
      const transport = new VirtioMmio(device, {
        memory,
        interrupt: { raise: () => interrupt.signal() },
        onError: error => this.#failed(error, name),
        onFault: reason => {
          faults += 1;
          if (faults <= FAULTS_TOLD) this.#events.fault(name, reason);
        },
      });
      const queues = device.queueSizes.map(() => native().createEventFd());
      this.#hosted.push({ name, device, transport, queues, interrupt });
    } catch (cause) {
      // One that a transport cannot have may hold files already.
      await device?.close?.();
      if (isHypervisorError(cause)) throw cause;
      throw new HypervisorError(
        'ERR_DEVICE_HANDLER',
        `virtio device '${name}' did not start from ${url}: ${messageOf(cause)}`,
        { cause, info: { device: name, url } },
      );
    }
  }

  #watch(): void {
    this.#targets = this.#hosted.flatMap(hosted => hosted.queues.map((_, queue) => ({ hosted, queue })));
    if (this.#targets.length === 0) return;
    const events = this.#hosted.flatMap(({ queues }) => queues);
    this.#watcher = native().watchEvents(events, index => this.#notified(index));
  }

  #notified(index: number): void {
    const target = this.#targets[index];
    if (target !== undefined) this.#guard(() => target.hosted.transport.notify(target.queue), target.hosted.name);
  }

  #stopTaking(): void {
    for (const { transport } of this.#hosted) transport.pause();
  }

  /** What a device's code throws here ends the VM, as it does in an exit. */
  #guard(work: () => void, name: string): void {
    try {
      work();
    } catch (cause) {
      this.#failed(cause, name);
    }
  }

  #failed(cause: unknown, name: string): void {
    const info = { device: name };
    this.#events.error(
      isHypervisorError(cause)
        ? cause
        : new HypervisorError('ERR_DEVICE_HANDLER', `device '${name}' failed: ${messageOf(cause)}`, { cause, info }),
    );
  }
}
