// `node-kvm doctor`: what this machine offers, as a table for people or as JSON for programs; the facts are probe()'s.
// Main thread. Exit status 0 when at least one engine works.

import { Command } from 'commander';
import { getBorderCharacters, table } from 'table';
import type { DirtySourceReport } from '../memory/dirty-probe.ts';
import type { DirtySourceName } from '../memory/dirty-source.ts';
import { type Availability, type HostCapabilities, type KvmKind, probe } from '../probe.ts';
import { showSize } from './values.ts';

const KINDS: Readonly<Record<KvmKind, string>> = {
  vmx: 'Intel VMX',
  svm: 'AMD SVM',
  pvm: 'PVM: ring 3 of long mode runs natively, everything else is emulated and slow',
  unknown: 'unknown',
};

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('say what this machine offers: KVM, dirty trackers, huge pages, Node, engines')
    .option('--json', 'print the facts as JSON on standard output')
    .allowExcessArguments(false)
    .action((options: { json?: boolean }) => {
      const facts = probe();
      process.stdout.write(options.json === true ? `${JSON.stringify(facts, null, 2)}\n` : report(facts));
      if (!facts.engines.kvm.available && !facts.engines.host.available) process.exitCode = 1;
    });
}

function report(facts: HostCapabilities): string {
  const rows = [
    ...systemRows(facts),
    ...kvmRows(facts),
    ...trackerRows(facts),
    ...hugePageRows(facts),
    ...engineRows(facts),
  ];
  const border = getBorderCharacters('void');
  const text = table(rows, {
    border,
    columns: [{ paddingLeft: 0 }, {}, { width: 90, wrapWord: true }],
    drawHorizontalLine: () => false,
  });
  return `${text.replace(/ +$/gm, '')}\n${verdict(facts)}\n`;
}

type Row = [string, string, string];

const yesNo = (name: string, { available, reason }: Availability): Row => [name, available ? 'yes' : 'no', reason];

function systemRows({ system, node }: HostCapabilities): Row[] {
  return [
    ['system', '', `${system.platform} ${system.arch}, kernel ${system.kernel}`],
    ['processor', '', `${system.cpus} × ${system.cpuModel}`],
    ['Node', '', node.version],
    yesNo('external buffers', node.externalBuffers),
  ];
}

function kvmRows({ kvm }: HostCapabilities): Row[] {
  const rows: Row[] = [['KVM', kvm.usable ? 'yes' : 'no', kvm.problem ?? kvm.device]];
  if (kvm.remedy !== undefined) rows.push(['what to do', '', kvm.remedy]);
  if (kvm.present || kvm.kind !== 'unknown') rows.push(['KVM kind', '', KINDS[kvm.kind]]);
  if (kvm.apiVersion !== undefined) rows.push(['KVM API', '', `version ${kvm.apiVersion}`]);
  if (kvm.limits !== undefined) {
    const { vcpusRecommended, vcpusMax, memorySlots } = kvm.limits;
    rows.push([
      'KVM limits',
      '',
      `${vcpusMax} vCPUs a VM (${vcpusRecommended} recommended), ${memorySlots} memory slots`,
    ]);
  }
  const names = Object.entries(kvm.capabilities)
    .filter(([, value]) => value > 0)
    .map(([name, value]) => (value === 1 ? name : `${name}=${value}`));
  if (names.length > 0) rows.push(['KVM capabilities', String(names.length), names.join(' ')]);
  return rows;
}

function trackerRows({ dirtyTracking }: HostCapabilities): Row[] {
  const row = (name: DirtySourceName) =>
    yesNo(`dirty ${name}`, { ...dirtyTracking[name], reason: sourceText(dirtyTracking[name]) });
  return [
    ['dirty tracking', '', `source 'auto' takes '${dirtyTracking.auto}'`],
    row('pagemap'),
    row('bitmap'),
    yesNo('  manual protect', dirtyTracking.manualProtect),
    row('ring'),
    row('host'),
  ];
}

/** The reason, and who was seen writing: `KVM's dirty log; sees guest and API, not raw stores`. */
function sourceText({ reason, seen }: DirtySourceReport): string {
  const writers = [
    ['guests', seen.guest],
    ['the API', seen.api],
    ['raw stores', seen.rawHost],
  ] as const;
  const named = (wanted: boolean | null) => writers.filter(([, saw]) => saw === wanted).map(([name]) => name);
  const parts = [
    ['sees ', named(true)],
    ['blind to ', named(false)],
  ] as const;
  const facts = parts.filter(([, names]) => names.length > 0).map(([verb, names]) => verb + names.join(', '));
  return [reason, ...facts].join('; ');
}

function hugePageRows({ hugePages }: HostCapabilities): Row[] {
  const pools = hugePages.pools.map(pool => `${showSize(pool.sizeBytes)}: ${pool.free} of ${pool.total} free`);
  return [
    ['transparent huge pages', '', hugePages.transparent],
    ['huge page pools', '', pools.join(', ') || 'none'],
  ];
}

function engineRows({ engines }: HostCapabilities): Row[] {
  return [yesNo("engine 'kvm'", engines.kvm), yesNo("engine 'host'", engines.host)];
}

function verdict({ engines }: HostCapabilities): string {
  if (engines.kvm.available) return "Guests run on KVM: engine 'auto' takes it.";
  if (engines.host.available) return "No KVM here: engine 'auto' takes 'host', which runs programs, not guests.";
  return 'node-kvm does not work on this machine.';
}
