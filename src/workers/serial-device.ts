// The device module of a VM's serial port: its registers on each vCPU's own thread. vCPU threads; the far side is src/main/devices/serial.ts.

import { native } from '../../native/index.ts';
import type { DeviceContext, DeviceHandlers } from '../../shared/device.ts';
import { SerialRegisters } from '../../shared/devices/serial-registers.ts';
import { SERIAL_EVENT, SerialWords } from '../../shared/devices/serial-words.ts';

export function createDevice({ name, state }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new TypeError(`'${name}' has no state`);
  const words = new SerialWords(state);
  const event = native().attachEventFd(words.times[SERIAL_EVENT] ?? 0);
  const registers = new SerialRegisters({
    words,
    interrupt: { raise: () => event.signal() },
    now: () => Number(process.hrtime.bigint()),
  });
  return {
    read: (offset, size) => registers.read(offset, size),
    write: (offset, size, value) => registers.write(offset, size, value),
    close: () => event.close(),
  };
}
