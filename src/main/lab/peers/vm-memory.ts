// rust-vmm's vm-memory as a peer: finds Debian's crate and cargo, compiles a small program against them, offline and once, into the user's
// cache, and drives it. Main thread.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HypervisorError, messageOf } from '../../../../shared/errors.ts';
import { findProgram, searchPath } from './find-program.ts';
import { LineProcess } from './line-process.ts';
import source from './vm-memory.rs' with { type: 'text' };

/** Where Debian's librust-* packages put crates: a "directory source" of cargo's. */
const REGISTRY = '/usr/share/cargo/registry';
const HOW_TO_GET_IT = 'apt-get install librust-vm-memory-dev cargo';
const NAME = 'vm-memory-peer';

const MANIFEST = `[package]
name = "${NAME}"
version = "0.0.0"
edition = "2021"

[dependencies]
vm-memory = { version = "*", features = ["backend-mmap", "backend-bitmap"] }

[profile.release]
lto = true
codegen-units = 1
`;

const CONFIG = `[source.crates-io]
replace-with = "installed"

[source.installed]
directory = "${REGISTRY}"
`;

/** What is installed; or why there is no such peer, with how to get it. */
export type VmMemoryCrate =
  | { readonly found: true; readonly cargo: string; readonly crate: string }
  | { readonly found: false; readonly reason: string };

/** Looks for the crate and for cargo, in `registry` and in the folders of `path`. */
export function findVmMemory(registry = REGISTRY, path = searchPath()): VmMemoryCrate {
  const crate = foldersOf(registry).find(name => /^vm-memory-\d/.test(name));
  if (crate === undefined) {
    return { found: false, reason: `not installed: no vm-memory in ${registry} (${HOW_TO_GET_IT})` };
  }
  const cargo = findProgram('cargo', path);
  if (cargo === undefined) return { found: false, reason: `not installed: no cargo in PATH (${HOW_TO_GET_IT})` };
  return { found: true, cargo, crate };
}

function foldersOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** 'vm-memory-0.10.0' → the name of its column. */
export const columnOf = (crate: string) => crate.replace(/^vm-memory-/, 'vm-memory ');

let building: Promise<string> | undefined;

/**
 * The program's path; compiles it if it is not in the cache ($XDG_CACHE_HOME or ~/.cache), which takes some seconds. cargo itself looks whether there
 * is anything to do, and keeps other processes' builds apart. @throws `ERR_LAB_ACTOR` with cargo's message
 */
function build(cargo: string, crate: string): Promise<string> {
  building ??= compile(cargo, crate);
  return building;
}

async function compile(cargo: string, crate: string): Promise<string> {
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const hash = createHash('sha256').update([cargo, crate, MANIFEST, CONFIG, source].join('\0'));
  const folder = join(cache, 'node-kvm', `${NAME}-${hash.digest('hex').slice(0, 16)}`);
  try {
    mkdirSync(join(folder, 'src'), { recursive: true });
    mkdirSync(join(folder, '.cargo'), { recursive: true });
    writeIfOther(join(folder, 'Cargo.toml'), MANIFEST);
    writeIfOther(join(folder, '.cargo/config.toml'), CONFIG);
    writeIfOther(join(folder, 'src/main.rs'), source);
    // The target folder is named: the user's configuration may put it elsewhere.
    const target = join(folder, 'target');
    await promisify(execFile)(cargo, ['build', '--release', '--offline', '--target-dir', target], { cwd: folder });
    return join(target, 'release', NAME);
  } catch (cause) {
    const said = String((cause as { stderr?: unknown }).stderr ?? messageOf(cause)).trim();
    throw new HypervisorError('ERR_LAB_ACTOR', `cargo did not build the vm-memory peer in ${folder}: ${said}`, {
      cause,
    });
  }
}

/** cargo goes by times of files: one that is written again is compiled again. */
function writeIfOther(path: string, text: string): void {
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
}

/** What the program does with its memory; see its source. */
export type MemoryOperation = 'write' | 'read' | 'write-obj' | 'read-obj';

/** Guest memory of vm-memory's, in a process of its own. */
export class VmMemoryPeer implements AsyncDisposable {
  readonly #process: LineProcess;

  /** `tracked`: with its AtomicBitmap. @throws `ERR_LAB_ACTOR` */
  static async open(
    { cargo, crate }: { readonly cargo: string; readonly crate: string },
    { bytes, tracked }: { readonly bytes: number; readonly tracked: boolean },
  ): Promise<VmMemoryPeer> {
    const peer = new VmMemoryPeer(new LineProcess(await build(cargo, crate)));
    try {
      await peer.#process.ask(`open ${bytes} ${tracked ? 1 : 0}`);
      return peer;
    } catch (error) {
      await peer[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(process: LineProcess) {
    this.#process = process;
  }

  /** All of the memory `passes` times over, in blocks of `block` bytes. Nanoseconds, and the sum of the last pass. */
  async run(operation: MemoryOperation, block: number, passes: number): Promise<{ ns: number; sum: number }> {
    const line = await this.#process.ask(`run ${operation} ${block} ${passes}`);
    const [ns = Number.NaN, sum = Number.NaN] = line.split(' ').map(Number);
    return { ns, sum };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process[Symbol.asyncDispose]();
  }
}
