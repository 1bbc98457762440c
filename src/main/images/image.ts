// What a loadable image is to a VirtualMachine. Main thread. Loaders (flat, elf, bios, program) make Images; vm/ consumes
// them; neither imports the other's files beyond this one, but for linux(), which create() has a short form of.

import type { Device, DeviceSpec } from '../../../shared/device.ts';
import type { Regs, Sregs } from '../../../shared/vcpu-state.ts';
import type { KvmMemory } from '../memory/kvm-memory.ts';
import type { Hardware } from './hardware.ts';

/** What a loader may use. */
export interface LoadTarget {
  readonly memory: KvmMemory;
  readonly vcpus: number;
  /** Devices that the VM has, for images that tell their guests: they come before those that the image was made with. */
  readonly hardware?: Pick<Hardware, 'virtio' | 'timer'>;
}

/**
 * How one vCPU starts: applied over the state that KVM gives a new vCPU (which is x86's reset state: real mode at 0xfffffff0).
 * Absent fields keep their reset value; `undefined` as a whole: start from the reset vector.
 */
export interface VcpuBoot {
  readonly regs?: Partial<Regs>;
  readonly sregs?: Partial<Sregs>;
  /** False: this vCPU waits for INIT/SIPI (KVM_MP_STATE_UNINITIALIZED; needs the in-kernel irqchip). Default true. */
  readonly runnable?: boolean;
}

/** A guest for engine 'kvm'. */
export interface KvmImage {
  readonly engine: 'kvm';
  readonly kind: 'flat' | 'elf' | 'bios' | 'linux';
  /** 'bare': vCPUs alone (HLT ends a vCPU). 'pc': interrupt controllers as the VM's option irqchip says (HLT waits for an interrupt). */
  readonly platform: 'bare' | 'pc';
  /** The guest cannot do without PIC and PIT: no VM with the irqchip 'split' loads it. */
  readonly needsPic?: boolean;
  /** Devices that the image cannot do without (a debug port, …); they come after the user's and never displace them. */
  readonly devices?: readonly (Device | DeviceSpec)[];
  /** A 16550 that the machine has as `vm.console`, unless a device of the user's is at its ports. Platform 'pc'. */
  readonly console?: { readonly port: number; readonly irq: number } | undefined;
  /**
   * Validates everything, then writes the image into memory and returns one start state per vCPU.
   * Throws a coded error before anything was written (ERR_IMAGE_FORMAT, ERR_IMAGE_RANGE, ERR_IMAGE_READ).
   */
  load(target: LoadTarget): Promise<readonly VcpuBoot[]>;
}

/** A program for engine 'host': a JavaScript module or a WebAssembly module, run once per vCPU. */
export interface ProgramImage {
  readonly engine: 'host';
  readonly kind: 'program';
  readonly source:
    | { readonly type: 'module'; readonly url: string }
    | { readonly type: 'wasm'; readonly bytes: Uint8Array };
  /** Structured-clonable; handed to every vCPU's program. */
  readonly data: unknown;
}

export type Image = KvmImage | ProgramImage;

/** By its shape: an image may be the user's own. */
export function isImage(image: unknown): boolean {
  if (typeof image !== 'object' || image === null) return false;
  const { engine, load, source } = image as { engine?: unknown; load?: unknown; source?: unknown };
  return (
    (engine === 'kvm' && typeof load === 'function') ||
    (engine === 'host' && typeof source === 'object' && source !== null)
  );
}
