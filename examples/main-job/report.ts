// The end of the main job: a table for people, or JSON for programs. Main thread.

import { probe, u32le } from 'node-kvm';
import { table } from 'table';
import { EXIT_WORDS } from '../guest/devices.ts';
import { Report, reportAddress } from '../guest/guest.ts';
import type { Figure, Outcome } from './compare.ts';

const thousands = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });
const shown = (value: number | string) => (typeof value === 'number' ? thousands.format(value) : value);

/** What was measured, without a right or wrong. */
function measurements({ vm, seconds, answered, params, exitWords }: Outcome): [string, number, string][] {
  const rates = vm.vcpus.map((_, index) => {
    const nanoseconds = exitWords[index * EXIT_WORDS.stride + EXIT_WORDS.nanoseconds] ?? 0;
    return nanoseconds > 0 ? params.exits / (nanoseconds / 1e9) : 0;
  });
  return [
    ['exits per second and vCPU', rates.reduce((sum, rate) => sum + rate, 0) / rates.length, '1/s'],
    ['between two doorbells', (answered.milliseconds * 1000) / Math.max(1, answered.rings - 1), 'µs'],
    ['counter per second', vm.memory.atomics.load(params.counter, u32le) / seconds, '1/s'],
    ['wall time', seconds, 's'],
  ];
}

export function report(figures: readonly Figure[], outcome: Outcome, json: boolean): void {
  const { vm, params, consoleText } = outcome;
  const rows = measurements(outcome);
  const correct = figures.every(figure => figure.correct);
  if (json) {
    const measured = Object.fromEntries(rows.map(([name, value, unit]) => [`${name} (${unit})`, value]));
    const facts = {
      correct,
      engine: vm.engine,
      vcpus: vm.vcpus.length,
      seed: params.seed,
      figures,
      measured,
      stats: vm.stats(),
    };
    process.stdout.write(`${JSON.stringify(facts, null, 2)}\n`);
    return;
  }
  process.stdout.write(consoleText);
  const ring = vm.memory.readObj(reportAddress(0), Report).ring;
  const { kvm, engines } = probe();
  const where =
    vm.engine === 'kvm'
      ? `engine kvm (${kvm.kind}), ELF guest in ring ${ring}`
      : `engine host, because ${engines.kvm.reason}: the same work as a program`;
  const lines = [
    ['what', 'expected', 'found', ''],
    ...figures.map(({ what, expected, found, correct: fine }) => [
      what,
      shown(expected),
      shown(found),
      fine ? 'ok' : 'WRONG',
    ]),
    ...rows.map(([name, value, unit]) => [name, '', `${shown(value)} ${unit}`, '']),
  ];
  process.stdout.write(
    table(lines, {
      columns: { 1: { alignment: 'right' }, 2: { alignment: 'right' } },
      drawHorizontalLine: (at, count) => [0, 1, figures.length + 1, count].includes(at),
    }),
  );
  process.stdout.write(
    `${where}; ${vm.vcpus.length} vCPUs and a JavaScript worker; seed ${params.seed}: ${correct ? 'everything correct' : 'SOMETHING IS WRONG'}\n`,
  );
}
