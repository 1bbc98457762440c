// Devices of the guest that live on the vCPU's own thread: they answer without waking the main thread, and share words.
// A device module: `deviceModule(new URL('./guest/devices.js', import.meta.url), …)`.

import type { DeviceContext, DeviceHandlers } from 'node-kvm';

/** Words of the exit device: per vCPU the number of writes, and nanoseconds from the first to the last of them. */
export const EXIT_WORDS = { writes: 0, nanoseconds: 1, stride: 2 } as const;

export function createDevice(context: DeviceContext): DeviceHandlers {
  if (context.state === undefined) throw new TypeError(`device ${context.name} needs shared words`);
  return context.name === 'doorbell' ? doorbell(context.state) : exitMeter(context.state, context.vcpu);
}

/** A write is the number of the ring: it goes into the word, and whoever waits for the word wakes up. */
function doorbell(state: SharedArrayBuffer): DeviceHandlers {
  const word = new Int32Array(state, 0, 1);
  return {
    write(_offset, _size, value) {
      Atomics.store(word, 0, Number(value));
      Atomics.notify(word, 0);
    },
  };
}

/** Counts writes; the guest writes 1 before the first and 2 after the last one that it measures. */
function exitMeter(state: SharedArrayBuffer, vcpu: number): DeviceHandlers {
  const words = new Float64Array(state, vcpu * EXIT_WORDS.stride * 8, EXIT_WORDS.stride);
  let begin = 0;
  let writes = 0;
  return {
    write(_offset, _size, value) {
      writes += 1;
      if (value === 1) begin = performance.now();
      if (value !== 2) return;
      words[EXIT_WORDS.writes] = writes;
      words[EXIT_WORDS.nanoseconds] = (performance.now() - begin) * 1e6;
    },
  };
}
