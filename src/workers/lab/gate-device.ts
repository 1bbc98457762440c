// The port that the lab's guest reads its orders from: a device module on the vCPU's own thread, which sleeps there until there is one. The guest's results
// are in its block before it reads again. Vcpu threads.

import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import { ActorWords } from '../../../shared/lab/actor-words.ts';
import { LAB_RESULT } from '../../../shared/lab/control.ts';
import { OrderGate } from './order-gate.ts';

export function createDevice({ memory, vcpu }: DeviceContext): DeviceHandlers {
  const arena = memory.wasmMemory?.buffer;
  if (arena === undefined) throw new HypervisorError('ERR_STATE', "the lab's arena is a WebAssembly.Memory");
  const gate = new OrderGate(arena, vcpu);
  const { results } = new ActorWords(arena, vcpu);
  let isWorking = false;
  return {
    read(_offset, _size, access) {
      if (isWorking) {
        results[LAB_RESULT.GATE] = process.hrtime.bigint();
        gate.done();
      }
      isWorking = gate.next();
      // The first vCPU that hears of the end powers off for all.
      if (!isWorking) access.end('power-off');
      return isWorking ? 1 : 0;
    },
  };
}
