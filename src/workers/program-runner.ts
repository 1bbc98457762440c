// Loads a program of the host engine, a JavaScript module or a WebAssembly one, into something that can be run. vCPU thread.
// WebAssembly imports: env.memory (the guest's RAM itself, a shared memory), and kvm.{out, in, mmio_read, mmio_write, vcpu, vcpus,
// halt, checkpoint}. It exports run() or _start().

import { HypervisorError, isHypervisorError, messageOf } from '../../shared/errors.ts';
import type { WasmMemory } from '../../shared/memory-layout.ts';
import type { ProgramContext, ProgramModule } from '../../shared/program.ts';
import type { ProgramSetup } from '../../shared/protocol.ts';

/** WebAssembly as far as it is used here: the compiler's library has its types with the browser's only. */
interface WasmApi {
  compile(bytes: Uint8Array): Promise<object>;
  instantiate(module: object, imports: object): Promise<{ readonly exports: Readonly<Record<string, unknown>> }>;
  readonly Module: { imports(module: object): { readonly kind: string }[] };
}
const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WasmApi };

export type Runnable = (context: ProgramContext) => void | Promise<void>;

/** @throws `ERR_PROGRAM` for a module that cannot be loaded or exports nothing to run; `ERR_ENGINE` for one without its memory. */
export async function loadProgram(setup: ProgramSetup, memory: WasmMemory | undefined): Promise<Runnable> {
  const { source } = setup;
  try {
    return source.type === 'module' ? await loadModule(source.url) : await loadWasm(source.bytes, memory);
  } catch (cause) {
    if (isHypervisorError(cause)) throw cause;
    throw new HypervisorError('ERR_PROGRAM', `the program did not load: ${messageOf(cause)}`, { cause });
  }
}

async function loadModule(url: string): Promise<Runnable> {
  const module: Partial<ProgramModule> = await import(url);
  const { run } = module;
  if (typeof run !== 'function') throw new TypeError(`${url} exports no function run`);
  return context => run(context);
}

async function loadWasm(bytes: Uint8Array, memory: WasmMemory | undefined): Promise<Runnable> {
  // A copy: compile() refuses shared memory, and the bytes may come from a mapped file.
  const module = await WebAssembly.compile(new Uint8Array(bytes));
  const needsMemory = WebAssembly.Module.imports(module).some(({ kind }) => kind === 'memory');
  if (needsMemory && memory === undefined) {
    throw new HypervisorError(
      'ERR_ENGINE',
      "the WebAssembly program imports its memory: create the VM with memory: { size, backing: 'wasm' }",
    );
  }
  return async context => {
    const kvm = {
      out: (port: number, size: number, value: number): void => context.out(port, size, value >>> 0),
      in: (port: number, size: number): number => context.in(port, size),
      mmio_read: (addr: bigint, size: number): bigint => BigInt(context.mmioRead(BigInt.asUintN(64, addr), size)),
      mmio_write: (addr: bigint, size: number, value: bigint): void =>
        context.mmioWrite(BigInt.asUintN(64, addr), size, BigInt.asUintN(64, value)),
      vcpu: (): number => context.vcpu,
      vcpus: (): number => context.vcpus,
      halt: (): void => context.halt(),
      checkpoint: (): void => context.checkpoint(),
    };
    const instance = await WebAssembly.instantiate(module, { env: memory === undefined ? {} : { memory }, kvm });
    const entry = instance.exports['run'] ?? instance.exports['_start'];
    if (typeof entry !== 'function') throw new TypeError('the WebAssembly program exports neither run nor _start');
    entry();
  };
}
