// The public API: every name that users import. Main thread (or any thread that embeds VMs). Only re-exports.

export type {
  Device,
  DeviceAccess,
  DeviceContext,
  DeviceHandlers,
  DeviceSpec,
  DeviceValue,
  EndRequest,
  MmioRange,
  PortRange,
} from '../../shared/device.ts';
export { type ErrorCode, type ErrorDetails, HypervisorError } from '../../shared/errors.ts';
export type { ExitRecord } from '../../shared/exit-trace.ts';
export type { DebugEvent } from '../../shared/exits.ts';
export type { GuestMemory } from '../../shared/guest-memory.ts';
export * from '../../shared/layout.ts';
export type { MemoryAtomics, WaitAsyncResult, WaitResult } from '../../shared/memory-atomics.ts';
export type { MemoryHandle, RegionDescriptor, WasmMemory } from '../../shared/memory-layout.ts';
export type { ProgramContext, ProgramModule } from '../../shared/program.ts';
export type { U64 } from '../../shared/units.ts';
export type * from '../../shared/vcpu-state.ts';
export { histogramQuantile, type VcpuStatsSnapshot } from '../../shared/vcpu-stats.ts';
export type { BalloonStats } from '../../shared/virtio/balloon.ts';
export type { Chain } from '../../shared/virtio/chain.ts';
export type { ConsoleSize } from '../../shared/virtio/console.ts';
export type { VirtioContext, VirtioDevice } from '../../shared/virtio/device.ts';
export type {
  HostedVirtioDevice,
  VirtioDeviceContext,
  VirtioDeviceModule,
  VirtioDeviceSpec,
} from '../../shared/virtio/module.ts';
export type { Virtqueue } from '../../shared/virtio/queue.ts';
export type { Writer } from '../../shared/writer.ts';
export type { DiskOptions } from '../devices/open-disk.ts';
export { type Balloon, balloon } from './devices/balloon.ts';
export { type DebugConsole, type DebugConsoleOptions, debugConsole } from './devices/debug-console.ts';
export { type DeviceModuleOptions, deviceModule } from './devices/device-module.ts';
export { type NetEnd, type NetOptions, net, netLink } from './devices/net.ts';
export type { NetLink } from './devices/net-link.ts';
export { powerDevices } from './devices/power.ts';
export type { SerialConsole } from './devices/serial.ts';
export { type VirtioConsolePort, virtioConsole } from './devices/virtio-console.ts';
export type { VirtioConsoleStream } from './devices/virtio-console-stream.ts';
export { type VirtioDeviceOptions, virtioDevice } from './devices/virtio-device.ts';
export { type Vsock, type VsockOptions, vsock } from './devices/vsock.ts';
export type { VsockConnectOptions, VsockServer } from './devices/vsock-host.ts';
export type { VsockSocket } from './devices/vsock-socket.ts';
export { type BiosOptions, bios } from './images/bios.ts';
export type { StartMode, StartRing } from './images/boot-state.ts';
export { type ElfOptions, elf } from './images/elf.ts';
export { type FlatOptions, flat } from './images/flat.ts';
export type { Hardware, SerialHardware, VirtioHardware } from './images/hardware.ts';
export type { Image, KvmImage, LoadTarget, ProgramImage, VcpuBoot } from './images/image.ts';
export type { ImageSource } from './images/image-file.ts';
export { extendInitrd, type InitrdFile } from './images/initrd.ts';
export { type LinuxEntry, type LinuxOptions, linux } from './images/linux.ts';
export { program } from './images/program.ts';
export { runBenchmark } from './lab/lab.ts';
export type {
  ActorKind,
  ActorMix,
  Estimate,
  Failure,
  Interval,
  LabReport,
  Latency,
  LitmusRow,
  MachineFacts,
  Measured,
  Row,
  Series,
  Unit,
} from './lab/report.ts';
export type { BenchmarkHooks } from './lab/run-benchmark.ts';
export type { Scenario, ScenarioInput } from './lab/scenario.ts';
export {
  type DirtySourceReport,
  probeDirtySources,
  type SeenWriters,
} from './memory/dirty-probe.ts';
export {
  type Backing,
  type ChangesOptions,
  type DirtyCursor,
  type DirtyCursorOptions,
  type DirtyHarvest,
  type DirtyPageInfo,
  type DirtySourceName,
  type DirtyTrackingOptions,
  type FileBacking,
  KvmMemory,
  type MemoryOptions,
  type MemoryRegion,
  type RegionOptions,
  type Watch,
  type WatchCallback,
  type WatchedWrite,
  type WatchOptions,
  type WriterPages,
} from './memory/kvm-memory.ts';
export {
  type Availability,
  type HostCapabilities,
  type HugePagePool,
  type KvmCapabilities,
  type KvmKind,
  probe,
} from './probe.ts';
export type { BootMarks } from './vm/boot-clock.ts';
export type { CpuidBits, CpuidMask, CpuTemplate, CpuTemplateName } from './vm/cpu-template.ts';
export type { DirtyLimit } from './vm/dirty-limit.ts';
export type { DirtyRate, DirtyRateOptions, VcpuDirtyRate } from './vm/dirty-rate.ts';
export type { Engine } from './vm/engine.ts';
export type { Vcpu } from './vm/vcpu.ts';
export { VcpuPool, type VcpuPoolOptions } from './vm/vcpu-pool.ts';
export type { VirtioOptions } from './vm/virtio-options.ts';
export { VirtualMachine, type VmResult, type VmState, type VmStats } from './vm/virtual-machine.ts';
export type { Irqchip, VirtualMachineOptions } from './vm/vm-options.ts';
