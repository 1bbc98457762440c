// Tracing: one `node:diagnostics_channel` tracing channel per public operation, all named here. Main thread, or any thread
// that uses the public API. When nobody listens an operation pays for the `hasSubscribers` checks below (property reads) and
// nothing is formatted, allocated or looked up.
// Channels are `tracing:node-kvm:<name>:start | end | asyncStart | asyncEnd | error`, as Node's TracingChannel makes them:
// listen with `diagnostics_channel.tracingChannel('node-kvm:memory.write').subscribe({ start(context) { … } })`.

import { type Channel, channel, type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import type { GuestMemory } from '../../shared/guest-memory.ts';

/** What precedes every name: `node-kvm:memory.write`. */
export const TRACE_PREFIX = 'node-kvm:';

/**
 * Every traced operation. `memory.*` are KvmMemory's methods of the same name (`memory.atomics`: any of them, the
 * context's `operation` says which; `memory.create`: the constructor); `vm.*` and `vcpu.*` are VirtualMachine's and Vcpu's.
 */
export const TRACE_NAMES = [
  'memory.create',
  'memory.attach',
  'memory.addRegion',
  'memory.addExternalRegion',
  'memory.removeRegion',
  'memory.setReadOnly',
  'memory.watch',
  'memory.attachVmFd',
  'memory.registerSlot',
  'memory.unregisterSlot',
  'memory.enableDirtyTracking',
  'memory.disableDirtyTracking',
  'memory.getDirtyPages',
  'memory.harvest',
  'memory.harvest.commit',
  'memory.harvest.abort',
  'memory.dirtyCursor',
  'memory.dirtyCursor.harvest',
  'memory.changes',
  'memory.hostAddress',
  'memory.getHostAddress',
  'memory.regions',
  'memory.size',
  'memory.addressLimit',
  'memory.read',
  'memory.write',
  'memory.readObj',
  'memory.writeObj',
  'memory.memset',
  'memory.atomics',
  'memory.view',
  'memory.dumpAll',
  'memory.dispose',
  'vm.create',
  'vm.load',
  'vm.start',
  'vm.pause',
  'vm.resume',
  'vm.stop',
  'vm.stats',
  'vm.dirtyRate',
  'vm.setDirtyLimit',
  'vm.dispose',
  'vcpu.control',
] as const;

export type TraceName = (typeof TRACE_NAMES)[number];

/** One operation's channel. The context object is handed to every listener; it gains `result` or `error` at the end. */
export class Trace {
  readonly #channel: TracingChannel;
  // Node 20 has no TracingChannel.hasSubscribers before 20.19, and the five channels as fields make the check plain loads.
  readonly #start: Channel;
  readonly #end: Channel;
  readonly #error: Channel;
  readonly #asyncStart: Channel;
  readonly #asyncEnd: Channel;

  constructor(name: TraceName) {
    const channel = tracingChannel(TRACE_PREFIX + name);
    this.#channel = channel;
    this.#start = channel.start;
    this.#end = channel.end;
    this.#error = channel.error;
    this.#asyncStart = channel.asyncStart;
    this.#asyncEnd = channel.asyncEnd;
  }

  /** Does anybody listen to a synchronous operation (start, end or error)? The hot paths ask this and then call straight on. */
  get active(): boolean {
    return this.#start.hasSubscribers || this.#end.hasSubscribers || this.#error.hasSubscribers;
  }

  /** Runs a synchronous operation. `context` is only called when somebody listens. */
  sync<T>(context: () => object, run: () => T): T {
    return this.active ? this.#channel.traceSync(run, context()) : run();
  }

  /** Runs an asynchronous operation. `context` is only called when somebody listens. */
  promise<T>(context: () => object, run: () => Promise<T>): Promise<T> {
    const listened = this.active || this.#asyncStart.hasSubscribers || this.#asyncEnd.hasSubscribers;
    return listened ? this.#channel.tracePromise(run, context()) : run();
  }
}

/** What `node-kvm:virtio.fault` tells, a channel that is none of an operation's: a driver broke a rule, and the device waits for its reset. */
export interface VirtioFault {
  /** Whose: `vm.memory`. */
  readonly memory: GuestMemory;
  /** The device's name. */
  readonly device: string;
  readonly reason: string;
}

export const virtioFaults = channel(`${TRACE_PREFIX}virtio.fault`);

const table = new Map<TraceName, Trace>();

/** The operation's channel: one object per name and thread. Look it up once, at module level. */
export function trace(name: TraceName): Trace {
  let found = table.get(name);
  if (found === undefined) {
    found = new Trace(name);
    table.set(name, found);
  }
  return found;
}
