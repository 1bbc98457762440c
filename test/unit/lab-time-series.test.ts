// A value over time stays short: neighbours are averaged, in order, and nothing of the sum is lost.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TimeSeries } from '../../src/main/lab/machines/time-series.ts';

const test = suite('lab: time series');

test('a few values are kept as they are', () => {
  const series = new TimeSeries('rate', 'pages/s');
  for (const value of [3, 1, 2]) series.add(value);

  assert.is(series.series.name, 'rate');
  assert.equal(
    series.series.points.map(([, value]) => value),
    [3, 1, 2],
  );
});

test('many values become means of neighbours, ascending in time', () => {
  const series = new TimeSeries('rate', 'pages/s');
  for (let i = 0; i < 4096; i++) series.add(i);
  const { points } = series.series;

  assert.is(points.length, 512);
  assert.equal(
    points.map(([, value]) => value),
    Array.from({ length: 512 }, (_, i) => i * 8 + 3.5),
  );
  assert.ok(points.every(([at], i) => i === 0 || at >= (points[i - 1]?.[0] ?? 0)));
});

test.run();
