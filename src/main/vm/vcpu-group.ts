// All vCPUs of one VM: their shared words, threads, device servers, and what is done to all of them together. Main thread.
// It knows nothing of the VM's states: VirtualMachine decides when, this does it.

import { createControlBlock, MAILBOX_MAIN, MAIN_DOORBELL } from '../../../shared/control-block.ts';
import {
  type Device,
  type DeviceHandlers,
  type DeviceSpec,
  type EndRequest,
  isDeviceSpec,
} from '../../../shared/device.ts';
import {
  type DeviceEntry,
  DeviceTable,
  type DeviceTableDescription,
  describeDevice,
  describeTable,
} from '../../../shared/device-table.ts';
import { ExitServer } from '../../../shared/exit-server.ts';
import { createTraceBuffer, type ExitRecord, ExitTraceReader } from '../../../shared/exit-trace.ts';
import { IoDispatch } from '../../../shared/io-dispatch.ts';
import type { BootState, ProgramSetup, VcpuCreated } from '../../../shared/protocol.ts';
import { createStatsBuffer, type VcpuStatsSnapshot, VcpuStatsWords } from '../../../shared/vcpu-stats.ts';
import type { KvmMemory } from '../memory/kvm-memory.ts';
import { type VirtioFault, virtioFaults } from '../trace.ts';
import type { Engine } from './engine.ts';
import { IoThread } from './io-thread.ts';
import type { KvmMachine } from './kvm-machine.ts';
import { VcpuControl } from './vcpu-control.ts';
import { VcpuLink } from './vcpu-link.ts';
import type { VcpuPool } from './vcpu-pool.ts';
import { type RunnerEvents, VcpuRunner } from './vcpu-runner.ts';
import type { VirtioBus } from './virtio-bus.ts';

export interface GroupEvents extends RunnerEvents {
  /** A device handler threw, or the I/O worker died. */
  deviceFailed(error: unknown, vcpu: number | undefined): void;
  /** A device ends the VM. */
  end(reason: EndRequest, vcpu: number): void;
}

export interface GroupOptions {
  readonly vcpus: number;
  readonly engine: Engine;
  readonly pool: VcpuPool;
  readonly memory: KvmMemory;
  readonly kvm: KvmMachine | undefined;
  readonly affinity: readonly (readonly number[])[] | undefined;
  readonly trace: boolean;
  readonly bus: VirtioBus;
  readonly events: GroupEvents;
}

export class VcpuGroup {
  readonly runners: readonly VcpuRunner[];
  readonly #options: GroupOptions;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #stats: readonly VcpuStatsWords[];
  readonly #traces: readonly SharedArrayBuffer[];
  readonly #readers: readonly ExitTraceReader[];
  #created: Promise<readonly SharedArrayBuffer[]> | undefined;
  #server: ExitServer | undefined;
  #io: IoThread | undefined;
  #outside = 0;
  #stopped = false;

  /** Takes threads of the pool and starts a task on each. @throws `ERR_POOL_TOO_SMALL` */
  constructor(options: GroupOptions) {
    const { vcpus, engine, pool, memory, trace, events } = options;
    this.#options = options;
    this.#control = createControlBlock(vcpus);
    const stats = createStatsBuffer(vcpus);
    const indices = Array.from({ length: vcpus }, (_, index) => index);
    this.#stats = indices.map(index => new VcpuStatsWords(stats, index));
    this.#traces = trace ? indices.map(createTraceBuffer) : [];
    this.#readers = this.#traces.map((buffer, index) => new ExitTraceReader(buffer, index));
    const handle = memory.handle;
    pool.reserve(vcpus);
    this.runners = this.#stats.map((words, index) => {
      const link = new VcpuLink(pool, { engine, index, vcpus, control: this.#control.buffer, stats, memory: handle });
      return new VcpuRunner(index, engine, link, new VcpuControl(this.#control, index, words), events);
    });
  }

  /** Resolves when every worker answers, and virtio devices are there. */
  async open(): Promise<void> {
    // All of them settle, as in connect().
    const opening = [this.#openVirtio(), ...this.runners.map(runner => runner.link.open())];
    for (const result of await Promise.allSettled(opening)) if (result.status === 'rejected') throw result.reason;
  }

  async #openVirtio(): Promise<void> {
    const { bus } = this.#options;
    if (!bus.isEmpty) bus.take(await this.#ioThread().opened);
  }

  /** The I/O worker, started when it is needed first. */
  #ioThread(): IoThread {
    const { events, memory, vcpus, bus } = this.#options;
    this.#io ??= new IoThread(
      { control: this.#control.buffer, vcpus, memory: memory.handle, virtio: bus.setups },
      bus.transfer,
      {
        error: (error, vcpu) => events.deviceFailed(error, vcpu),
        fault: (device, reason) => virtioFaults.publish({ memory, device, reason } satisfies VirtioFault),
        end: (reason, vcpu) => events.end(reason, vcpu),
      },
    );
    return this.#io;
  }

  get isCreated(): boolean {
    return this.#created !== undefined;
  }

  /** Creates the vCPUs, once; further calls wait for the same. */
  async create(): Promise<void> {
    this.#created ??= Promise.all(this.runners.map(runner => this.#createOne(runner)));
    await this.#created;
  }

  async #createOne(runner: VcpuRunner): Promise<SharedArrayBuffer> {
    const { kvm, affinity, vcpus } = this.#options;
    const setup = {
      affinity: affinity?.[runner.index],
      ...(kvm === undefined ? {} : { kvm: { vmFd: kvm.vm.fd, cpuid: kvm.cpuid(runner.index, vcpus) } }),
    };
    const { runBuffer } = await runner.link.call(api => api.create(setup) as Promise<VcpuCreated>);
    if (kvm !== undefined) runner.control.attach(runBuffer);
    return runBuffer;
  }

  /**
   * Creates the vCPUs and gives them their devices, and their program or start states. A worker takes its calls in order: they are
   * sent together, and cost one round trip.
   */
  async connect(
    devices: readonly (Device | DeviceSpec)[],
    given: { program?: ProgramSetup; boots?: readonly BootState[] },
  ): Promise<void> {
    const { program, boots } = given;
    const entries = [...devices.map(describeDevice), ...this.#options.bus.entries];
    const table = describeTable(entries);
    const created = this.create();
    const calls = this.runners.flatMap(({ index, link }) => [
      link.call(api =>
        api.connect({ devices: table, trace: this.#traces[index], ...(program === undefined ? {} : { program }) }),
      ),
      ...(boots === undefined ? [] : [link.call(api => api.boot(boots[index] ?? {}))]),
    ]);
    const serving = created.then(() => this.#serve(devices, entries, table));
    // All of them settle before an error goes up: nothing may be under way when the VM is taken down. The first is the cause.
    const settled = await Promise.allSettled([serving, ...calls]);
    for (const result of settled) if (result.status === 'rejected') throw result.reason;
  }

  /** Starts the servers of devices that live on other threads than the vCPUs'. */
  async #serve(
    devices: readonly (Device | DeviceSpec)[],
    entries: readonly DeviceEntry[],
    table: DeviceTableDescription,
  ): Promise<void> {
    const runBuffers = (await this.#created) ?? [];
    // The VM may have been taken down meanwhile.
    if (this.#stopped) return;
    if (entries.some(({ where }) => where === 'main')) {
      // Closures live here, and are called as methods of what the user gave; modules live elsewhere.
      const handlers = devices.map(device => (isDeviceSpec(device) ? undefined : device));
      this.#serveHere(runBuffers, new DeviceTable(table), handlers);
    }
    if (!entries.some(({ where }) => where === 'io')) return;
    const io = this.#ioThread();
    await io.opened;
    await io.serve({ devices: table, runBuffers });
  }

  #serveHere(
    runBuffers: readonly SharedArrayBuffer[],
    table: DeviceTable,
    handlers: readonly (DeviceHandlers | undefined)[],
  ): void {
    const { events, vcpus } = this.#options;
    const dispatches = runBuffers.map(
      (buffer, vcpu) =>
        new IoDispatch(new DataView(buffer), table, handlers, { vcpu, end: reason => events.end(reason, vcpu) }),
    );
    this.#server = new ExitServer({
      control: this.#control,
      vcpus,
      doorbell: MAIN_DOORBELL,
      mailbox: MAILBOX_MAIN,
      dispatch(vcpu) {
        const dispatch = dispatches[vcpu];
        if (dispatch === undefined) throw new RangeError(`no vCPU ${vcpu}`);
        return dispatch;
      },
      onError: (vcpu, error) => events.deviceFailed(error, vcpu),
    });
  }

  launch(): void {
    for (const runner of this.runners) runner.launch();
  }

  /** All vCPUs out of the guest; then what their devices have in flight ends. */
  async pause(): Promise<void> {
    await Promise.all(this.runners.map(runner => runner.pause()));
    await this.#io?.pause();
  }

  resume(): void {
    this.#io?.resume();
    for (const runner of this.runners) runner.resume();
  }

  /** Calls `measure` while the others are out of the guest; `ended` keeps a VM that ends meanwhile from waiting for them. */
  async alone<T>(vcpu: number, measure: () => Promise<T>, ended: Promise<unknown>): Promise<T> {
    const others = this.runners.filter(({ index }) => index !== vcpu);
    const releases = others.map(runner => runner.hold());
    try {
      await Promise.race([Promise.all(others.map(runner => runner.pause())), ended]);
      return await measure();
    } finally {
      for (const runner of others) runner.resume();
      for (const release of releases) release();
    }
  }

  /** All vCPUs out of the guest, for good; then the device servers end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.runners.map(runner => runner.stop()));
    await this.#endServers();
  }

  async #endServers(): Promise<void> {
    this.#server?.stop();
    this.#server = undefined;
    const io = this.#io;
    this.#io = undefined;
    await io?.close();
    this.#options.bus.close();
  }

  /** The same request without waiting for anything: the process is about to end. */
  stopNow(): void {
    for (const runner of this.runners) runner.stopNow();
  }

  /** Gives the threads back. After stop(). */
  async close(): Promise<void> {
    await Promise.all(this.runners.map(runner => runner.link.close()));
    // Made by a load() that the end overtook.
    await this.#endServers();
  }

  /** Calls `change` while no vCPU is in the guest. Blocks this thread until they are out; nests. */
  whileOutside<T>(change: () => T): T {
    const outermost = this.#outside === 0;
    this.#outside++;
    try {
      if (outermost) {
        for (const { control } of this.runners) control.quiesce();
        for (const { control } of this.runners) control.waitOutside();
      }
      return change();
    } finally {
      this.#outside--;
      if (outermost) for (const { control } of this.runners) control.resume();
    }
  }

  /** CLOCK_MONOTONIC of vCPU 0's first entry into the guest, ns; 0: none yet. */
  firstEntryNs(): number {
    return this.#stats[0]?.firstEntryNs ?? 0;
  }

  stats(): VcpuStatsSnapshot[] {
    return this.#stats.map(words => words.snapshot());
  }

  /** Exits since the last call, by time; and how many were lost in total. */
  drainTrace(): { readonly records: ExitRecord[]; readonly lost: number } {
    const records = this.#readers.flatMap(reader => reader.drain()).sort((a, b) => a.timeMs - b.timeMs);
    return { records, lost: this.#readers.reduce((sum, reader) => sum + reader.lost, 0) };
  }
}
