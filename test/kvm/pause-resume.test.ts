// Pause and resume under load, hundreds of times: no kick is lost, nothing runs while paused, everything goes on afterwards.

import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { loadGuest, recorder, until } from '../run-guest.ts';
import { repeats, slowness } from '../slowness.ts';
import { counters, startSpinning, untilAllMoved } from '../spinning-guest.ts';

const test = kvmSuite('pause and resume');

/** A kick takes some 30 µs. Without it only the heartbeat (every 200 ms) would take a vCPU out of the guest. */
const LOST_KICK_MS = 60 * slowness;

const ROUNDS = repeats(150);

for (const cpl of [0, 3] as const) {
  test(`ring ${cpl}: counters stand still while paused and go on after, ${ROUNDS} times`, async () => {
    await using vm = await startSpinning({ cpl });
    let slow = 0;

    for (let round = 0; round < ROUNDS; round++) {
      const begin = performance.now();
      await vm.pause();
      slow += Number(performance.now() - begin > LOST_KICK_MS);
      const paused = counters(vm);
      await sleep(1);
      assert.equal(counters(vm), paused);
      await vm.resume();
      await untilAllMoved(vm, paused);
    }

    assert.ok(slow <= ROUNDS / 20, `${slow} of ${ROUNDS} pauses took longer than ${LOST_KICK_MS} ms`);
  });
}

test('pause and resume back to back, without waiting for the guest', async () => {
  await using vm = await startSpinning();

  for (let round = 0; round < repeats(300); round++) {
    await vm.pause();
    await vm.resume();
  }

  await untilAllMoved(vm, counters(vm));
});

test('pauses and resumes that nobody waits for take effect in the order in which they were called', async () => {
  await using vm = await startSpinning();

  await Promise.all([vm.pause(), vm.resume(), vm.pause()]);
  const paused = counters(vm);
  await sleep(5);
  assert.is(vm.state, 'paused');
  assert.equal(counters(vm), paused);

  await Promise.all([vm.resume(), vm.pause(), vm.resume()]);
  assert.is(vm.state, 'running');
  await untilAllMoved(vm, paused);
});

const storm = code(
  at('again'),
  [0xe7, 0x10], //          out 0x10, eax
  [0xff, 0xc0], //          inc eax
  jump(0xeb, 'again'), //   jmp again
);

test('no exit is lost or repeated when pauses fall into a storm of exits to the main thread', async () => {
  const port = recorder({ pio: { base: 0x10, length: 4 } });
  await using vm = await loadGuest(storm, { mode: 64, devices: [port.device] });
  await vm.start();

  for (let round = 0; round < repeats(100); round++) {
    await vm.pause();
    const paused = port.written.length;
    await sleep(1);
    assert.is(port.written.length, paused);
    await vm.resume();
    await until(() => port.written.length > paused, 'the storm goes on');
  }

  await vm.stop();
  assert.ok(port.written.every((value, index) => value === index));
});

test.run();
