// Firmware images: a PC BIOS below 4 GiB and in the last 128 KiB of the first mebibyte, started from the reset vector.
// Main thread. The devices that firmware cannot do without are in bios-devices.ts.

import { HypervisorError, invalidType, refuseUnknownKeys } from '../../../shared/errors.ts';
import { HOLE_END, hex, KIB, MIB } from '../../../shared/units.ts';
import { debugConsole } from '../devices/debug-console.ts';
import { keyboardReset } from '../devices/power.ts';
import { CmosDevice, HostBridge } from './bios-devices.ts';
import type { KvmImage } from './image.ts';
import { type ImageSource, imageSource } from './image-file.ts';
import { requireWritable } from './ranges.ts';

const DEBUG_PORT = 0x402;
const BIOS_MAX = 16 * MIB;
const BIOS_UNIT = 64 * KIB;
/** The piece that real-mode code sees below 1 MiB. */
const LEGACY_START = 0xe_0000;
const LEGACY_SIZE = 128 * KIB;

/** What the user of a BIOS can listen to. */
export interface BiosOptions {
  /** Each line that the firmware writes to its debug port 0x402, without the line's end. Main thread. */
  readonly onDebug?: (line: string) => void;
}

/**
 * A PC BIOS (a path or `file:` URL, read when the image is loaded; or bytes, copied now) of a multiple of 64 KiB up to
 * 16 MiB, such as SeaBIOS's `bios-256k.bin`. It lies read-only just below 4 GiB, and its last 128 KiB read-only at
 * 0xe0000 too, until the firmware unlocks them through the host bridge's PAM registers. vCPU 0 starts at the reset vector
 * in real mode, the others wait for INIT and SIPI. Needs at least 1 MiB of RAM.
 * It brings its devices: debug port 0x402, CMOS with the size of RAM and the number of vCPUs, a host bridge that knows PAM
 * and the reset register, the keyboard controller's reset line. A reset of the machine ends the VM with reason 'reset'.
 * An image is for one VM. A device of the user's on the ports of one of these takes its place.
 * Loading throws `ERR_IMAGE_READ`, `ERR_IMAGE_FORMAT`, `ERR_IMAGE_RANGE`, `ERR_MEMORY_OVERLAP`, or `ERR_STATE` the second time.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`.
 */
export function bios(fileOrBytes: ImageSource, options: BiosOptions = {}): KvmImage {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['onDebug'], 'bios()');
  const { onDebug } = options;
  if (onDebug !== undefined && typeof onDebug !== 'function')
    throw invalidType('options.onDebug', 'a function', onDebug);
  const source = imageSource(fileOrBytes, 'fileOrBytes', BIOS_MAX);
  let loaded = false;
  const cmos = new CmosDevice();
  const bridge = new HostBridge();
  return {
    engine: 'kvm',
    kind: 'bios',
    platform: 'pc',
    needsPic: true,
    devices: [debugConsole(DEBUG_PORT, onDebug ?? (() => {})), cmos, bridge, keyboardReset()],
    load: async ({ memory, vcpus }) => {
      if (loaded) {
        throw new HypervisorError(
          'ERR_STATE',
          'a BIOS image brings its devices, which belong to one VM: make one per VM',
        );
      }
      const bytes = await source.read();
      requireBios(bytes, source.name);
      const regions = memory.regions();
      const legacy = { start: LEGACY_START, end: LEGACY_START + LEGACY_SIZE, what: "the BIOS's copy below 1 MiB" };
      requireWritable(regions, legacy);
      requireWritable(regions, { start: 0, end: MIB, what: 'the first mebibyte' });
      cmos.describe(regions, vcpus);
      memory.addRegion(HOLE_END - bytes.byteLength, bytes.byteLength, { readOnly: true, contents: bytes });
      // A BIOS of 64 KiB fills only the upper half.
      const low = bytes.subarray(Math.max(0, bytes.byteLength - LEGACY_SIZE));
      memory.write(MIB - low.byteLength, low);
      memory.setReadOnly(LEGACY_START, LEGACY_SIZE, true);
      bridge.attach(memory);
      loaded = true;
      return Array.from({ length: vcpus }, (_, index) => ({ runnable: index === 0 }));
    },
  };
}

/** @throws HypervisorError `ERR_IMAGE_FORMAT` */
function requireBios(bytes: Uint8Array, name: string): void {
  if (bytes.byteLength === 0 || bytes.byteLength % BIOS_UNIT !== 0 || bytes.byteLength > BIOS_MAX) {
    throw new HypervisorError(
      'ERR_IMAGE_FORMAT',
      `${name}: a BIOS has a multiple of ${hex(BIOS_UNIT)} bytes, up to ${hex(BIOS_MAX)}; this has ${hex(bytes.byteLength)}`,
      { info: { field: 'file size', value: String(bytes.byteLength) } },
    );
  }
}
