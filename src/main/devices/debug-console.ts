// A port that prints: each byte written is one character (SeaBIOS and QEMU use port 0x402, Bochs 0xe9). Main thread.

import type { Device, DeviceValue } from '../../../shared/device.ts';
import { describeDevice } from '../../../shared/device-table.ts';
import { invalidType, refuseUnknownKeys } from '../../../shared/errors.ts';

/** A line that never ends is passed on in pieces. */
const LINE_MAX = 4096;
const NEWLINE = 0x0a;

export interface DebugConsoleOptions {
  /** What a read of the port answers; the debug port of QEMU answers its own number, 0xe9. Default 0xe9. */
  readonly answer?: number;
  readonly name?: string;
}

/** A debug console: the port as a device, and `flush()` for a last line without its end. */
export interface DebugConsole extends Device {
  flush(): void;
}

/**
 * Collects what the guest writes to `port` into lines, without their newline, and hands each to `onLine`. Bytes are taken as UTF-8, and
 * what is not is replaced. Wider accesses are their bytes, low one first.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE` for no port
 */
export function debugConsole(
  port: number,
  onLine: (line: string) => void,
  options: DebugConsoleOptions = {},
): DebugConsole {
  if (typeof onLine !== 'function') throw invalidType('onLine', 'a function', onLine);
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['answer', 'name'], 'debugConsole()');
  const { answer = 0xe9, name = 'debug console' } = options;
  const decoder = new TextDecoder();
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    const line = decoder.decode(Uint8Array.from(bytes));
    bytes = [];
    onLine(line);
  };
  const put = (byte: number): void => {
    if (byte !== NEWLINE) bytes.push(byte);
    else if (bytes.length === 0) onLine('');
    if (byte === NEWLINE || bytes.length >= LINE_MAX) flush();
  };
  const device: DebugConsole = {
    name,
    pio: { base: port, length: 1 },
    read: () => answer,
    write(_offset: number, size: number, value: DeviceValue): void {
      for (let i = 0; i < size; i++) put(Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
    },
    flush,
  };
  describeDevice(device);
  return device;
}
