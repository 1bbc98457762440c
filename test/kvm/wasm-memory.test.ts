// Guest RAM that is a shared WebAssembly.Memory: guest, JavaScript and WebAssembly do atomic adds on the same word, none is lost.

import * as assert from 'uvu/assert';
import { at, code, jump, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { END, loadGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('WebAssembly memory');

/** What of WebAssembly is used here: the DOM's types are not part of this project. */
interface WasmApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: { add(addr: number, amount: number): number } };
}
const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WasmApi };

const COUNTER = 0x2000;
const GUEST_ADDS = 100_000;
const HOST_ADDS = 50_000;

const guest = code(
  [0xb9, ...le32(GUEST_ADDS)], //                            mov ecx, GUEST_ADDS
  at('again'),
  [0xb8, 0x03, 0x00, 0x00, 0x00], //                         mov eax, 3
  [0xf0, 0x0f, 0xc1, 0x04, 0x25, 0x00, 0x20, 0x00, 0x00], // lock xadd [COUNTER], eax
  [0xff, 0xc9], //                                           dec ecx
  jump(0x75, 'again'), //                                    jnz again
  [0xe7, END], //                                            out END, eax
);

/** A WebAssembly module: imports env.memory (shared), exports add(address, amount) → the value before. */
const adder = Uint8Array.from(
  [
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], //            magic, version 1
    [0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f], //      type 0: (i32, i32) → i32
    [0x02, 0x12, 0x01], //                                          one import
    [0x03, 0x65, 0x6e, 0x76, 0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79], // "env" "memory"
    [0x02, 0x03, 0x01, 0x80, 0x80, 0x04], //                        a shared memory of 1 to 65536 pages
    [0x03, 0x02, 0x01, 0x00], //                                    function 0 has type 0
    [0x07, 0x07, 0x01, 0x03, 0x61, 0x64, 0x64, 0x00, 0x00], //      export "add" = function 0
    [0x0a, 0x0c, 0x01, 0x0a, 0x00], //                              its code, no locals:
    [0x20, 0x00, 0x20, 0x01], //                                    local.get 0, local.get 1
    [0xfe, 0x1e, 0x02, 0x00], //                                    i32.atomic.rmw.add align=4 offset=0
    [0x0b], //                                                      end
  ].flat(),
);

test('lock xadd, Atomics.add and i32.atomic.rmw.add on one word: the sum is exact', async () => {
  await using vm = await loadGuest(guest, { mode: 64, cpl: 3, memory: { size: 4 << 20, backing: 'wasm' } });
  const memory = vm.memory.wasmMemory;
  const { add } = new WebAssembly.Instance(new WebAssembly.Module(adder), { env: { memory } }).exports;
  const words = new Int32Array(memory?.buffer as SharedArrayBuffer, COUNTER, 1);

  await vm.start();
  for (let i = 0; i < HOST_ADDS; i++) {
    add(COUNTER, 5);
    Atomics.add(words, 0, 7);
  }
  await vm.finished;

  const sum = GUEST_ADDS * 3 + HOST_ADDS * (5 + 7);
  assert.is(words[0], sum);
  assert.is(add(COUNTER, 0), sum);
  assert.equal(words32(vm, COUNTER, 1), [sum]);
});

test.run();
