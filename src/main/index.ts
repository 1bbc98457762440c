// The public API: every name that users import. Main thread (or any thread that embeds VMs). Only re-exports.

export type { Device, DeviceSpec } from '../../shared/device.ts';
export { type ErrorCode, HypervisorError } from '../../shared/errors.ts';
export * from '../../shared/layout.ts';
export type { MemoryHandle } from '../../shared/memory-layout.ts';
export type { U64 } from '../../shared/units.ts';
export { deviceModule } from './devices/device-module.ts';
export { bios } from './images/bios.ts';
export { elf } from './images/elf.ts';
export { flat } from './images/flat.ts';
export type { Image } from './images/image.ts';
export { program } from './images/program.ts';
export { KvmMemory } from './memory/kvm-memory.ts';
export { type HostCapabilities, probe } from './probe.ts';
export { VcpuPool } from './vm/vcpu-pool.ts';
export { VirtualMachine } from './vm/virtual-machine.ts';
