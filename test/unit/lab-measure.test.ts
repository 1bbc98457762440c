// The engine that measures a group: it finds the scale, warms up, takes turns, relates visits to those of the baseline, ends early in order and closes
// what it opened. Variants are made up: what their repetitions take is given.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { measureGroup, rowId, type Sampling } from '../../src/main/lab/measure.ts';
import { seededRandom } from '../../src/main/lab/statistics.ts';
import type { OpenVariant, Sample, Variant } from '../../src/main/lab/workload.ts';
import { codeOf } from '../errors.ts';
import { normal } from '../lab-noise.ts';

const test = suite('lab measure');

const SAMPLING: Sampling = { seed: 5, visits: 6, extraVisits: 0, repetitions: 3, repetitionMs: 2 };
/** A machine on which nothing else happens: what this one does meanwhile is not what is tested. */
const quiet = { progress: () => {}, readTimes: () => ({ total: 0, stolen: 0, others: 0 }) };

/** One variant's side: says who repeated, in the order of all sides that share the log. */
class Fake implements OpenVariant {
  lastNs = 1;
  closed = 0;
  readonly scales: number[] = [];
  readonly #sample: (repetition: number, scale: number) => Sample;
  readonly #nsOf: (scale: number, repetition: number) => number;
  readonly #tell: () => void;

  constructor(
    sample: (repetition: number, scale: number) => Sample,
    {
      nsOf = scale => scale * 1000,
      tell = () => {},
    }: { nsOf?: (scale: number, repetition: number) => number; tell?: () => void } = {},
  ) {
    this.#sample = sample;
    this.#nsOf = nsOf;
    this.#tell = tell;
  }

  async repeat(scale: number): Promise<Sample> {
    this.#tell();
    this.scales.push(scale);
    const repetition = this.scales.length - 1;
    this.lastNs = this.#nsOf(scale, repetition);
    return this.#sample(repetition, scale);
  }

  async [Symbol.asyncDispose]() {
    this.closed += 1;
  }
}

function variantOf(own: Fake, extra: Partial<Variant> = {}): Variant {
  return {
    suite: 'fake',
    workload: 'none',
    actors: 'js:1',
    count: 1,
    parameters: {},
    unit: 'Mops/s',
    better: 'higher',
    open: async () => own,
    ...extra,
  };
}

/** What a promise must reject with. */
const messageFrom = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error: Error) => error.message,
  );

const steady = (value: number) => () => ({ value });

test('the id names suite, workload, actors and parameters', () => {
  const own = new Fake(steady(1));
  assert.is(rowId(variantOf(own)), 'fake/none/js:1');
  assert.is(
    rowId(variantOf(own, { parameters: { bytes: 4096, stride: '64' } })),
    'fake/none/js:1/bytes=4096,stride=64',
  );
});

test('rows come in the order of the variants, with as many visits and repetitions as asked for', async () => {
  const variants = ['js:1', 'js:2', 'c:1'].map((actors, index) =>
    variantOf(new Fake(steady(index + 1)), { actors, parameters: { size: 1 } }),
  );
  const rows = await measureGroup(variants, SAMPLING, quiet);
  assert.equal(
    rows.map(({ id, value }) => [id, value.median, value.visits.length]),
    [
      ['fake/none/js:1/size=1', 1, 6],
      ['fake/none/js:2/size=1', 2, 6],
      ['fake/none/c:1/size=1', 3, 6],
    ],
  );
  for (const { value, baseline, ratio, peers, latency, doubts } of rows) {
    assert.ok(value.visits.every(visit => visit.length === 3));
    assert.equal([baseline, ratio, peers, latency], [undefined, undefined, undefined, undefined]);
    assert.equal(doubts, []);
  }
});

test('the scale is found by which a repetition takes the time asked for', async () => {
  const own = new Fake(steady(1), { nsOf: scale => scale * 700 });
  await measureGroup([variantOf(own)], SAMPLING, quiet);
  const scale = own.scales.at(-1) ?? 0;
  assert.ok(scale * 700 > 2e6 / 1.6 && scale * 700 < 2e6 * 1.6, `${scale}`);
  assert.is(own.scales[0], 1);
});

test('code that becomes faster in the warm-up gets a larger scale', async () => {
  const own = new Fake(steady(1), { nsOf: (scale, repetition) => scale * (repetition < 4 ? 50_000 : 500) });
  await measureGroup([variantOf(own)], SAMPLING, quiet);
  const scale = own.scales.at(-1) ?? 0;
  assert.ok(scale * 500 > 2e6 / 1.6 && scale * 500 < 2e6 * 1.6, `${scale}`);
});

test('a fixed scale stays 1, and the scale has an end', async () => {
  const fixed = new Fake(steady(1), { nsOf: () => 10 });
  const endless = new Fake(steady(1), { nsOf: () => 10 });
  await measureGroup([variantOf(fixed, { fixedScale: true }), variantOf(endless)], SAMPLING, quiet);
  assert.ok(fixed.scales.every(scale => scale === 1));
  assert.is(endless.scales.at(-1), 2 ** 20);
});

test('the warm-up lasts until the figure no longer moves; what is measured in it does not count', async () => {
  // Faster and faster, 30 % each time, for 20 repetitions; then the same for ever.
  const own = new Fake(repetition => ({ value: 1.3 ** Math.min(repetition, 20) }), { nsOf: () => 2e6 });
  const [row] = await measureGroup([variantOf(own)], { ...SAMPLING, repetitionMs: 200 }, quiet);
  assert.ok(row);
  assert.ok(own.scales.length > 20);
  assert.ok(row.value.visits.flat().every(value => value === 1.3 ** 20));
  assert.is(row.value.outliers, 0);
});

test('what never becomes stable is doubted', async () => {
  const own = new Fake(repetition => ({ value: 1.3 ** (repetition % 40) }), { nsOf: () => 2e6 });
  const [row] = await measureGroup([variantOf(own)], { ...SAMPLING, repetitionMs: 0.1 }, quiet);
  assert.match(
    row?.doubts.join('; ') ?? '',
    /the median is known to ± \d+ % only; did not become stable in the warm-up/,
  );
});

test('one repetition of the warm-up that is held up does not shorten the visits', async () => {
  const own = new Fake(steady(1), { nsOf: () => 2e6 });
  const repeat = own.repeat.bind(own);
  own.repeat = async scale => {
    // The last of the two windows.
    if (own.scales.length === 5) await new Promise(resolve => setTimeout(resolve, 150));
    return repeat(scale);
  };
  const [row] = await measureGroup([variantOf(own)], SAMPLING, quiet);
  assert.ok(row?.value.visits.every(visit => visit.length === 3));
});

test('all sides take turns: in each visit all variants once, each next to its baseline and peers, in a seeded order', async () => {
  const run = async (seed: number) => {
    const log: string[] = [];
    const side = (name: string) => new Fake(steady(1), { nsOf: () => 2e6, tell: () => log.push(name) });
    const variants = ['x', 'y', 'z'].map(name =>
      variantOf(side(`${name} own`), {
        actors: name,
        openBaseline: async () => side(`${name} base`),
        peers: { other: async () => side(`${name} peer`) },
      }),
    );
    await measureGroup(variants, { ...SAMPLING, seed, repetitions: 1 }, quiet);
    // Each visit of a side: one repetition that does not count, and one that does.
    const visits = log.slice(-6 * 9 * 2).filter((_, index) => index % 2 === 0);
    return { visits, pairs: log.slice(-6 * 9 * 2) };
  };
  const { visits, pairs } = await run(5);
  for (const [index, name] of visits.entries()) assert.is(pairs[2 * index + 1], name);
  const orders = new Set<string>();
  for (let visit = 0; visit < 6; visit += 1) {
    const names = visits.slice(visit * 9, visit * 9 + 9);
    assert.is(new Set(names).size, 9);
    for (let entry = 0; entry < 3; entry += 1)
      assert.is(new Set(names.slice(entry * 3, entry * 3 + 3).map(name => name[0])).size, 1);
    orders.add(names.join());
  }
  assert.ok(orders.size > 1, 'the order changes');
  assert.equal((await run(5)).visits, visits);
  assert.not.equal((await run(6)).visits, visits);
});

test('the ratio is taken visit by visit: a machine that becomes slower leaves it alone', async () => {
  // Both sides become slower with the time, each visit by 20 %: together they have made so many repetitions.
  let repetitions = 0;
  const slowing = (level: number) =>
    new Fake(() => ({ value: level * 0.8 ** Math.floor(repetitions / 4) }), {
      nsOf: () => 2e6,
      tell: () => (repetitions += 0.5),
    });
  const own = slowing(10);
  const base = slowing(20);
  const [row] = await measureGroup(
    [variantOf(own, { openBaseline: async () => base })],
    { ...SAMPLING, visits: 12 },
    quiet,
  );
  assert.ok(row?.ratio && row.baseline);
  assert.is(row.ratio.visits.length, 12);
  assert.ok(row.value.variation > 0.3, `${row.value.variation}`);
  assert.ok(row.ratio.variation < 0.3, `${row.ratio.variation}`);
  assert.ok(row.ratio.median > 0.35 && row.ratio.median < 0.7, `${row.ratio.median}`);
});

test('a noisy figure is doubted, a noisy machine with a steady ratio is not', async () => {
  const noise = [1, 1.6, 0.6, 1.4, 0.7, 1.9];
  const at = (repetition: number) => noise[Math.floor(repetition / 7) % noise.length] ?? 1;
  const noisy = (level: number) => new Fake(repetition => ({ value: level * at(repetition) }), { nsOf: () => 2e6 });
  const sampling = { ...SAMPLING, visits: 12, repetitions: 6 };
  const [alone, related] = await measureGroup(
    [variantOf(noisy(1)), variantOf(noisy(1), { openBaseline: async () => noisy(2) })],
    sampling,
    quiet,
  );
  assert.match(alone?.doubts[0] ?? '', /^the median is known to ± \d+ % only$/);
  assert.equal(related?.doubts, []);
  assert.is(related?.ratio?.median, 0.5);
});

/** The same figures over and over: alone they are known to some ± 30 %. */
const rough = () => {
  const figures = [1, 1.6, 0.7, 1.2, 0.8, 1.3, 0.9, 1.1];
  return new Fake(repetition => ({ value: figures[repetition % figures.length] ?? 1 }), { nsOf: () => 2e6 });
};
const ONE_BY_ONE = { ...SAMPLING, visits: 8, repetitions: 1 };
const visitsIn = (rows: readonly { readonly value: { readonly visits: readonly unknown[] } }[]) =>
  rows.map(({ value }) => value.visits.length);

test('extra visits go to the rows that are not known well enough, and to no others', async () => {
  const measure = (extraVisits: number) =>
    measureGroup(
      [variantOf(rough()), variantOf(new Fake(steady(1)), { actors: 'js:2' })],
      { ...ONE_BY_ONE, extraVisits },
      quiet,
    );
  const without = await measure(0);
  assert.equal(visitsIn(without), [8, 8]);
  assert.match(without[0]?.doubts.join() ?? '', /known to/);
  const more = await measure(1000);
  assert.is(more[1]?.value.visits.length, 8);
  assert.equal(more[0]?.doubts, []);
  assert.ok((more[0]?.value.visits.length ?? 0) < 8 + 2 * 1000, 'it ends when the row is known');
});

test('a row that would need more extra visits than there are gets none', async () => {
  assert.equal(visitsIn(await measureGroup([variantOf(rough())], { ...ONE_BY_ONE, extraVisits: 4 }, quiet)), [8]);
});

test('intervals hold the true median in 90 % of rows and more, though they end the extra visits themselves', async () => {
  const random = seededRandom(8);
  let held = 0;
  let extra = 0;
  const groups = 40;
  for (let group = 0; group < groups; group += 1) {
    // Visits differ by 20 %: after ten of them a median is known to some ± 13 %.
    const variants = Array.from({ length: 7 }, (_, row) => {
      const own = new Fake(() => ({ value: Math.exp(0.2 * normal(random)) }), { nsOf: () => 2e6 });
      return variantOf(own, { actors: `js:${row + 1}`, fixedScale: true });
    });
    const rows = await measureGroup(variants, { ...ONE_BY_ONE, seed: group + 1, visits: 10, extraVisits: 12 }, quiet);
    for (const { value } of rows) {
      if (value.interval.low <= 1 && 1 <= value.interval.high) held += 1;
      extra += value.visits.length - 10;
    }
  }
  assert.ok(extra > groups * 7, `${extra} extra visits`);
  assert.ok(held / (groups * 7) >= 0.9, `${held} of ${groups * 7}`);
  assert.ok(held < groups * 7, 'an interval that is never wrong says nothing');
});

test('an end during extra visits keeps all visits that were complete', async () => {
  const abort = new AbortController();
  let calls = 0;
  const [row] = await measureGroup(
    [variantOf(rough())],
    { ...ONE_BY_ONE, extraVisits: 1000 },
    {
      ...quiet,
      signal: abort.signal,
      // The warm-up, eight visits, two extra ones; the third is told of and then never made.
      progress: () => {
        calls += 1;
        if (calls === 12) abort.abort();
      },
    },
  );
  assert.is(row?.value.visits.length, 10);
});

test('repetitions that differ by chance alone do not prolong the warm-up', async () => {
  const chance = new Fake(repetition => ({ value: [1, 1.3, 0.8, 1.1, 0.9, 1.25][repetition % 6] ?? 1 }));
  const sampling = { ...ONE_BY_ONE, repetitionMs: 1000 };
  const [row] = await measureGroup([variantOf(chance, { fixedScale: true })], sampling, quiet);
  // Two windows; then visits of a repetition that does not count and one that does.
  assert.is(chance.scales.length, 6 + 2 * 8);
  assert.not.match(row?.doubts.join() ?? '', /stable/);
});

test('a warm-up that ends before two windows can be compared has shown nothing', async () => {
  const slow = rough();
  const repeat = slow.repeat.bind(slow);
  slow.repeat = async scale => {
    await new Promise(resolve => setTimeout(resolve, 8));
    return repeat(scale);
  };
  const sampling = { ...ONE_BY_ONE, repetitionMs: 0.1 };
  const [row] = await measureGroup([variantOf(slow, { fixedScale: true })], sampling, quiet);
  assert.match(row?.doubts.join() ?? '', /did not become stable/);
});

test("stolen time and other programs' work are told; work in groups with peers may be the peers'", async () => {
  const busy = () => {
    let reading = 0;
    return { ...quiet, readTimes: () => ({ total: 100 * ++reading, stolen: 20 * reading, others: 30 * reading }) };
  };
  const [alone] = await measureGroup([variantOf(new Fake(steady(1)))], SAMPLING, busy());
  assert.equal(alone?.doubts, ["20 % of the CPUs' time was stolen", "other programs worked 30 % of the CPUs' time"]);
  const peers = { one: async () => new Fake(steady(2)) };
  const [peered] = await measureGroup([variantOf(new Fake(steady(1)), { peers })], SAMPLING, busy());
  assert.equal(peered?.doubts, ["20 % of the CPUs' time was stolen"]);
});

test('peers are estimated under their names', async () => {
  const [row] = await measureGroup(
    [
      variantOf(new Fake(steady(1)), {
        peers: { one: async () => new Fake(steady(2)), two: async () => new Fake(steady(3)) },
      }),
    ],
    SAMPLING,
    quiet,
  );
  assert.equal(
    Object.entries(row?.peers ?? {}).map(([name, { median }]) => [name, median]),
    [
      ['one', 2],
      ['two', 3],
    ],
  );
});

test('latencies of the repetitions that count are gathered; what the variant itself has goes before', async () => {
  const own = new Fake(repetition => ({ value: 1, latenciesNs: [10, 20, repetition < 6 ? 1e6 : 30] }), {
    nsOf: () => 2e6,
  });
  const series = [{ name: 'rate', unit: 'pages/s', points: [[0, 1]] as const }];
  const latency = { unit: 'ns', count: 1, p50: 1, p90: 1, p99: 1, p999: 1, max: 1, histogram: [] } as const;
  const other = Object.assign(new Fake(() => ({ value: 1, latenciesNs: [5] })), { latency, series });
  const [row, second] = await measureGroup([variantOf(own), variantOf(other)], SAMPLING, quiet);
  assert.is(row?.latency?.count, 6 * 3 * 3);
  assert.is(row?.latency?.p50, 20);
  assert.is(row?.latency?.max, 30);
  assert.is(second?.latency, latency);
  assert.is(second?.series, series);
});

test('progress goes from 0 to below 1 and names the rows', async () => {
  const told: [number, string][] = [];
  await measureGroup([variantOf(new Fake(steady(1))), variantOf(new Fake(steady(1)), { actors: 'js:2' })], SAMPLING, {
    ...quiet,
    progress: (share, what) => told.push([share, what]),
  });
  assert.is(told.length, 2 * 7);
  assert.equal(told[0], [0, 'fake/none/js:1']);
  for (const [index, [share]] of told.entries()) assert.is(share, index / 14);
});

test('an aborted run keeps the visits that were complete, and says so', async () => {
  const abort = new AbortController();
  const own = new Fake(steady(1), { nsOf: () => 2e6 });
  const base = new Fake(steady(1), { nsOf: () => 2e6 });
  let calls = 0;
  const [row] = await measureGroup([variantOf(own, { openBaseline: async () => base })], SAMPLING, {
    ...quiet,
    signal: abort.signal,
    // The warm-up, two visits; the third is told of and then never made.
    progress: () => {
      calls += 1;
      if (calls === 4) abort.abort();
    },
  });
  assert.is(row?.value.visits.length, 2);
  assert.is(row?.baseline?.visits.length, 2);
  assert.is(row?.ratio?.visits.length, 2);
  assert.is(row?.doubts[0], '2 of 6 visits: the run ended early');
  assert.equal([own.closed, base.closed], [1, 1]);
});

test('a run aborted in the warm-up has no rows, and nothing stays open', async () => {
  const abort = new AbortController();
  const own = new Fake(steady(1), { tell: () => abort.abort() });
  const never = variantOf(own, { open: () => Promise.reject(new Error('opened after the end')) });
  assert.equal(await measureGroup([variantOf(own), never], SAMPLING, { ...quiet, signal: abort.signal }), []);
  assert.is(own.closed, 1);
});

test('what a variant throws is told, and all that was opened is closed', async () => {
  const own = new Fake(steady(1));
  const failing = new Fake(repetition => {
    if (repetition === 9) throw new Error('wrong sum');
    return { value: 1 };
  });
  assert.is(await messageFrom(measureGroup([variantOf(own), variantOf(failing)], SAMPLING, quiet)), 'wrong sum');
  assert.equal([own.closed, failing.closed], [1, 1]);
  const first = new Fake(steady(1));
  const unopened = variantOf(first, { openBaseline: () => Promise.reject(new Error('no compiler')) });
  assert.is(await messageFrom(measureGroup([unopened], SAMPLING, quiet)), 'no compiler');
  assert.is(first.closed, 1);
});

test('an error at closing is told, and the others are closed nevertheless', async () => {
  const own = new Fake(steady(1));
  const stuck = Object.assign(new Fake(steady(1)), {
    [Symbol.asyncDispose]: () => Promise.reject(new Error('cannot close')),
  });
  assert.is(await messageFrom(measureGroup([variantOf(own), variantOf(stuck)], SAMPLING, quiet)), 'cannot close');
  assert.is(own.closed, 1);
});

for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
  test(`a repetition whose figure is ${value} is a wrong result`, async () => {
    const own = new Fake(steady(value));
    assert.is(await codeOf(measureGroup([variantOf(own)], SAMPLING, quiet)), 'ERR_LAB_RESULT');
    assert.is(own.closed, 1);
  });
}

test('repetitions that take longer than asked for are fewer: a visit takes its time', async () => {
  const slow = new Fake(steady(1), { nsOf: () => 20e6 });
  const repeat = slow.repeat.bind(slow);
  slow.repeat = async scale => {
    await new Promise(resolve => setTimeout(resolve, 20));
    return repeat(scale);
  };
  const [row] = await measureGroup([variantOf(slow, { fixedScale: true })], SAMPLING, quiet);
  assert.ok(row?.value.visits.every(visit => visit.length === 1));
});

test.run();
