// What a vCPU's exits are called, and the fields of kvm_run that describe one to people. Runs on every thread; pure.
// The hot path (PIO and MMIO) does not come here: io-dispatch.ts decodes those in place.

import { KVM_EXIT, KVM_RUN, KVM_SYSTEM_EVENT } from './generated/kvm-abi.ts';
import { hex } from './units.ts';

/** Kebab-case names of the exit reasons, by number: `io`, `mmio`, `hlt`, `internal-error`, … */
const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(KVM_EXIT).map(([name, number]) => [number, name.toLowerCase().replaceAll('_', '-')]),
);

/** The name of an exit reason; `exit-<n>` for one that the kernel's headers did not know. */
export function exitName(reason: number): string {
  return NAMES.get(reason) ?? `exit-${reason}`;
}

/** KVM_EXIT_DEBUG, decoded: a breakpoint, a watchpoint or a single step. */
export interface DebugEvent {
  readonly vcpu: number;
  /** The exception: 1 = #DB, 3 = #BP. */
  readonly exception: number;
  /** Linear address. */
  readonly pc: bigint;
  readonly dr6: bigint;
  readonly dr7: bigint;
}

export function decodeDebugEvent(run: DataView, vcpu: number): DebugEvent {
  return {
    vcpu,
    exception: run.getUint32(KVM_RUN.debug.exception, true),
    pc: run.getBigUint64(KVM_RUN.debug.pc, true),
    dr6: run.getBigUint64(KVM_RUN.debug.dr6, true),
    dr7: run.getBigUint64(KVM_RUN.debug.dr7, true),
  };
}

/** What the guest asked of its platform by KVM_EXIT_SYSTEM_EVENT; undefined for a type that no x86 guest raises. */
export function decodeSystemEvent(run: DataView): 'power-off' | 'reset' | 'shutdown' | undefined {
  switch (run.getUint32(KVM_RUN.systemEvent.type, true)) {
    case KVM_SYSTEM_EVENT.SHUTDOWN:
      return 'power-off';
    case KVM_SYSTEM_EVENT.RESET:
      return 'reset';
    case KVM_SYSTEM_EVENT.CRASH:
      return 'shutdown';
    default:
      return undefined;
  }
}

/** KVM_EXIT_INTERNAL_ERROR as facts for an error's `info`: suberror and the words that the kernel gave with it. */
export function decodeInternalError(run: DataView): { suberror: number; data: string[] } {
  const count = Math.min(run.getUint32(KVM_RUN.internal.ndata, true), 16);
  const data = Array.from({ length: count }, (_, i) => hex(run.getBigUint64(KVM_RUN.internal.data + i * 8, true)));
  return { suberror: run.getUint32(KVM_RUN.internal.suberror, true), data };
}
