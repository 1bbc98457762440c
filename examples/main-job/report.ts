// The end of the main job: a table for people, or JSON for programs. Main thread.

import { probe, u32le } from 'node-kvm';
import { table } from 'table';
import { EXIT_WORDS } from '../guest/devices.ts';
import { Report, reportAddress } from '../guest/guest.ts';
import type { Figure, Outcome } from './compare.ts';

const thousands = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });
const shown = (value: number | string) => (typeof value === 'number' ? thousands.format(value) : value);

/** What was measured, without a right or wrong: name, value, unit. */
function measurements({ machine, seconds, answers, params }: Outcome): [string, number, string][] {
  const rates = machine.vm.vcpus.map((_, index) => {
    const nanoseconds = machine.exitWords[index * EXIT_WORDS.stride + EXIT_WORDS.nanoseconds] ?? 0;
    return nanoseconds > 0 ? params.exits / (nanoseconds / 1e9) : 0;
  });
  return [
    ['exits per second and vCPU', rates.reduce((sum, rate) => sum + rate, 0) / rates.length, '/s'],
    ['from doorbell to doorbell', (answers.milliseconds * 1000) / Math.max(1, answers.rings - 1), 'µs'],
    ['additions per second', machine.vm.memory.atomics.load(params.counter, u32le) / seconds, '/s'],
    ['wall time', seconds, 's'],
  ];
}

export function report(figures: readonly Figure[], outcome: Outcome, json: boolean): void {
  const correct = figures.every(figure => figure.correct);
  const measured = measurements(outcome);
  process.stdout.write(
    json ? asJson(figures, outcome, measured, correct) : asTable(figures, outcome, measured, correct),
  );
}

type Measured = readonly [string, number, string][];

function asJson(
  figures: readonly Figure[],
  { machine, params }: Outcome,
  measured: Measured,
  correct: boolean,
): string {
  const { vm } = machine;
  const values = Object.fromEntries(measured.map(([name, value, unit]) => [`${name} (${unit})`, value]));
  const facts = { correct, engine: vm.engine, vcpus: vm.vcpus.length, seed: params.seed, figures, measured: values };
  return `${JSON.stringify({ ...facts, stats: vm.stats() }, null, 2)}\n`;
}

function asTable(
  figures: readonly Figure[],
  { machine, params }: Outcome,
  measured: Measured,
  correct: boolean,
): string {
  const { vm } = machine;
  const rows = [
    ['what', 'expected', 'found', ''],
    ...figures.map(({ what, expected, found, correct: fine }) => [
      what,
      shown(expected),
      shown(found),
      fine ? 'ok' : 'WRONG',
    ]),
    ...measured.map(([name, value, unit]) => [name, '', `${shown(value)} ${unit}`, '']),
  ];
  const text = table(rows, {
    columns: { 1: { alignment: 'right' }, 2: { alignment: 'right' } },
    drawHorizontalLine: (at, count) => [0, 1, figures.length + 1, count].includes(at),
  });
  const { kvm, engines } = probe();
  const { ring } = vm.memory.readObj(reportAddress(0), Report);
  const where =
    vm.engine === 'kvm'
      ? `engine kvm (${kvm.kind}), the guest in ring ${ring}`
      : `engine host, since ${engines.kvm.reason}: the same work as a program`;
  const verdict = correct ? 'everything is correct' : 'SOMETHING IS WRONG';
  return `${machine.printed()}${text}${where}; ${vm.vcpus.length} vCPUs and a JavaScript worker; seed ${params.seed}: ${verdict}\n`;
}
