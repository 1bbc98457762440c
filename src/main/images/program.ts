// Programs for engine 'host': a JavaScript or WebAssembly module that does a guest's work without KVM. Main thread.
// Only says where the program is; the vCPU's thread loads and runs it.

import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HypervisorError, invalidType } from '../../../shared/errors.ts';
import type { ProgramImage } from './image.ts';

/** The one function of WebAssembly's global that is needed here; the compiler's library has it with the browser's only. */
const { WebAssembly } = globalThis as unknown as { WebAssembly: { validate(bytes: Uint8Array): boolean } };

/**
 * A program for engine 'host': a JavaScript module (URL, or a string with a `file:` or `data:` URL or an absolute path), or
 * the bytes of a WebAssembly module (copied now). Every vCPU runs it once; `data` must be structured-clonable and reaches
 * each of them.
 * @throws TypeError `ERR_INVALID_ARG_TYPE`; HypervisorError `ERR_IMAGE_FORMAT` when the bytes are no valid WebAssembly.
 */
export function program(moduleUrlOrWasm: URL | string | Uint8Array, data?: unknown): ProgramImage {
  requireClonable(data);
  if (moduleUrlOrWasm instanceof Uint8Array) {
    const bytes = new Uint8Array(moduleUrlOrWasm);
    if (!WebAssembly.validate(bytes)) {
      throw new HypervisorError('ERR_IMAGE_FORMAT', `${bytes.byteLength} bytes are not a valid WebAssembly module`);
    }
    return { engine: 'host', kind: 'program', source: { type: 'wasm', bytes }, data };
  }
  return { engine: 'host', kind: 'program', source: { type: 'module', url: moduleUrl(moduleUrlOrWasm) }, data };
}

/** Refused here rather than when the VM is already half started. */
function requireClonable(data: unknown): void {
  try {
    structuredClone(data);
  } catch (cause) {
    throw Object.assign(invalidType('data', `structured-clonable (${(cause as Error).message})`, data), { cause });
  }
}

function moduleUrl(module: URL | string): string {
  if (typeof module === 'string' && isAbsolute(module)) return pathToFileURL(module).href;
  const url =
    module instanceof URL ? module : typeof module === 'string' && URL.canParse(module) ? new URL(module) : undefined;
  if (url === undefined || (url.protocol !== 'file:' && url.protocol !== 'data:')) {
    throw invalidType(
      'moduleUrlOrWasm',
      'a file: or data: URL, an absolute path, or the bytes of a WebAssembly module',
      module,
    );
  }
  return url.href;
}
