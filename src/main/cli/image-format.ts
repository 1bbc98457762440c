// Which loader an image file wants: by its first bytes, its name, and what a PC's reset vector looks like. Main thread.

import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GIB, KIB, MIB } from '../../../shared/units.ts';
import { bios } from '../images/bios.ts';
import type { StartMode, StartRing } from '../images/boot-state.ts';
import { elf } from '../images/elf.ts';
import { parseElf } from '../images/elf-headers.ts';
import { pvhEntry } from '../images/elf-notes.ts';
import { flat } from '../images/flat.ts';
import type { Image } from '../images/image.ts';
import { imageSource } from '../images/image-file.ts';
import { LINUX_CMDLINE, linux } from '../images/linux.ts';
import { program } from '../images/program.ts';
import { UsageError } from './values.ts';

export const FORMATS = ['auto', 'elf', 'flat', 'bios', 'linux', 'program'] as const;
export type Format = Exclude<(typeof FORMATS)[number], 'auto'>;

/** How the user wants the image started; undefined: the loader's default. */
export interface ImageOptions {
  readonly format: (typeof FORMATS)[number];
  readonly mode: StartMode | undefined;
  readonly cpl: StartRing | undefined;
  readonly at: number | undefined;
  readonly entry: number | undefined;
  readonly initrd: string | undefined;
  /** Comes after LINUX_CMDLINE: a kernel takes the last of two values. */
  readonly cmdline: string | undefined;
}

/** Where a boot sector goes, and where 32- and 64-bit kernels traditionally go. */
const DEFAULT_AT: Readonly<Record<StartMode, number>> = { 16: 0x7c00, 32: MIB, 64: MIB };

/**
 * Makes an image of the file at `path`; reads it here only where its bytes must be seen: a kernel has tens of megabytes, and its loader reads
 * them anyway. `onDebug` gets the lines of a BIOS's debug port.
 * @throws UsageError for options that the format does not have; the loaders' own errors.
 */
export async function openImage(path: string, options: ImageOptions, onDebug: (line: string) => void): Promise<Image> {
  const read = () => imageSource(path, 'image', GIB).read();
  const format = options.format === 'auto' ? detectFormat(await read(), path) : options.format;
  refuseMisplaced(format, options);
  switch (format) {
    case 'elf':
      return elf(path, options.cpl === undefined ? {} : { cpl: options.cpl });
    case 'bios':
      return bios(path, { onDebug });
    case 'linux':
      return linux({
        kernel: path,
        cmdline: [LINUX_CMDLINE, options.cmdline ?? ''].join(' ').trim(),
        ...(options.initrd === undefined ? {} : { initrd: options.initrd }),
      });
    case 'program': {
      const bytes = await read();
      return program(isWasm(bytes) ? bytes : pathToFileURL(resolve(path)));
    }
    case 'flat': {
      const mode = options.mode ?? 64;
      return flat(await read(), {
        mode,
        at: options.at ?? DEFAULT_AT[mode],
        ...(options.entry === undefined ? {} : { entry: options.entry }),
        ...(options.cpl === undefined ? {} : { cpl: options.cpl }),
      });
    }
  }
}

/** The magic of a bzImage's header, and where that is. */
const SETUP_MAGIC = [0x48, 0x64, 0x72, 0x53];
const SETUP_MAGIC_AT = 0x202;

/** A BIOS is 64 KiB to 16 MiB in steps of 64 KiB and has a jump 16 bytes before its end: there the processor starts. */
export function detectFormat(bytes: Uint8Array, path: string): Format {
  if (startsWith(bytes, [0x7f, 0x45, 0x4c, 0x46])) return hasPvhEntry(bytes, path) ? 'linux' : 'elf';
  if (startsWith(bytes.subarray(SETUP_MAGIC_AT), SETUP_MAGIC)) return 'linux';
  if (isWasm(bytes) || ['.js', '.mjs', '.cjs'].includes(extname(path))) return 'program';
  const jump = bytes[bytes.byteLength - 16];
  const biosSize = bytes.byteLength > 0 && bytes.byteLength % (64 * KIB) === 0 && bytes.byteLength <= 16 * MIB;
  return biosSize && (jump === 0xea || jump === 0xe9 || jump === 0xeb) ? 'bios' : 'flat';
}

/** By PVH's note one tells a kernel from other executables. What is no executable at all is for the loader of those to refuse. */
function hasPvhEntry(bytes: Uint8Array, path: string): boolean {
  try {
    return pvhEntry(bytes, parseElf(bytes, path), path) !== undefined;
  } catch {
    return false;
  }
}

function refuseMisplaced(format: Format, options: ImageOptions): void {
  const allowed: Readonly<Record<Format, readonly string[]>> = {
    elf: ['cpl'],
    flat: ['mode', 'cpl', 'at', 'entry'],
    bios: [],
    linux: ['initrd', 'cmdline'],
    program: [],
  };
  for (const name of ['mode', 'cpl', 'at', 'entry', 'initrd', 'cmdline'] as const) {
    if (options[name] !== undefined && !allowed[format].includes(name)) {
      throw new UsageError(`--${name} has no meaning for an image of format ${format}`);
    }
  }
}

const isWasm = (bytes: Uint8Array) => startsWith(bytes, [0x00, 0x61, 0x73, 0x6d]);

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}
