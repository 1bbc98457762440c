// Estimates from visits: medians, intervals that hold the true value as often as they say, outliers, ratios, latencies against a naive model.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { estimate, halfWidth, LatencyCounter, ratioEstimate, seededRandom } from '../../src/main/lab/statistics.ts';
import { normal } from '../lab-noise.ts';

const test = suite('lab statistics');

test('random numbers: the same for the same seed, others for another, evenly spread', () => {
  const draw = (seed: number) => {
    const random = seededRandom(seed);
    return Array.from({ length: 20_000 }, random);
  };
  assert.equal(draw(1), draw(1));
  assert.not.equal(draw(1), draw(2));
  const tenths = Array.from({ length: 10 }, () => 0);
  for (const value of draw(1)) {
    assert.ok(value >= 0 && value < 1);
    tenths[Math.floor(value * 10)] = (tenths[Math.floor(value * 10)] ?? 0) + 1;
  }
  // 2000 each, with a standard deviation of 42.
  for (const count of tenths) assert.ok(Math.abs(count - 2000) < 210, `${tenths}`);
});

test('the median is that of the visits, however many repetitions one has', () => {
  const visits = [[1, 2, 3], [10], [4, 5, 6, 5, 5, 5, 5]];
  const { median, visits: kept, interval } = estimate(visits, seededRandom(1));
  assert.is(median, 5);
  assert.is(kept, visits);
  assert.ok(interval.low >= 1 && interval.low <= 5 && interval.high >= 5 && interval.high <= 10);
});

test('variation is that of the medians of visits', () => {
  const { variation } = estimate([[8, 8, 80], [10], [12]], seededRandom(1));
  // Medians 8, 10, 12: standard deviation 2, mean 10.
  assert.ok(Math.abs(variation - 0.2) < 1e-12);
});

test('a single visit and equal values: a point, no variation', () => {
  for (const visits of [[[7]], [[7, 7], [7], [7, 7, 7]]]) {
    const { median, interval, variation, outliers } = estimate(visits, seededRandom(1));
    assert.equal(
      { median, interval, variation, outliers },
      { median: 7, interval: { low: 7, high: 7 }, variation: 0, outliers: 0 },
    );
  }
  assert.is(estimate([[0], [0]], seededRandom(1)).variation, 0);
});

test('outliers are counted by the MAD, and move the median little', () => {
  const visits = Array.from({ length: 10 }, (_, visit) => [99, 100, 101, 100.5, visit < 2 ? 5000 : 99.5]);
  const { median, outliers } = estimate(visits, seededRandom(1));
  assert.is(outliers, 2);
  assert.ok(median >= 100 && median <= 100.5);
});

for (const visits of [5, 10, 20]) {
  test(`the interval of ${visits} visits holds the true median in 90 % of cases and more`, () => {
    const random = seededRandom(visits);
    const cases = 400;
    let held = 0;
    for (let i = 0; i < cases; i += 1) {
      // Between visits and within them: an interval from repetitions alone would be far too short.
      const sample = Array.from({ length: visits }, () => {
        const level = 100 + 3 * normal(random);
        return Array.from({ length: 5 }, () => level + normal(random));
      });
      const { interval } = estimate(sample, random, { resamples: 200 });
      if (interval.low <= 100 && 100 <= interval.high) held += 1;
    }
    assert.ok(held / cases >= 0.9, `${held} of ${cases}`);
    assert.ok(held < cases, 'an interval that is never wrong says nothing');
  });
}

test('the interval is the same for the same seed', () => {
  const visits = [
    [1, 2],
    [3, 4],
    [5, 7],
    [2, 2],
    [9, 1],
  ];
  assert.equal(estimate(visits, seededRandom(3)), estimate(visits, seededRandom(3)));
});

test('a ratio is taken visit by visit: what slows both down for a visit leaves it alone', () => {
  const slow = [1, 3, 0.5, 2, 1.5];
  const own = slow.map(factor => [10 / factor, 10 / factor]);
  const base = slow.map(factor => [20 / factor, 20 / factor, 20 / factor]);
  const ratio = ratioEstimate(own, base, seededRandom(1));
  assert.ok(ratio);
  assert.equal(ratio.visits, [[0.5], [0.5], [0.5], [0.5], [0.5]]);
  assert.is(halfWidth(ratio), 0);
  assert.ok(halfWidth(estimate(own, seededRandom(1))) > 0.3);
});

test('a ratio to nothing is none', () => {
  assert.is(ratioEstimate([[1], [2]], [[0], [1]], seededRandom(1)), undefined);
  assert.is(ratioEstimate([], [], seededRandom(1)), undefined);
  assert.is(halfWidth(estimate([[0], [0]], seededRandom(1))), Number.POSITIVE_INFINITY);
});

test('latencies: percentiles are within 3.2 % above those of all samples sorted', () => {
  const random = seededRandom(5);
  const counter = new LatencyCounter();
  assert.is(counter.result(), undefined);
  const all: number[] = [];
  for (let batch = 0; batch < 50; batch += 1) {
    const samples = Float64Array.from({ length: 200 }, () => Math.floor(Math.exp(3 + 3 * normal(random) ** 2)));
    all.push(...samples);
    counter.add(samples);
  }
  all.sort((a, b) => a - b);
  const latency = counter.result();
  assert.ok(latency);
  assert.is(latency.count, all.length);
  assert.is(latency.max, all.at(-1));
  for (const [name, share] of [
    ['p50', 0.5],
    ['p90', 0.9],
    ['p99', 0.99],
    ['p999', 0.999],
  ] as const) {
    const exact = all[Math.ceil(share * all.length) - 1] ?? 0;
    assert.ok(latency[name] >= exact && latency[name] <= exact * 1.0323, `${name}: ${latency[name]} for ${exact}`);
  }
  let before = -1;
  let counted = 0;
  for (const [bound, samples] of latency.histogram) {
    assert.ok(bound > before && samples > 0);
    assert.is(samples, all.filter(value => value > before && value <= bound).length, `up to ${bound}`);
    before = bound;
    counted += samples;
  }
  assert.is(counted, all.length);
});

test.run();
