// A report of the lab made by hand, for tests of what is made from reports: every kind of row, charts, litmus verdicts, doubts. Its
// figures are invented and deterministic.

import type { ActorKind, Estimate, Failure, LabReport, Latency, LitmusRow, Row } from '../src/main/lab/report.ts';

/** Visits around a median, with `share` of it as noise. */
export function estimate(median: number, share = 0.02): Estimate {
  const visit = (shift: number) => [0.98, 1, 1.03].map(factor => median * factor * (1 + shift * share));
  return {
    median,
    interval: { low: median * (1 - share), high: median * (1 + share) },
    variation: share,
    visits: [-1, 0, 1].map(visit),
    outliers: 1,
  };
}

function row(facts: Pick<Row, 'suite' | 'workload' | 'actors' | 'parameters' | 'unit'> & Partial<Row>): Row {
  const { suite, workload, actors, parameters } = facts;
  const count = actors.split('+').reduce((sum, part) => sum + Number(part.split(':')[1]), 0);
  const id = [suite, workload, actors, Object.values(parameters).join(',')].join('/');
  return { id, count, better: 'higher', value: estimate(1), doubts: [], ...facts };
}

function latency(scale: number): Latency {
  const histogram = [4000, 5000, 800, 150, 40, 8, 1, 1].map(
    (samples, index) => [scale * 1.3 ** index, samples] as const,
  );
  const [p50, p90, p99, p999, max] = [1.3, 1.69, 2.9, 3.7, 6.3].map(factor => factor * scale);
  return {
    unit: 'ns',
    count: 10_000,
    p50: p50 ?? 0,
    p90: p90 ?? 0,
    p99: p99 ?? 0,
    p999: p999 ?? 0,
    max: max ?? 0,
    histogram,
  };
}

function streamRows(): Row[] {
  const speeds: readonly (readonly [string, number])[] = [
    ['js', 8],
    ['wasm', 11.4],
    ['guest', 11.1],
    ['guest+js', 9.6],
  ];
  return [2 ** 16, 2 ** 21, 2 ** 25].flatMap((bytes, size) =>
    speeds.flatMap(([kinds, speed]) =>
      [1, 2].flatMap(count => {
        const parts = kinds.split('+');
        if (parts.length > count) return [];
        const actors = parts.map(kind => `${kind}:${count / parts.length}`).join('+');
        const value = (speed * (3 - size) * count) / (1 + 0.2 * (count - 1));
        const c = (12 * (3 - size) * count) / (1 + 0.2 * (count - 1));
        return [
          row({
            suite: 'stream',
            workload: 'triad',
            actors,
            parameters: { bytes },
            unit: 'GB/s',
            value: estimate(value, 0.03),
            baseline: estimate(c),
            ratio: estimate(value / c, 0.04),
            ...(kinds === 'wasm' ? { peers: { 'vm-memory': estimate(value * 0.9) } } : {}),
            doubts: kinds === 'js' && size === 1 ? ['varies by 14 % between visits'] : [],
          }),
        ];
      }),
    ),
  );
}

function otherRows(): Row[] {
  const points = Array.from({ length: 40 }, (_, index) => [index / 10, 40_000 + 15_000 * Math.sin(index / 4)] as const);
  return [
    ...['guest:1+js:1', 'js:2'].map((actors, index) =>
      row({
        suite: 'wake-ups',
        workload: 'ping-pong',
        actors,
        parameters: {},
        unit: 'us',
        better: 'lower',
        value: estimate(11 + 20 * index),
        latency: latency(9000 + 20_000 * index),
      }),
    ),
    ...['bitmap', 'pagemap'].map(source =>
      row({
        suite: 'dirty',
        workload: 'storm',
        actors: 'guest:2',
        parameters: { source, 'writes %': 50 },
        unit: 'pages/s',
        value: estimate(41_000),
        series: [
          { name: 'dirty pages', unit: 'pages/s', points },
          { name: 'harvested', unit: 'pages/s', points: points.map(([x, y]) => [x, y * 0.9] as const) },
        ],
      }),
    ),
  ];
}

function litmusRow(
  test: string,
  access: LitmusRow['access'],
  actors: readonly ActorKind[],
  seen: number,
  bad = 0,
): LitmusRow {
  const allowed = access === 'plain';
  return {
    id: `litmus/${test}/${access}/${actors.join('+')}`,
    test,
    access,
    actors,
    iterations: 1_000_000,
    seconds: 1.5,
    outcomes: [
      { text: 'r0=1 r1=1', count: 1_000_000 - seen - bad, allowed: true, isTarget: false },
      { text: 'r0=0 r1=0', count: seen + bad, allowed, isTarget: true },
    ],
    reason: allowed
      ? 'x86-TSO: a store waits in its buffer while a later load reads'
      : 'sequentially consistent accesses are totally ordered',
    failed: bad > 0,
  };
}

const FAILURES: readonly Failure[] = [
  {
    workload: 'access/chase',
    actors: ['js:1', 'wasm:2'],
    rows: ['access/chase/js:1/bytes=65536', 'access/chase/wasm:2/bytes=65536'],
    during: 'access/chase/wasm:2/bytes=65536',
    code: 'ERR_LAB_ACTOR',
    message: 'wasm actor 1 ended with <status 1>',
  },
  {
    workload: 'access/chase',
    actors: ['js:1', 'wasm:2'],
    rows: [],
    during: 'access/chase/wasm:2/bytes=65536',
    code: 'ERR_SYSCALL',
    message: 'close failed',
  },
];

/** `failing`: with a litmus test that saw what is forbidden. `broken`: with a group and a closing that failed. */
export function labReport(
  options: {
    readonly failing?: boolean;
    readonly broken?: boolean;
    readonly interrupted?: boolean;
    readonly name?: string;
  } = {},
): LabReport {
  return {
    format: 'node-kvm-lab/1',
    version: '0.0.0',
    started: '2026-01-02T03:04:05.000Z',
    seconds: 123.4,
    seed: 12345,
    scenario: {
      name: options.name ?? 'a fixture',
      suites: ['stream', 'wake-ups', 'dirty', 'litmus'],
      actors: ['js:1', 'js:2'],
      sizes: [2 ** 16, 2 ** 21, 2 ** 25],
      sources: ['bitmap', 'pagemap'],
      seed: 12345,
      visits: 5,
      extraVisits: 0,
      repetitions: 3,
      repetitionMs: 5,
      litmusIterations: 1_000_000,
      quick: true,
      peers: true,
    },
    machine: {
      cpu: 'Invented CPU <9000>',
      cpus: 2,
      pinned: [0, 1],
      caches: ['L1d 32 KiB', 'L2 1 MiB'],
      memoryBytes: 8 * 2 ** 30,
      kernel: '6.18.0',
      kvm: 'pvm',
      node: 'v20.20.0',
      v8: '11.3',
      flags: [],
      governor: 'unknown',
      loadAverage: 0.3,
      stolen: 0.012,
      clockNs: { js: 90, c: 25 },
    },
    rows: [...streamRows(), ...otherRows()],
    litmus: [
      litmusRow('SB', 'plain', ['guest', 'js'], 4321),
      litmusRow('SB', 'plain', ['js', 'js'], 0),
      litmusRow('SB', 'atomic', ['guest', 'js'], 0, options.failing === true ? 2 : 0),
      litmusRow('SB', 'atomic', ['js', 'js'], 0),
      litmusRow('IRIW', 'atomic', ['guest', 'js', 'guest', 'js'], 0),
    ],
    failures: options.broken === true ? FAILURES : [],
    skipped: [{ what: 'wake-ups/ioeventfd', reason: 'the library has none' }],
    interrupted: options.interrupted === true,
  };
}
