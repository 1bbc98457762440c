// VirtualMachine: the public face of a VM and its state machine. Main thread. What it is made of: KvmMemory (guest RAM),
// KvmMachine (the kernel's side), VcpuGroup (threads and devices).
//
//   created → loaded → running ⇄ paused → finished → disposed        (finished and disposed from every state before)
//
// The first thing that ends the VM decides its result; `finished` resolves when all vCPUs are out of the guest.

import type { Remote } from 'comlink';
import type { DeviceSpec } from '../../../shared/device.ts';
import { type DeviceEntry, describeDevice, devicesOverlap } from '../../../shared/device-table.ts';
import { IOAPIC_PINS } from '../../../shared/devices/ioapic.ts';
import { assertNever, HypervisorError, invalidType, messageOf, outOfRange } from '../../../shared/errors.ts';
import type { ExitRecord } from '../../../shared/exit-trace.ts';
import type { DebugEvent } from '../../../shared/exits.ts';
import type { RunOutcome, VcpuApi } from '../../../shared/protocol.ts';
import { sumStats } from '../../../shared/vcpu-stats.ts';
import { type SerialConsole, serialPorts } from '../devices/serial.ts';
import { type Image, isImage, type KvmImage } from '../images/image.ts';
import { attachNativeVm, detachNativeVm, giveBackMemory, KvmMemory, lendMemory } from '../memory/kvm-memory.ts';
import { trace } from '../trace.ts';
import { BootClock, type BootMarks } from './boot-clock.ts';
import { chooseRing } from './choose-ring.ts';
import { DirtyLimiter } from './dirty-limit.ts';
import { type DirtyRate, type DirtyRateOptions, dirtyRate } from './dirty-rate.ts';
import type { SharesHost } from './dirty-shares.ts';
import { chooseEngine, type Engine, type EngineChoice, kvmDevice } from './engine.ts';
import { KvmMachine } from './kvm-machine.ts';
import { addLive, removeLive } from './live-vms.ts';
import { noRegisters, Vcpu } from './vcpu.ts';
import { type GroupEvents, VcpuGroup } from './vcpu-group.ts';
import { VcpuPool } from './vcpu-pool.ts';
import { VmConsole } from './vm-console.ts';
import { type CheckedOptions, checkOptions, requireEngine, type VirtualMachineOptions } from './vm-options.ts';
import { asHypervisorError, type VmResult, type VmState, type VmStats } from './vm-result.ts';

export type { BootMarks } from './boot-clock.ts';
export type { VmResult, VmState, VmStats } from './vm-result.ts';

/** What create() has put together. */
interface Parts {
  readonly options: CheckedOptions;
  readonly choice: EngineChoice;
  readonly memory: KvmMemory;
  readonly kvm: KvmMachine | undefined;
  readonly pool: VcpuPool;
  readonly clock: BootClock;
}

const traces = {
  create: trace('vm.create'),
  load: trace('vm.load'),
  start: trace('vm.start'),
  pause: trace('vm.pause'),
  resume: trace('vm.resume'),
  stop: trace('vm.stop'),
  stats: trace('vm.stats'),
  dirtyRate: trace('vm.dirtyRate'),
  setDirtyLimit: trace('vm.setDirtyLimit'),
  dispose: trace('vm.dispose'),
};

export class VirtualMachine {
  /** Guest RAM. Ends with the VM's disposal. */
  readonly memory: KvmMemory;
  readonly vcpus: readonly Vcpu[];
  readonly engine: Engine;
  /** Why this engine: a sentence. */
  readonly engineReason: string;
  /** Resolves, and never rejects, when the VM has ended and no vCPU is in the guest any more. */
  readonly finished: Promise<VmResult>;
  readonly #options: CheckedOptions;
  readonly #kvm: KvmMachine | undefined;
  readonly #pool: VcpuPool;
  readonly #group: VcpuGroup;
  readonly #limiter: DirtyLimiter;
  readonly #clock: BootClock;
  #console: VmConsole | undefined;
  #state: VmState = 'created';
  #loading = false;
  #ending: VmResult | undefined;
  #turns: Promise<void> = Promise.resolve();
  #disposing: Promise<void> | undefined;
  readonly #disposed = new AbortController();
  #deadline: NodeJS.Timeout | undefined;
  #resolveFinished: (result: VmResult) => void = () => {};
  readonly #onAbort = (): void => this.#finish({ reason: 'stopped' });

  private constructor(parts: Parts) {
    const { options, choice, memory, kvm, pool, clock } = parts;
    this.#options = options;
    this.#clock = clock;
    this.#kvm = kvm;
    this.#pool = pool;
    this.memory = memory;
    this.engine = choice.engine;
    this.engineReason = choice.reason;
    this.finished = new Promise(resolve => {
      this.#resolveFinished = resolve;
    });
    this.#group = new VcpuGroup({
      vcpus: options.vcpus,
      engine: choice.engine,
      pool,
      memory,
      kvm,
      affinity: options.affinity,
      trace: options.trace,
      bus: options.bus,
      events: this.#events(),
    });
    this.#limiter = new DirtyLimiter({
      ...this.#shares(),
      controls: this.#group.runners.map(({ control }) => control),
    });
    this.vcpus = this.#group.runners.map(({ index }) => this.#vcpu(index));
  }

  /**
   * Makes a VM: its memory, its threads, and on the kvm engine its descriptor. vCPUs are created by load() (or by the first
   * access to a register). With a `kernel` it is loaded too.
   * @throws TypeError, RangeError for wrong options; `ERR_KVM_UNAVAILABLE`, `ERR_KVM_PERMISSION`, `ERR_KVM_VERSION`,
   *   `ERR_TOO_MANY_VCPUS`, `ERR_POOL_TOO_SMALL`, `ERR_DEVICE_OVERLAP`, `ERR_DIRTY_SOURCE`, `ERR_CPU_FEATURE`, `ERR_ENGINE`, `ERR_ABORTED`, `ERR_SYSCALL`; for disks
   *   `ERR_IMAGE_READ` (errno), `ERR_IMAGE_FORMAT`; for virtio devices `ERR_DEVICE_HANDLER`; with a `kernel`, what load() throws; nothing
   *   is left behind then.
   */
  static create(options: VirtualMachineOptions): Promise<VirtualMachine> {
    return traces.create.promise(
      () => ({ options }),
      async () => {
        const vm = await VirtualMachine.#create(options);
        const { image } = vm.#options;
        if (image === undefined) return vm;
        try {
          await vm.load(image);
          return vm;
        } catch (error) {
          await vm[Symbol.asyncDispose]();
          throw error;
        }
      },
    );
  }

  static async #create(given: VirtualMachineOptions): Promise<VirtualMachine> {
    const clock = new BootClock();
    const options = checkOptions(given);
    if (isAborted(options.signal))
      throw new HypervisorError('ERR_ABORTED', 'the signal was aborted before the VM was made', {
        cause: options.signal?.reason,
      });
    const choice = chooseEngine(options.engine);
    requireEngine(options, choice);
    const ringEntries = chooseRing(options, choice);
    const undo: (() => void | Promise<void>)[] = [];
    try {
      const memory = new KvmMemory(options.memorySize, options.memoryOptions);
      undo.push(() => memory[Symbol.dispose]());
      lendMemory(memory);
      undo.push(() => giveBackMemory(memory));
      const kvm =
        choice.engine === 'kvm'
          ? new KvmMachine(kvmDevice(), options.vcpus, { ringEntries, cpuTemplate: options.cpuTemplate })
          : undefined;
      undo.push(() => kvm?.close());
      let group: VcpuGroup | undefined;
      if (kvm !== undefined) {
        // Before the vCPUs' threads get the table: who attaches with an old one waits for our event loop, and not for ever.
        const quiesce = <T>(change: () => T): T => (group === undefined ? change() : group.whileOutside(change));
        attachNativeVm(memory, {
          vm: kvm.vm,
          owned: false,
          quiescer: { quiesce },
          ring: ringEntries !== undefined,
          vcpus: options.vcpus,
        });
        undo.push(() => detachNativeVm(memory));
      }
      const pool = options.pool ?? new VcpuPool({ threads: options.vcpus });
      if (options.pool === undefined) undo.push(() => pool[Symbol.asyncDispose]());
      const vm = new VirtualMachine({ options, choice, memory, kvm, pool, clock });
      group = vm.#group;
      undo.push(() => vm.#group.close());
      if (options.dirtyTracking !== false) {
        const { ringEntries: _, ...tracking } = options.dirtyTracking;
        memory.enableDirtyTracking(tracking);
      }
      await group.open();
      options.signal?.addEventListener('abort', vm.#onAbort, { once: true });
      if (isAborted(options.signal)) vm.#onAbort();
      clock.mark('create');
      return vm;
    } catch (error) {
      // A step that fails keeps none of the others from being taken; the error to report is the first one.
      for (const step of undo.reverse())
        await Promise.resolve()
          .then(step)
          .catch(() => {});
      throw error;
    }
  }

  get state(): VmState {
    return this.#state;
  }

  /**
   * The far end of a Linux guest's first serial port. What nobody reads is dropped, the oldest first, when 64 KiB wait; writing says
   * when to stop, as any stream's does.
   * @throws `ERR_STATE` without a Linux guest, or when a device of the user's has taken the port's place
   */
  get console(): SerialConsole {
    if (this.#console === undefined)
      throw new HypervisorError('ERR_STATE', 'this VM has no console: a Linux kernel that is loaded brings one');
    return this.#console.stream;
  }

  /** How far it came, and when; also after the end. */
  get marks(): BootMarks {
    return this.#clock.marks({
      firstEntry: this.#group.firstEntryNs(),
      ...(this.#console?.times ?? { firstByte: 0, open: 0 }),
    });
  }

  /**
   * Writes the image into memory, creates the vCPUs and gives them their start state and devices.
   * A rejected load leaves the VM as it was when the image was refused; when the vCPUs could not be made, the VM is finished.
   * @throws `ERR_STATE`, `ERR_ENGINE` (the image is for the other engine), the image's own codes, `ERR_DEVICE_HANDLER`
   */
  load(image: Image): Promise<void> {
    return traces.load.promise(
      () => ({ image }),
      () => this.#load(image),
    );
  }

  async #load(image: Image): Promise<void> {
    if (!isImage(image)) throw invalidType('image', 'an Image (made by flat(), elf(), bios() or program())', image);
    this.#require('load', 'created');
    if (this.#loading) throw new HypervisorError('ERR_STATE', 'load() is under way already');
    if (image.engine !== this.engine) {
      throw new HypervisorError(
        'ERR_ENGINE',
        `a ${image.kind} image needs engine '${image.engine}', and this VM has '${this.engine}' (${this.engineReason})`,
      );
    }
    this.#loading = true;
    try {
      if (image.engine === 'host') {
        const { source, data } = image;
        await this.#orFinish(this.#group.connect(this.#options.devices, { program: { source, data } }));
      } else await this.#loadKvm(image);
      // A stop may have come meanwhile.
      this.#require('load', 'created');
      this.#state = 'loaded';
      this.#clock.mark('load');
    } finally {
      this.#loading = false;
    }
  }

  async #loadKvm(image: KvmImage): Promise<void> {
    if (image.platform === 'pc' && this.#group.isCreated) {
      throw new HypervisorError(
        'ERR_STATE',
        `a ${image.kind} image needs an interrupt controller, which must be there before the vCPUs: load it before any register is accessed`,
      );
    }
    const { devices, bus, irqchip } = this.#options;
    if (irqchip === 'split' && (image.platform === 'bare' || image.needsPic === true))
      throw outOfRange('irqchip', `'kernel' for a ${image.kind} image`, irqchip);
    const own = devices.map(describeDevice);
    const isFree = (entry: DeviceEntry) => !own.some(other => devicesOverlap(other, entry));
    const extra = (image.devices ?? []).filter(device => isFree(describeDevice(device)));
    const boots = await image.load({
      memory: this.memory,
      vcpus: this.vcpus.length,
      hardware: { virtio: bus.hardware, timer: irqchip === 'kernel' },
    });
    if (boots.length !== this.vcpus.length)
      throw new HypervisorError(
        'ERR_IMAGE_FORMAT',
        `the image has ${boots.length} start states for ${this.vcpus.length} vCPUs`,
      );
    this.#require('load', 'created');
    await this.#orFinish(
      (async () => {
        if (image.platform === 'pc') this.#kvm?.createPlatform(irqchip);
        if (this.#kvm !== undefined) bus.connect(this.#kvm.vm, image.platform === 'pc');
        const console = this.#openConsole(image, isFree);
        await this.#group.connect([...devices, ...extra, ...console, ...(this.#kvm?.devices ?? [])], { boots });
      })(),
    );
  }

  /** A Linux guest's serial port, unless a device of the user's is in its place. */
  #openConsole({ console: port }: KvmImage, isFree: (entry: DeviceEntry) => boolean): DeviceSpec[] {
    if (port === undefined || this.#kvm === undefined) return [];
    if (!isFree({ name: 'console', where: 'vcpu', pio: serialPorts(port.port) })) return [];
    this.#console = new VmConsole(this.#kvm.vm, port);
    return [this.#console.device];
  }

  /** vCPUs that were made in part cannot be made again: the VM ends with the error. */
  async #orFinish(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#finish({ reason: 'error', error: asHypervisorError(error) });
      throw error;
    }
  }

  /** Lets all vCPUs run. The process stays alive while they do. @throws `ERR_STATE` unless the VM is loaded */
  start(): Promise<void> {
    return traces.start.promise(
      () => ({ vcpus: this.vcpus.length }),
      async () => {
        this.#require('start', 'loaded');
        this.#state = 'running';
        addLive(this.#group);
        const { deadlineMs } = this.#options;
        if (deadlineMs !== undefined)
          this.#deadline = setTimeout(() => this.#finish({ reason: 'deadline' }), deadlineMs);
        this.#group.launch();
      },
    );
  }

  /**
   * Takes all vCPUs out of the guest, between two instructions; resolves when they are. A program (host engine) is paused at its next
   * exit or checkpoint. An access that a device on another thread is handling is waited for, and so is what disks have in flight. Idempotent.
   * @throws `ERR_STATE` unless the VM runs or is paused, also when it ends meanwhile
   */
  pause(): Promise<void> {
    return traces.pause.promise(
      () => ({}),
      () =>
        this.#inTurn(async () => {
          this.#require('pause', 'running', 'paused');
          if (this.#state === 'paused') return;
          this.#state = 'paused';
          // A VM that ends meanwhile (a program that never comes to an exit) must not leave us waiting.
          await Promise.race([this.#group.pause(), this.finished]);
          this.#require('pause', 'paused');
        }),
    );
  }

  /** Lets a paused VM run on. @throws `ERR_STATE` unless it is paused or runs */
  resume(): Promise<void> {
    return traces.resume.promise(
      () => ({}),
      () =>
        this.#inTurn(async () => {
          this.#require('resume', 'paused', 'running');
          if (this.#state === 'running') return;
          this.#state = 'running';
          this.#group.resume();
        }),
    );
  }

  /** pause() and resume() take effect one after the other, in the order in which they were called. */
  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const turn = this.#turns.then(step);
    this.#turns = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  /**
   * Ends the VM with the reason 'stopped'; resolves when all vCPUs are out of the guest. A program or handler that does not come back
   * within half a second has its thread ended. Idempotent, and harmless after the end.
   */
  stop(): Promise<void> {
    return traces.stop.promise(
      () => ({}),
      async () => {
        if (this.#state === 'disposed') throw new HypervisorError('ERR_DISPOSED', 'the VM was disposed');
        this.#finish({ reason: 'stopped' });
        await this.finished;
      },
    );
  }

  /**
   * A line to a pin of the interrupt controllers rises or falls: how a device of the user's interrupts a guest. `irq`: 0 to 23; up to 15 the PIC's too,
   * where there is one. What is an edge and what a level says the guest. Virtio devices and the console have theirs without it. Does not block.
   * @throws `ERR_STATE` unless an image that brings interrupt controllers is loaded; TypeError, RangeError; `ERR_SYSCALL`
   */
  irqLine(irq: number, asserted: boolean): void {
    if (!Number.isInteger(irq)) throw invalidType('irq', 'an integer', irq);
    if (irq < 0 || irq >= IOAPIC_PINS) throw outOfRange('irq', `a pin from 0 to ${IOAPIC_PINS - 1}`, irq);
    if (typeof asserted !== 'boolean') throw invalidType('asserted', 'a boolean', asserted);
    this.#require('irqLine', 'loaded', 'running', 'paused');
    if (this.#kvm?.hasPlatform !== true)
      throw new HypervisorError('ERR_STATE', 'this VM has no interrupt controllers: its image brings none');
    this.#kvm.irqLine(irq, asserted);
  }

  /** Counters of all vCPUs: from shared memory, without disturbing them; also after the end. */
  stats(): VmStats {
    return traces.stats.sync(
      () => ({}),
      () => {
        const vcpus = this.#group.stats();
        return { total: sumStats(vcpus), vcpus };
      },
    );
  }

  /**
   * Measures how fast memory is dirtied, for `windowMs`; no other consumer of dirty pages notices. A vCPU's own rate is undefined where the
   * source cannot tell: it can with 'ring', with one vCPU, and with `sample` (which pauses the others in turn, and needs a VM that runs).
   * @throws `ERR_DIRTY_TRACKING_OFF`, `ERR_ABORTED`, `ERR_STATE`, `ERR_DISPOSED`, `ERR_SYSCALL`, and for wrong options
   */
  dirtyRate(options: DirtyRateOptions = {}): Promise<DirtyRate> {
    const alone = <T>(vcpu: number, measure: () => Promise<T>): Promise<T> =>
      this.#inTurn(() => {
        this.#require('sample', 'running');
        return this.#group.alone(vcpu, measure, this.finished);
      });
    return traces.dirtyRate.promise(
      () => ({ options }),
      () => dirtyRate({ ...this.#shares(), memory: this.memory, disposed: this.#disposed.signal, alone }, options),
    );
  }

  /** `vcpu.setDirtyLimit(pagesPerSecond)` for each vCPU: every one may dirty that much. */
  setDirtyLimit(pagesPerSecond: number | undefined): void {
    this.#setDirtyLimit(
      this.vcpus.map(({ index }) => index),
      pagesPerSecond,
    );
  }

  #setDirtyLimit(vcpus: readonly number[], pagesPerSecond: number | undefined): void {
    traces.setDirtyLimit.sync(
      () => ({ vcpus, pagesPerSecond }),
      () => {
        if (pagesPerSecond !== undefined) this.#require('setDirtyLimit', 'created', 'loaded', 'running', 'paused');
        this.#limiter.set(vcpus, pagesPerSecond);
      },
    );
  }

  /** Whose dirty pages are whose. */
  #shares(): SharesHost & { readonly memory: KvmMemory } {
    return {
      vcpus: this.#options.vcpus,
      memory: this.memory,
      source: () => this.memory.dirtySource,
      ringEntries: vcpu => this.#kvm?.vm.ringCounters(vcpu).entries ?? 0,
    };
  }

  /** With `trace: true`: the exits since the last call, by time; `lost` counts those that were overwritten before. */
  drainTrace(): { readonly records: ExitRecord[]; readonly lost: number } {
    return this.#group.drainTrace();
  }

  /** Stops the VM and frees everything: vCPUs, threads, descriptors, memory. From every state, idempotent, within a second. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= traces.dispose.promise(
      () => ({}),
      () => this.#dispose(),
    );
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    this.#disposed.abort(new HypervisorError('ERR_DISPOSED', 'the VM was disposed'));
    this.#finish({ reason: 'stopped' });
    await this.finished;
    this.#state = 'disposed';
    // vCPUs first, then slots, then descriptors, then the mapping.
    await this.#group.close();
    if (this.#options.pool === undefined) await this.#pool[Symbol.asyncDispose]();
    if (this.#kvm !== undefined) detachNativeVm(this.memory);
    this.#kvm?.close();
    giveBackMemory(this.memory);
    this.memory[Symbol.dispose]();
  }

  #require(operation: string, ...states: readonly VmState[]): void {
    if (this.#state === 'disposed') throw new HypervisorError('ERR_DISPOSED', 'the VM was disposed');
    if (this.#ending !== undefined)
      throw new HypervisorError(
        'ERR_STATE',
        `${operation}() is not possible any more: the VM has finished (${this.#ending.reason})`,
      );
    if (!states.includes(this.#state))
      throw new HypervisorError(
        'ERR_STATE',
        `${operation}() needs a VM that is ${states.join(' or ')}; this one is ${this.#state}`,
      );
  }

  /** The first reason counts. */
  #finish(result: VmResult): void {
    if (this.#ending !== undefined) return;
    this.#ending = result;
    clearTimeout(this.#deadline);
    this.#limiter.close();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    const finished = (): void => {
      removeLive(this.#group);
      this.#state = 'finished';
      this.#console?.close();
      this.#resolveFinished(result);
    };
    // Whatever stopping meets: nobody may wait for `finished` for ever.
    void this.#group.stop().then(finished, finished);
  }

  #events(): GroupEvents {
    const vm = this;
    return {
      get wantsRun() {
        return vm.#state === 'running' && vm.#ending === undefined;
      },
      outcome: (vcpu, outcome) => this.#onOutcome(vcpu, outcome),
      failed: (vcpu, error) => this.#finish({ reason: 'error', vcpu, error: asHypervisorError(error) }),
      deviceFailed: (error, vcpu) =>
        this.#finish({ reason: 'error', ...(vcpu === undefined ? {} : { vcpu }), error: asHypervisorError(error) }),
      end: (reason, vcpu) => this.#finish({ reason, vcpu }),
    };
  }

  #onOutcome(vcpu: number, outcome: RunOutcome): void {
    switch (outcome.reason) {
      case 'halted':
      case 'returned': {
        const { runners } = this.#group;
        if (runners.some(({ done }) => done === undefined)) return;
        this.#finish({ reason: runners.every(({ done }) => done === 'halted') ? 'halt' : 'program-end', vcpu });
        return;
      }
      case 'shutdown':
      case 'power-off':
      case 'reset':
      case 'panic':
        this.#finish({ reason: outcome.reason, vcpu });
        return;
      case 'debug':
        void this.#onDebug(outcome.event);
        return;
      // The runner keeps these to itself.
      case 'left':
      case 'stopped':
      case 'failed':
        return;
      default:
        assertNever(outcome);
    }
  }

  async #onDebug(event: DebugEvent): Promise<void> {
    const release = this.#group.runners[event.vcpu]?.hold();
    try {
      await this.#options.onDebug?.(event);
      release?.();
    } catch (cause) {
      this.#finish({
        reason: 'error',
        vcpu: event.vcpu,
        error: new HypervisorError('ERR_DEVICE_HANDLER', `onDebug failed: ${messageOf(cause)}`, { cause }),
      });
    }
  }

  #vcpu(index: number): Vcpu {
    return new Vcpu(index, {
      control: (intent, invoke) => this.#controlVcpu(index, intent, invoke),
      setAffinity: async cpus => {
        if (this.engine === 'host' && this.#state !== 'created' && this.#state !== 'loaded') {
          throw new HypervisorError(
            'ERR_STATE',
            'a program cannot be interrupted to move its thread: set the affinity before start()',
          );
        }
        await this.#runner(index).call(api => api.setAffinity(cpus));
      },
      stats: () => this.#group.stats()[index] ?? sumStats([]),
      cpuid: () => {
        if (this.#kvm === undefined) throw noRegisters();
        return this.#kvm.cpuid(index, this.vcpus.length);
      },
      setDirtyLimit: pagesPerSecond => this.#setDirtyLimit([index], pagesPerSecond),
      dirtyLimit: () => this.#limiter.get(index),
      checkDebug: () => {
        if (this.#options.onDebug === undefined) {
          throw new HypervisorError('ERR_STATE', 'nobody would answer a debug exit: create the VM with onDebug');
        }
      },
    });
  }

  async #controlVcpu<T>(
    index: number,
    intent: 'read' | 'write',
    invoke: (api: Remote<VcpuApi>) => Promise<T>,
  ): Promise<T> {
    if (this.engine === 'host') throw noRegisters();
    if (this.#state === 'disposed') throw new HypervisorError('ERR_DISPOSED', 'the VM was disposed');
    if (intent === 'write') this.#require('set', 'created', 'loaded', 'running', 'paused');
    if (this.#ending === undefined || this.#group.isCreated) await this.#group.create();
    return await this.#runner(index).call(invoke);
  }

  #runner(index: number): VcpuGroup['runners'][number] {
    const runner = this.#group.runners[index];
    if (runner === undefined) throw new RangeError(`no vCPU ${index}`);
    return runner;
  }
}

/** Asked twice, with an await between: a function, so that the compiler does not believe the first answer. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
