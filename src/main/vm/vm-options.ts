// The options of VirtualMachine.create: their types and every check of them, before anything is made. Main thread.

import type { Device, DeviceSpec } from '../../../shared/device.ts';
import { describeDevice, describeTable } from '../../../shared/device-table.ts';
import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { DebugEvent } from '../../../shared/exits.ts';
import { toU64, type U64 } from '../../../shared/units.ts';
import type { KvmImage } from '../images/image.ts';
import type { ImageSource } from '../images/image-file.ts';
import { LINUX_CMDLINE, linux } from '../images/linux.ts';
import { checkTrackingOptions, type DirtyTrackingOptions } from '../memory/dirty-selection.ts';
import type { MemoryOptions } from '../memory/options.ts';
import { type CpuidMask, type CpuTemplate, type CpuTemplateName, checkCpuTemplate } from './cpu-template.ts';
import type { Engine, EngineChoice } from './engine.ts';
import { IOAPIC_PLACE } from './split-irqchip.ts';
import { VcpuPool } from './vcpu-pool.ts';
import { VirtioBus } from './virtio-bus.ts';
import { checkVirtio, VIRTIO_OPTIONS, type VirtioOptions } from './virtio-options.ts';

/** The number of vCPUs that the control block is ever made for; KVM's own limit is asked later. */
const VCPUS_MAX = 4096;
/** The longest time that a timer can wait for: 2^31 - 1 ms. */
const DEADLINE_MAX_MS = 2_147_483_647;

/** What `vm.create` takes. */
export interface VirtualMachineOptions extends VirtioOptions {
  /** Bytes of RAM, or KvmMemory's options with the `size` among them. RAM above 3 GiB continues at 4 GiB. */
  readonly memory: U64 | (MemoryOptions & { readonly size: U64 });
  /** 1 or more; more than the machine has cores is fine. */
  readonly vcpus: number;
  /** Default 'auto': KVM where its device can be opened, the host engine otherwise; `vm.engineReason` says why. */
  readonly engine?: Engine | 'auto';
  /**
   * A Linux kernel to load, as linux() takes it: create() is then followed by load(). `cmdline`: default `console=ttyS0 panic=-1`, the
   * kernel's messages on `vm.console` and a reset when it panics.
   */
  readonly kernel?: ImageSource;
  readonly initrd?: ImageSource;
  readonly cmdline?: string;
  /**
   * Interrupt controllers of images that need some. 'kernel' (default): PIC, IOAPIC, LAPICs and PIT, all in KVM. 'split': LAPICs in KVM, the
   * IOAPIC in this process, and neither PIC nor PIT: less of the kernel within a guest's reach. Linux needs no more; a BIOS does, and load()
   * refuses it (`ERR_OUT_OF_RANGE`). On engine 'kvm'; `ERR_KVM_CAPABILITY` where KVM cannot.
   */
  readonly irqchip?: Irqchip;
  /**
   * What CPUID tells the guest. 'host' (default): all that KVM can give here. 'x86-64-v1' to 'x86-64-v4': the psABI's level and no further
   * instructions, so that guests find the same on hosts of different age; a list adds to a level, or takes from it. What kernels use (paging,
   * timers, guards against speculation), the vendor, model and caches stay the host's. On engine 'kvm'; `ERR_CPU_FEATURE` names what the
   * host lacks.
   */
  readonly cpuTemplate?: CpuTemplate;
  /** True or an object: on from the start. The source 'ring' can be had here alone. */
  readonly dirtyTracking?: boolean | DirtyTrackingOptions;
  readonly devices?: readonly (Device | DeviceSpec)[];
  /** Threads to run on, shared with other VMs; without it the VM makes its own and ends them with itself. */
  readonly pool?: VcpuPool;
  /** Aborting ends the VM with the reason 'stopped'. */
  readonly signal?: AbortSignal;
  /** Wall-clock milliseconds from start() on; then the VM ends with the reason 'deadline'. */
  readonly deadlineMs?: number;
  /** Per vCPU, the processors that its thread may use. */
  readonly affinity?: readonly (readonly number[])[];
  /** Called for each debug exit while that vCPU waits; it goes on when the promise resolves. Needed by `setGuestDebug`. */
  readonly onDebug?: (event: DebugEvent) => void | Promise<void>;
  /** Record every exit in a ring, to be read with `vm.drainTrace()`. */
  readonly trace?: boolean;
}

/** Where a VM's interrupt controllers are. */
export type Irqchip = 'kernel' | 'split';

const KNOWN = [
  'memory',
  'vcpus',
  'kernel',
  'initrd',
  'cmdline',
  'engine',
  'irqchip',
  'cpuTemplate',
  'dirtyTracking',
  'devices',
  ...VIRTIO_OPTIONS,
  'pool',
  'signal',
  'deadlineMs',
  'affinity',
  'onDebug',
  'trace',
];

/** The options, checked, with their defaults. */
export interface CheckedOptions {
  readonly memorySize: number;
  readonly memoryOptions: MemoryOptions;
  readonly vcpus: number;
  readonly engine: Engine | 'auto';
  readonly irqchip: Irqchip;
  /** Undefined: not given. */
  readonly cpuTemplate: readonly (CpuTemplateName | CpuidMask)[] | undefined;
  readonly dirtyTracking: false | DirtyTrackingOptions;
  readonly devices: readonly (Device | DeviceSpec)[];
  /** Of the virtio devices. */
  readonly bus: VirtioBus;
  readonly pool: VcpuPool | undefined;
  readonly signal: AbortSignal | undefined;
  readonly deadlineMs: number | undefined;
  readonly affinity: readonly (readonly number[])[] | undefined;
  readonly onDebug: ((event: DebugEvent) => void | Promise<void>) | undefined;
  readonly trace: boolean;
  /** Loaded by create(). */
  readonly image: KvmImage | undefined;
}

export function checkOptions(options: VirtualMachineOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, KNOWN, 'VirtualMachine.create');
  const {
    vcpus,
    engine = 'auto',
    irqchip = 'kernel',
    devices = [],
    pool,
    signal,
    deadlineMs,
    onDebug,
    trace = false,
  } = options;
  if (typeof vcpus !== 'number') throw invalidType('vcpus', 'a number', vcpus);
  if (!Number.isInteger(vcpus) || vcpus < 1) throw outOfRange('vcpus', 'an integer of at least 1', vcpus);
  if (vcpus > VCPUS_MAX) throw tooManyVcpus(vcpus, VCPUS_MAX);
  if (engine !== 'auto' && engine !== 'kvm' && engine !== 'host')
    throw outOfRange('engine', "'auto', 'kvm' or 'host'", engine);
  if (irqchip !== 'kernel' && irqchip !== 'split') throw outOfRange('irqchip', "'kernel' or 'split'", irqchip);
  if (pool !== undefined && !(pool instanceof VcpuPool)) throw invalidType('pool', 'a VcpuPool', pool);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalidType('signal', 'an AbortSignal', signal);
  if (deadlineMs !== undefined) {
    if (typeof deadlineMs !== 'number') throw invalidType('deadlineMs', 'a number', deadlineMs);
    if (!(deadlineMs > 0 && deadlineMs <= DEADLINE_MAX_MS))
      throw outOfRange('deadlineMs', 'more than 0 and at most 2^31 - 1', deadlineMs);
  }
  if (onDebug !== undefined && typeof onDebug !== 'function') throw invalidType('onDebug', 'a function', onDebug);
  if (typeof trace !== 'boolean') throw invalidType('trace', 'a boolean', trace);
  if (!Array.isArray(devices)) throw invalidType('devices', 'an array', devices);
  const bus = new VirtioBus(checkVirtio(options));
  const own = irqchip === 'split' ? [describeDevice(IOAPIC_PLACE)] : [];
  describeTable([...devices.map(describeDevice), ...bus.entries, ...own]);
  return {
    ...checkMemory(options.memory),
    vcpus,
    engine,
    irqchip,
    cpuTemplate: options.cpuTemplate === undefined ? undefined : checkCpuTemplate(options.cpuTemplate),
    dirtyTracking: checkTracking(options.dirtyTracking),
    devices,
    bus,
    pool,
    signal,
    deadlineMs,
    affinity: checkAffinity(options.affinity, vcpus),
    onDebug,
    trace,
    image: linuxImage(options),
  };
}

function linuxImage(options: VirtualMachineOptions): KvmImage | undefined {
  const { kernel, initrd, cmdline = LINUX_CMDLINE } = options;
  if (kernel !== undefined) return linux({ kernel, cmdline, ...(initrd === undefined ? {} : { initrd }) });
  for (const name of ['initrd', 'cmdline'] as const)
    if (options[name] !== undefined) throw outOfRange(name, 'given with a kernel', 'none');
  return undefined;
}

/** Refuses what only KVM has. @throws `ERR_ENGINE` */
export function requireEngine(options: CheckedOptions, { engine, reason }: EngineChoice): void {
  if (engine === 'kvm') return;
  const given = options.cpuTemplate !== undefined ? 'cpuTemplate' : "irqchip 'split'";
  if (options.cpuTemplate === undefined && options.irqchip === 'kernel') return;
  throw new HypervisorError('ERR_ENGINE', `${given} needs engine 'kvm', and this VM has 'host' (${reason})`);
}

/** `ERR_TOO_MANY_VCPUS`. */
export function tooManyVcpus(vcpus: number, most: number): HypervisorError {
  return new HypervisorError('ERR_TOO_MANY_VCPUS', `${vcpus} vCPUs are too many: at most ${most}`, {
    info: { vcpus, most },
  });
}

/** Processor numbers as sched_setaffinity takes them: at least one, each 0 to 1023. */
export function checkCpus(cpus: readonly number[], name: string): readonly number[] {
  if (!Array.isArray(cpus)) throw invalidType(name, 'an array of processor numbers', cpus);
  if (cpus.length === 0) throw outOfRange(`${name}.length`, 'at least 1', 0);
  for (const cpu of cpus) {
    if (!Number.isInteger(cpu) || cpu < 0 || cpu > 1023)
      throw outOfRange(name, 'processor numbers from 0 to 1023', cpu);
  }
  return [...cpus];
}

function checkMemory(memory: VirtualMachineOptions['memory']): Pick<CheckedOptions, 'memorySize' | 'memoryOptions'> {
  if (typeof memory === 'object' && memory !== null) {
    const { size, ...memoryOptions } = memory;
    return { memorySize: toU64(size, 'memory.size'), memoryOptions };
  }
  return { memorySize: toU64(memory, 'memory'), memoryOptions: {} };
}

function checkTracking(tracking: VirtualMachineOptions['dirtyTracking']): CheckedOptions['dirtyTracking'] {
  if (tracking === undefined || tracking === false) return false;
  if (tracking === true) return {};
  if (typeof tracking !== 'object' || tracking === null)
    throw invalidType('dirtyTracking', 'a boolean or an object', tracking);
  checkTrackingOptions(tracking, 'dirtyTracking');
  return tracking;
}

function checkAffinity(
  affinity: readonly (readonly number[])[] | undefined,
  vcpus: number,
): CheckedOptions['affinity'] {
  if (affinity === undefined) return undefined;
  if (!Array.isArray(affinity))
    throw invalidType('affinity', 'an array with one list of processors per vCPU', affinity);
  if (affinity.length !== vcpus) throw outOfRange('affinity.length', `the number of vCPUs, ${vcpus}`, affinity.length);
  return affinity.map((cpus: readonly number[], i) => checkCpus(cpus, `affinity[${i}]`));
}
