// A team of threads: JavaScript and C actors work on the same bytes, start together, report what they did; what goes wrong has a code.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openTeam } from '../../src/main/lab/actor-team.ts';
import { spanNs } from '../../src/main/lab/workloads/kernel-workload.ts';

const test = suite('lab team');
const MIB = 1 << 20;
const NONE = { js: 0, wasm: 0, guest: 0, c: 0 };

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return 'no error';
}

test('JavaScript and C add to one word at the same time: the sum is exact, and everybody says how much it did', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 1, c: 1 } });
  const count = 1_000_000;
  const { at } = team.data;
  const results = await team.run([
    { actor: { kind: 'js', index: 0 }, kernel: 'atomicAdd', params: [at, count] },
    { actor: { kind: 'c', index: 0 }, kernel: 'atomicAdd', params: [at, count], cpu: 0 },
  ]);
  assert.equal(
    results.map(result => result.ops),
    [count, count],
  );
  assert.ok(results.every(result => result.ns > 0));
  assert.is(new Uint32Array(team.buffer, at, 1)[0], 2 * count);
});

test('when actors began and ended is told on one clock', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 1, c: 1 } });
  const { at } = team.data;
  for (let i = 0; i < 10; i++) {
    const begin = process.hrtime.bigint();
    const results = await team.run([
      { actor: { kind: 'js', index: 0 }, kernel: 'atomicAdd', params: [at, 100_000] },
      { actor: { kind: 'c', index: 0 }, kernel: 'atomicAdd', params: [at, 100_000] },
    ]);
    const elapsed = Number(process.hrtime.bigint() - begin);
    const longest = Math.max(...results.map(({ ns }) => ns));
    assert.ok(
      longest <= spanNs(results) && spanNs(results) <= elapsed,
      `${longest}, ${spanNs(results)}, ${elapsed} ns`,
    );
  }
});

test('what one actor wrote, the other sums up; repetitions follow each other', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 1, c: 1 } });
  const { at, bytes } = team.data;
  const words = BigInt(bytes / 8);
  for (let value = 1; value <= 20; value++) {
    const [writer, reader] = value % 2 === 0 ? (['js', 'c'] as const) : (['c', 'js'] as const);
    await team.run([{ actor: { kind: writer, index: 0 }, kernel: 'write', params: [at, bytes, 1, value] }]);
    const [sum] = await team.run([{ actor: { kind: reader, index: 0 }, kernel: 'read', params: [at, bytes, 2] }]);
    assert.is(sum?.values[1], BigInt.asUintN(64, words * (BigInt(value) * 0x1_0000_0001n)));
    assert.is(sum?.ops, Number(words) * 2);
  }
});

test('JavaScript, WebAssembly and C do the same work', async () => {
  const kinds = ['js', 'wasm', 'c'] as const;
  await using team = await openTeam({ bytes: 8 * MIB, counts: { js: 1, wasm: 1, c: 1 } });
  const { at } = team.data;
  const [b, c] = [at + 4 * MIB, at + 5 * MIB];
  const doubles = new Float64Array(team.buffer, b, (2 * MIB) / 8);
  doubles.forEach((_, i) => {
    doubles[i] = Math.sin(i);
  });
  const part = (index: number) => new Uint8Array(team.buffer.slice(at + index * MIB, at + (index + 1) * MIB));
  for (const [kernel, ...rest] of [
    ['write', MIB, 3, 0x89ab_cdef],
    ['copy', MIB, 2, b],
    ['read', MIB, 3],
    ['strided', MIB, 3, 88],
    ['random', MIB, 100_000, 4_000_000_000, 60],
    ['triad', MIB, 2, b, c],
    ['dirty', 256, 3, 7],
    ['increment', 1000],
    ['casAdd', 1000],
  ] as const) {
    const orders = kinds.map((kind, i) => ({
      actor: { kind, index: 0 },
      kernel,
      params: [at + i * MIB, ...rest],
    }));
    const [js, wasm, native] = await team.run(orders);
    assert.ok((native?.ops ?? 0) > 0, kernel);
    assert.equal(js?.values, native?.values, `${kernel}: js`);
    assert.equal(wasm?.values, native?.values, `${kernel}: wasm`);
    assert.is(Buffer.compare(part(0), part(2)), 0, `${kernel}: js`);
    assert.is(Buffer.compare(part(1), part(2)), 0, `${kernel}: wasm`);
  }
});

test('queues of one kind are queues of the others: JavaScript, WebAssembly and C producers and consumers', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 1, wasm: 1, c: 1 } });
  const { at } = team.data;
  const [slots, count] = [64, 2000];
  const cells = new Uint32Array(team.buffer, at + 128, 2 * slots);
  for (let i = 0; i < slots; i++) cells[2 * i] = i;
  const kinds = ['js', 'wasm', 'c'] as const;
  for (const consumer of kinds) {
    const results = await team.run(
      kinds.map(kind => ({
        actor: { kind, index: 0 },
        kernel: kind === consumer ? ('mpmcPop' as const) : ('mpmcPush' as const),
        params: [at, kind === consumer ? 2 * count : count, slots],
      })),
    );
    const sums = results.map(result => Number(result.values[1]));
    assert.equal(
      sums,
      kinds.map(kind => (kind === consumer ? count * (count + 1) : (count * (count + 1)) / 2)),
    );
  }
});

test('an actor that has no order sleeps: its block stays as it is', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 2 } });
  const { at } = team.data;
  const [result] = await team.run([{ actor: { kind: 'js', index: 1 }, kernel: 'increment', params: [at, 7] }]);
  assert.is(result?.values[1], 7n);
  assert.is(new Uint32Array(team.buffer, at, 1)[0], 7);
});

test('more actors than processors meet at the barrier all the same', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 3, c: 3 } });
  const { at } = team.data;
  const orders = (['js', 'c'] as const).flatMap(kind =>
    [0, 1, 2].map(index => ({ actor: { kind, index }, kernel: 'ticketLock' as const, params: [at, 20], cpu: 0 })),
  );
  for (let round = 1; round <= 3; round++) {
    await team.run(orders);
    assert.is(new Uint32Array(team.buffer, at + 128, 1)[0], round * 6 * 20);
  }
});

test('the clock overhead of every kind is known, and subtracted', async () => {
  await using team = await openTeam({ bytes: 0, counts: { js: 1, c: 1 } });
  assert.equal(Object.keys(team.clockNs).sort(), ['c', 'js']);
  assert.ok(Object.values(team.clockNs).every(ns => ns > 0 && ns < 100_000));
});

test('orders that make no sense change nothing, and the team goes on', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 1 } });
  const { at, bytes } = team.data;
  const actor = { kind: 'js', index: 0 } as const;
  const good = { actor, kernel: 'write', params: [at, 64, 1, 5] } as const;
  const bad = [
    [],
    [good, good],
    [{ ...good, actor: { kind: 'js', index: 1 } as const }],
    [{ ...good, actor: { kind: 'guest', index: 0 } as const }],
    [{ ...good, params: [at, bytes + 8, 1, 5] }],
    [{ ...good, params: [at + 4, 64, 1, 5] }],
    [{ ...good, params: [-1, 64, 1, 5] }],
    [{ ...good, kernel: 'random' as const, params: [at, 100, 1, 5] }],
    [{ ...good, kernel: 'nothing' as 'read' }],
    [{ ...good, cpu: -1 }],
  ];
  for (const orders of bad) assert.is(await codeOf(team.run(orders)), 'ERR_OUT_OF_RANGE', JSON.stringify(orders));
  assert.equal([...new Uint8Array(team.buffer, at, 64)], new Array(64).fill(0));
  assert.is((await team.run([good]))[0]?.ops, 8);
});

test('one repetition at a time', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 1 } });
  const order = { actor: { kind: 'js', index: 0 }, kernel: 'read', params: [team.data.at, MIB, 50] } as const;
  const first = team.run([order]);
  assert.is(await codeOf(team.run([order])), 'ERR_STATE');
  await first;
});

test('an actor that fails makes the run fail and the team useless; those that wait for it go free', async () => {
  await using team = await openTeam({ bytes: MIB, counts: { js: 1, c: 1 } });
  const { at } = team.data;
  // A processor that no machine has: the thread can't be pinned.
  const orders = [
    { actor: { kind: 'c', index: 0 }, kernel: 'atomicAdd', params: [at, 1] },
    { actor: { kind: 'js', index: 0 }, kernel: 'atomicAdd', params: [at, 1], cpu: 1023 },
  ] as const;
  assert.is(await codeOf(team.run(orders)), 'ERR_LAB_ACTOR');
  assert.is(await codeOf(team.run([orders[0]])), 'ERR_LAB_ACTOR');
});

test('a consumer without a producer ends with the team', async () => {
  const team = await openTeam({ bytes: MIB, counts: { js: 1, c: 1 } });
  const { at } = team.data;
  const waiting = (['js', 'c'] as const).map((kind, i) => ({
    actor: { kind, index: 0 },
    kernel: 'spscPop' as const,
    params: [at + i * 4096, 1, 64],
  }));
  const run = codeOf(team.run(waiting));
  await team[Symbol.asyncDispose]();
  assert.is(await run, 'ERR_DISPOSED');
  assert.is(await codeOf(team.run(waiting)), 'ERR_DISPOSED');
});

test('impossible teams', async () => {
  assert.is(await codeOf(openTeam({ bytes: MIB, counts: NONE })), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(openTeam({ bytes: MIB, counts: { js: 33 } })), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(openTeam({ bytes: MIB, counts: { js: 1.5 } })), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(openTeam({ bytes: 3 * 1024 * MIB, counts: { js: 1 } })), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(openTeam({ bytes: -1, counts: { js: 1 } })), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(openTeam({ bytes: MIB, counts: { python: 1 } as object })), 'ERR_UNKNOWN_OPTION');
});

test.run();
