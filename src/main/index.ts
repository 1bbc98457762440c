// The public API: every name that users import. Main thread (or any thread that embeds VMs). Only re-exports.

export { HypervisorError, type ErrorCode } from '../../shared/errors.ts';
export type { U64 } from '../../shared/units.ts';
export * from '../../shared/layout.ts';
export type { MemoryHandle } from '../../shared/memory-layout.ts';
export type { Device, DeviceSpec } from '../../shared/device.ts';
export { deviceModule } from './devices/device-module.ts';
export { KvmMemory } from './memory/kvm-memory.ts';
export { VirtualMachine } from './vm/virtual-machine.ts';
export { VcpuPool } from './vm/vcpu-pool.ts';
export { flat } from './images/flat.ts';
export { elf } from './images/elf.ts';
export { bios } from './images/bios.ts';
export { program } from './images/program.ts';
export type { Image } from './images/image.ts';
export { probe, type HostCapabilities } from './probe.ts';
