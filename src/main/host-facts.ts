// Facts about the machine that probes and their readers share: what kind of KVM this is, and how an answer looks. Any thread; no native code.

import { existsSync, readFileSync } from 'node:fs';

/** Hardware (or paravirtual) virtualization behind /dev/kvm. */
export type KvmKind = 'vmx' | 'svm' | 'pvm' | 'unknown';

/** A yes with its facts, or a no with its reason. */
export interface Availability {
  readonly available: boolean;
  /** What it rests on, or why not, in a sentence. */
  readonly reason: string;
}

/** By the module that is loaded or, where KVM is built in, by what the processor says. */
export function kvmKind(): KvmKind {
  if (existsSync('/sys/module/kvm_pvm')) return 'pvm';
  if (existsSync('/sys/module/kvm_intel')) return 'vmx';
  if (existsSync('/sys/module/kvm_amd')) return 'svm';
  const flags = /^flags\s*:(.*)$/m.exec(textOf('/proc/cpuinfo'))?.[1]?.split(' ') ?? [];
  if (flags.includes('vmx')) return 'vmx';
  if (flags.includes('svm')) return 'svm';
  return 'unknown';
}

/** A file of /proc or /sys; '' where there is none. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
