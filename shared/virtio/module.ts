// A virtio device as a module: what it exports, what it is given, and the specification that a VM takes. Public: users write
// their own. Runs on every thread; pure.

import type { GuestMemory } from '../guest-memory.ts';
import type { VirtioDevice } from './device.ts';

/** What a module's `createVirtioDevice` gets, on the VM's I/O worker. */
export interface VirtioDeviceContext {
  readonly name: string;
  readonly memory: GuestMemory;
  /** What `virtioDevice()` was given, cloned or transferred. */
  readonly data: unknown;
}

/** A device that lives on the VM's I/O worker, where Node's asynchronous functions are at its service. */
export interface HostedVirtioDevice extends VirtioDevice {
  /**
   * The VM is paused: resolves when the device touches guest memory no more, until `resume()`. It is not notified meanwhile, and queues give it no
   * chains; behind `resume()` it is notified of every queue. Without it, what is in flight may still end after a pause.
   */
  pause?(): void | Promise<void>;
  resume?(): void;
  /** The VM has ended, and no vCPU runs any more: closes files and sockets. After 200 ms the thread is ended. */
  close?(): void | Promise<void>;
}

/** What such a module exports. A HypervisorError of the function's is what `VirtualMachine.create` rejects with. */
export interface VirtioDeviceModule {
  createVirtioDevice(context: VirtioDeviceContext): HostedVirtioDevice | Promise<HostedVirtioDevice>;
}

/** Made by `virtioDevice()`. */
export interface VirtioDeviceSpec {
  readonly kind: 'node-kvm.virtio-device';
  readonly url: string;
  readonly name: string;
  /** Structured-clonable. */
  readonly data: unknown;
  /** What of `data` is moved instead: a MessagePort, for example. Such a specification is for one VM. */
  readonly transfer: readonly object[];
}

/** What the I/O worker makes a device of. */
export interface VirtioSetup {
  readonly name: string;
  readonly url: string;
  readonly data: unknown;
}

/** Eventfds of a device that was made, by their ids: one per queue, for the driver's notifications, and one for its interrupt. */
export interface VirtioEvents {
  readonly queues: readonly number[];
  readonly interrupt: number;
}
