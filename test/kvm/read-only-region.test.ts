// A guest's write to a read-only region becomes an MMIO exit: a device there sees it, memory keeps its bytes, reads are memory's.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('read-only region');

const ROM = 0x100_0000;

const guest = code(
  [0xa1, 0x10, 0x00, 0x00, 0x01], //                               mov eax, [ROM + 0x10]
  [0xa3, 0x00, 0x20, 0x00, 0x00], //                               mov [0x2000], eax
  [0xc7, 0x05, 0x10, 0x00, 0x00, 0x01, 0xaa, 0x00, 0x00, 0x00], // mov dword ptr [ROM + 0x10], 0xaa
  [0xa1, 0x10, 0x00, 0x00, 0x01], //                               mov eax, [ROM + 0x10]
  [0xa3, 0x04, 0x20, 0x00, 0x00], //                               mov [0x2004], eax
  [0xf4], //                                                       hlt
);

const contents = new Uint8Array(new Uint32Array(1024).fill(0x600d_f00d).buffer);

test('the device sees the store, the bytes stay', async () => {
  const device = recorder({ mmio: { base: ROM, length: 0x1000 } });
  let seen: number[] = [];

  const result = await runGuest(
    guest,
    {
      mode: 32,
      devices: [device.device],
      onLoaded: vm => vm.memory.addRegion(ROM, 0x1000, { readOnly: true, contents }),
    },
    vm => {
      seen = [...words32(vm, 0x2000, 2), ...words32(vm, ROM + 0x10, 1)];
    },
  );

  assert.is(result.reason, 'halt');
  assert.equal(device.accesses, [{ op: 'write', offset: 0x10, size: 4, value: 0xaa }]);
  assert.equal(seen, [0x600d_f00d, 0x600d_f00d, 0x600d_f00d]);
});

test.run();
