// Guests in a team of the lab: lock xadd in ring 3, Atomics.add in JavaScript and C threads on one word; the guest's clock against the host's.

import * as assert from 'uvu/assert';
import { openTeam } from '../../src/main/lab/actor-team.ts';
import { spanNs } from '../../src/main/lab/workloads/kernel-workload.ts';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';

const test = kvmSuite('lab guest');
const MIB = 1 << 20;
const guest = { kind: 'guest', index: 0 } as const;
const js = { kind: 'js', index: 0 } as const;
const c = { kind: 'c', index: 0 } as const;

test('lock xadd by a guest and Atomics.add by JavaScript on one word, contended: the sum over 10^8 is exact', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { guest: 1, js: 1 } });
  const { at } = team.data;
  const count = slowness > 1 ? 2_000_000 : 50_000_000;
  const results = await team.run([guest, js].map(actor => ({ actor, kernel: 'atomicAdd', params: [at, count] })));
  assert.equal(
    results.map(result => result.ops),
    [count, count],
  );
  assert.is(new Uint32Array(team.buffer, at, 1)[0], 2 * count);
});

test('a guest and a thread: when each began and ended is known on one clock', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { guest: 1, c: 1 } });
  const { at } = team.data;
  for (let i = 0; i < 10; i++) {
    const start = process.hrtime.bigint();
    const results = await team.run([guest, c].map(actor => ({ actor, kernel: 'atomicAdd', params: [at, 200_000] })));
    const elapsed = Number(process.hrtime.bigint() - start);
    const longest = Math.max(...results.map(({ ns }) => ns));
    assert.ok(
      longest <= spanNs(results) && spanNs(results) <= elapsed,
      `${longest}, ${spanNs(results)}, ${elapsed} ns`,
    );
  }
});

test('guest, C and JavaScript under one ticket lock', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { guest: 1, js: 1, c: 1 } });
  const { at } = team.data;
  // On two processors the third actor waits for its turn to run: few rounds are enough.
  const orders = [guest, js, c].map(actor => ({ actor, kernel: 'ticketLock' as const, params: [at, 50] }));
  await team.run(orders);
  assert.is(new Uint32Array(team.buffer, at + 128, 1)[0], 150);
});

test('what the guest reads, writes, copies and computes is what a C thread does', async () => {
  await using team = await openTeam({ bytes: 4 * MIB, counts: { guest: 1, c: 1 } });
  const { at } = team.data;
  const [guestAt, cAt, source] = [at, at + MIB, at + 2 * MIB];
  const doubles = new Float64Array(team.buffer, source, MIB / 8);
  doubles.forEach((_, i) => {
    doubles[i] = i / 3;
  });
  const part = (from: number) => new Uint8Array(team.buffer.slice(from, from + MIB));
  for (const [kernel, ...rest] of [
    ['write', MIB, 2, 0x1234_5678],
    ['copy', MIB, 2, source],
    ['triad', MIB, 2, source, source],
    ['random', MIB, 100_000, 77, 128],
    ['dirty', 256, 3, 7],
  ] as const) {
    const [ours, theirs] = await team.run([
      { actor: guest, kernel, params: [guestAt, ...rest] },
      { actor: c, kernel, params: [cAt, ...rest] },
    ]);
    assert.equal(ours?.values, theirs?.values, kernel);
    assert.is(Buffer.compare(part(guestAt), part(cAt)), 0, kernel);
  }
  for (const [kernel, ...rest] of [
    ['read', MIB, 3],
    ['strided', MIB, 3, 328],
  ] as const) {
    const orders = [guest, c].map(actor => ({ actor, kernel, params: [source, ...rest] }));
    const [ours, theirs] = await team.run(orders);
    assert.equal(ours?.values, theirs?.values, kernel);
  }
});

test("several guests; the guest's nanoseconds are the host's", async () => {
  await using team = await openTeam({ bytes: MIB, counts: { guest: 2 } });
  const { at } = team.data;
  const orders = [0, 1].map(index => ({
    actor: { kind: 'guest', index } as const,
    kernel: 'increment' as const,
    params: [at + index * 64, 20_000_000],
  }));
  const start = process.hrtime.bigint();
  const results = await team.run(orders);
  const elapsed = Number(process.hrtime.bigint() - start);
  assert.equal(
    results.map(result => result.values[1]),
    [20_000_000n, 20_000_000n],
  );
  for (const { ns } of results) assert.ok(ns > 0 && ns <= elapsed, `${ns} ns of ${elapsed}`);
  assert.ok(spanNs(results) <= elapsed, `${spanNs(results)} ns of ${elapsed}`);
  // One of them took most of the time that passed here: a clock at another rate would be seen.
  const longest = Math.max(...results.map(result => result.ns));
  assert.ok(longest > elapsed / 2, `${longest} ns of ${elapsed}`);
});

test('a guest that waits for nobody ends with the team', async () => {
  const team = await openTeam({ bytes: MIB, counts: { guest: 1 } });
  const run = team
    .run([{ actor: guest, kernel: 'spscPop', params: [team.data.at, 1, 64] }])
    .catch((error: { code?: unknown }) => error.code);
  await team[Symbol.asyncDispose]();
  assert.is(await run, 'ERR_DISPOSED');
});

test.run();
