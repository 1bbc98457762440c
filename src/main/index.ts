// The public API: every name that users import. Main thread (or any thread that embeds VMs). Only re-exports.

export type {
  Device,
  DeviceAccess,
  DeviceContext,
  DeviceHandlers,
  DeviceSpec,
  DeviceValue,
} from '../../shared/device.ts';
export { type ErrorCode, HypervisorError } from '../../shared/errors.ts';
export type { ExitRecord } from '../../shared/exit-trace.ts';
export type { DebugEvent } from '../../shared/exits.ts';
export type { GuestMemory } from '../../shared/guest-memory.ts';
export * from '../../shared/layout.ts';
export type { MemoryAtomics, WaitAsyncResult, WaitResult } from '../../shared/memory-atomics.ts';
export type { MemoryHandle } from '../../shared/memory-layout.ts';
export type { ProgramContext, ProgramModule } from '../../shared/program.ts';
export type { U64 } from '../../shared/units.ts';
export type * from '../../shared/vcpu-state.ts';
export { histogramQuantile, type VcpuStatsSnapshot } from '../../shared/vcpu-stats.ts';
export { type DebugConsole, debugConsole } from './devices/debug-console.ts';
export { deviceModule } from './devices/device-module.ts';
export { powerDevices } from './devices/power.ts';
export { bios } from './images/bios.ts';
export { elf } from './images/elf.ts';
export { flat } from './images/flat.ts';
export type { Image } from './images/image.ts';
export { program } from './images/program.ts';
export {
  type Backing,
  type DirtyHarvest,
  type DirtyPageInfo,
  type DirtyTrackingOptions,
  type FileBacking,
  KvmMemory,
  type MemoryOptions,
  type MemoryRegion,
  type RegionOptions,
} from './memory/kvm-memory.ts';
export { type HostCapabilities, probe } from './probe.ts';
export type { Vcpu } from './vm/vcpu.ts';
export { VcpuPool } from './vm/vcpu-pool.ts';
export { VirtualMachine, type VmResult, type VmState, type VmStats } from './vm/virtual-machine.ts';
export type { VirtualMachineOptions } from './vm/vm-options.ts';
