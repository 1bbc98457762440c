// How `node-kvm run` says what came out: one line, or JSON. Main thread.

import { kvmKind } from '../host-facts.ts';
import type { VirtualMachine, VmResult } from '../vm/virtual-machine.ts';
import type { CapturedText } from './guest-console.ts';
import type { EndingSignal } from './interrupts.ts';

/** What is known about a run that is over. */
export interface RunFacts {
  readonly image: string;
  readonly format: string;
  readonly vm: VirtualMachine;
  readonly result: VmResult;
  readonly seconds: number;
  /** The signal that stopped it. */
  readonly signal: EndingSignal | undefined;
}

/** `halt after 1.2 s: 2 vCPUs on kvm, 345 exits`. */
export function humanResult({ format, vm, result, seconds, signal }: RunFacts): string {
  const { exits } = vm.stats().total;
  const cause = signal === undefined ? '' : ` by ${signal}`;
  const where = result.vcpu === undefined ? '' : ` of vCPU ${result.vcpu}`;
  const error = result.error === undefined ? '' : `: ${result.error.message} [${result.error.code}]`;
  const vcpus = `${vm.vcpus.length} vCPU${vm.vcpus.length === 1 ? '' : 's'}`;
  return `${REASONS[result.reason]}${where}${cause} after ${seconds.toFixed(2)} s, ${vcpus} on engine ${vm.engine}, ${exits} exits${error}${hintOf(format, result)}`;
}

/** What the error alone does not say. */
function hintOf(format: string, { error }: VmResult): string {
  if (format !== 'linux' || error?.code !== 'ERR_VCPU_INTERNAL' || kvmKind() !== 'pvm') return '';
  return '\nnode-kvm: this KVM is PVM: it emulates ring 0 and lacks instructions of a stock Linux kernel, which boots on kvm_intel and kvm_amd';
}

const REASONS: Readonly<Record<VmResult['reason'], string>> = {
  halt: 'halt',
  shutdown: 'triple fault',
  'power-off': 'power-off',
  panic: 'kernel panic',
  reset: 'reset',
  stopped: 'stopped',
  deadline: 'timeout',
  'program-end': 'end of the program',
  error: 'error',
};

/** `create 12.0 ms, load 80.1 ms, …`: how far it came, and when. */
export function marksLine(vm: VirtualMachine): string {
  const marks = Object.entries(vm.marks).map(([name, ms]) => `${name} ${ms.toFixed(1)} ms`);
  return `since create() was called: ${marks.join(', ')}\n`;
}

/** One object; bigints as hexadecimal strings. `more`: what the command itself has to say; `indent`: as JSON.stringify takes it. */
export function jsonResult(facts: RunFacts, captured: CapturedText | undefined, more: object, indent = 2): string {
  const { image, format, vm, result, seconds, signal } = facts;
  const { error } = result;
  const report = {
    image,
    format,
    engine: vm.engine,
    vcpus: vm.vcpus.length,
    memoryBytes: vm.memory.size(),
    reason: result.reason,
    vcpu: result.vcpu,
    signal,
    error: error && {
      code: error.code,
      message: error.message,
      errno: error.errno,
      syscall: error.syscall,
      info: error.info,
    },
    seconds,
    marksMs: vm.marks,
    console: captured?.text,
    consoleBytesDropped: captured?.dropped,
    stats: vm.stats(),
    ...more,
  };
  const plain = (_key: string, value: unknown) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value);
  return `${JSON.stringify(report, plain, indent)}\n`;
}
