// Compiles the freestanding guest to an ELF executable. Build time only; needs the C++ toolchain and nothing else
// (its driver compiles C and assembly as well).

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const inputs = readdirSync(here).filter(name => !name.endsWith('.ts'));

const flags = [
  ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror'],
  // No C library, no start files, no position independence: addresses are the ones in guest.ld.
  ['-ffreestanding', '-nostdlib', '-static', '-fno-pie', '-no-pie'],
  // Nothing that would need a kernel: no red zone below the stack pointer (interrupts), no FPU state, no canaries, no CET.
  ['-mno-red-zone', '-mgeneral-regs-only', '-fno-stack-protector', '-fcf-protection=none', '-fno-asynchronous-unwind-tables'],
  ['-Wl,--build-id=none', '-Wl,-z,max-page-size=4096'],
].flat();

/** Compiles to `outDir`/counter.elf, if that is not newer than every input. Returns its path. */
export async function buildGuest(outDir) {
  mkdirSync(outDir, { recursive: true });
  const target = join(outDir, 'counter.elf');
  const built = statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (inputs.every(name => statSync(join(here, name)).mtimeMs < built)) return target;
  const compiler = process.env['CXX'] ?? 'g++';
  const args = [...flags, '-T', 'guest.ld', '-o', target, '-x', 'c', 'guest.c', '-x', 'assembler-with-cpp', 'start.S'];
  const result = spawnSync(compiler, args, { cwd: here, encoding: 'utf8' });
  if (result.error) throw new Error(`${compiler}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${compiler} could not compile the guest:\n${result.stderr}`);
  return target;
}
