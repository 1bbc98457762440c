// A vCPU's registers as text, for errors: one hex dump that says where the guest was. Runs on every thread; pure.

import { hex } from './units.ts';
import { CONTROL_NAMES, REG_NAMES, SEGMENT_NAMES } from './vcpu-codec.ts';
import type { Regs, Sregs } from './vcpu-state.ts';

const wide = (value: bigint): string => value.toString(16).padStart(16, '0');

/** Registers, segments, control registers and the bytes at rip (when they could be read). */
export function formatDump(regs: Regs, sregs: Sregs, code: Uint8Array | undefined): string {
  const lines: string[] = [];
  for (let i = 0; i < REG_NAMES.length; i += 4) {
    lines.push(
      REG_NAMES.slice(i, i + 4)
        .map(name => `${name.padEnd(6)} ${wide(regs[name])}`)
        .join('  '),
    );
  }
  for (const name of SEGMENT_NAMES) {
    const s = sregs[name];
    lines.push(
      `${name.padEnd(3)} ${hex(s.selector).padEnd(7)} base ${wide(s.base)} limit ${hex(s.limit).padEnd(10)} ` +
        `type ${hex(s.type)} dpl ${s.dpl} p ${s.present} db ${s.db} l ${s.l} g ${s.g}${s.unusable === 0 ? '' : ' unusable'}`,
    );
  }
  lines.push(
    `gdt base ${wide(sregs.gdt.base)} limit ${hex(sregs.gdt.limit)}  idt base ${wide(sregs.idt.base)} limit ${hex(sregs.idt.limit)}`,
  );
  lines.push(CONTROL_NAMES.map(name => `${name} ${hex(sregs[name])}`).join('  '));
  lines.push(
    `code at rip: ${code === undefined ? 'not mapped' : Array.from(code, byte => byte.toString(16).padStart(2, '0')).join(' ')}`,
  );
  return lines.join('\n');
}

/** The same as plain data for `error.info`. */
export function dumpInfo(regs: Regs, sregs: Sregs, code: Uint8Array | undefined): Record<string, unknown> {
  return { regs, sregs, code };
}
