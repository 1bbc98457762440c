// One start of the emulated machine: QEMU without hardware virtualization, whose emulated AMD processor has SVM, so that the
// kernel in it offers an ordinary /dev/kvm. Host side. Says when the machine is lost: gone without its exit line, or silent.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Outcome } from '../report.ts';
import type { MachineEnd } from './batch.ts';
import { output } from './initrd.ts';
import type { Parts } from './parts.ts';

export interface MachineOptions {
  readonly parts: Parts;
  /** A shell script; its TEST_REPORT is the machine's second serial line. */
  readonly job: string;
  readonly processors: number;
  /**
   * Processors that really run at the same time, each on one of the host's, and then without nested paging: QEMU 7.2 loses track of a nested
   * guest's pages where both come together (README.md, "Lost machines"). False: they take turns on one of the host's processors.
   */
  readonly parallel: boolean;
  /** Gets the machine's console. */
  readonly consoleLog: string;
  /** No sign of life for so long: lost. */
  readonly silenceSeconds: number;
  /** Alive, but no outcome for so long: lost. */
  readonly outcomeSeconds: number;
  readonly onOutcome: (outcome: Outcome) => void;
  readonly onReady: (seconds: number) => void;
}

/** Says how fast the host's time stamp counter runs, which is the emulated one's speed, too. */
const TSC_KHZ = 'build/linux/tsc-khz';

/**
 * The machine's clock must keep to the host's within a fifth, and these seconds: limits of time mean nothing otherwise.
 */
const CLOCK_SECONDS = 15;

/**
 * tsc_early_khz: the kernel would measure it against a timer, and where a busy host holds the emulation up just then, its clock would run
 * ten times as fast from there on: every limit of time would be passed at once; or stand still.
 * oops=panic and -no-reboot: a kernel that trips over the emulation ends the machine instead of answering for the tests.
 * no_timer_check: the kernel would wait for some ticks of the timer before it goes on, and panics where a busy host lets none come in time.
 * tsc=reliable: all emulated processors count the same ticks. Without it the kernel takes each time from an emulated device.
 */
const commandLine = () =>
  `console=ttyS0 quiet panic=-1 oops=panic reboot=t nokaslr mitigations=off no_timer_check tsc=reliable tsc_early_khz=${output(TSC_KHZ, []).trim()}`;

const disk = (id: string, file: string) => [
  '-drive',
  `id=${id},if=none,format=raw,readonly=on,file=${file}`,
  '-device',
  `virtio-blk-pci,drive=${id}`,
];

function qemuArguments({ parts, processors, parallel, consoleLog }: MachineOptions, jobDisk: string): string[] {
  return [
    ...(parallel ? ['-accel', 'tcg,thread=multi', '-cpu', 'max,-npt'] : ['-accel', 'tcg,thread=single', '-cpu', 'max']),
    ...['-M', 'pc', '-m', '3G', '-smp', String(processors)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', parts.kernel, '-initrd', parts.initrd, '-append', commandLine()],
    ...['-serial', `file:${consoleLog}`, '-serial', 'stdio'],
    ...['-monitor', `unix:${consoleLog.replace('.log', '.monitor')},server,nowait`],
    ...disk('root', parts.root),
    ...disk('job', jobDisk),
  ];
}

/** Starts a machine, waits for its end, and ends it where it does not end by itself. */
export async function runEmulatedMachine(options: MachineOptions): Promise<MachineEnd> {
  const { onOutcome, onReady, silenceSeconds, outcomeSeconds } = options;
  const scratch = mkdtempSync(join(tmpdir(), 'node-kvm-machine-'));
  const jobDisk = join(scratch, 'job');
  // Whole sectors; the shell takes the rest for empty lines.
  writeFileSync(jobDisk, options.job.padEnd(Math.ceil(options.job.length / 512) * 512, '\n'));

  const begin = Date.now();
  // Low priority: the machine computes without a pause, and nobody waits for it as for the programs beside it.
  const qemu = spawn('nice', ['-n', '10', 'qemu-system-x86_64', ...qemuArguments(options, jobDisk)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const endWithUs = () => qemu.kill('SIGKILL');
  process.once('exit', endWithUs);
  try {
    return await new Promise<MachineEnd>((resolve, reject) => {
      let lastLine = begin;
      let lastOutcome = begin;
      /** When the machine's clock was zero, by the host's: as the first sign of life said. */
      let zero: number | undefined;
      let drift = 0;
      let messages = '';
      qemu.stderr.on('data', data => (messages += data));
      qemu.on('error', reject);
      qemu.on('close', (code, signal) => {
        resolve({
          kind: 'lost',
          why: `ended without its exit line (QEMU: ${signal ?? code}${messages && `, ${messages.trim()}`})`,
        });
      });
      createInterface({ input: qemu.stdout }).on('line', line => {
        lastLine = Date.now();
        const exit = /^exit (\d+)$/.exec(line)?.[1];
        if (exit !== undefined) resolve({ kind: 'exit', status: Number(exit) });
        else if (line === 'ready') onReady((lastLine - begin) / 1000);
        else if (line.startsWith('alive ')) {
          const seconds = Number(line.slice(6));
          zero ??= lastLine / 1000 - seconds;
          drift = seconds - (lastLine / 1000 - zero);
        } else if (line.startsWith('{')) {
          lastOutcome = lastLine;
          onOutcome(JSON.parse(line) as Outcome);
        }
      });
      const lost = (why: string) => resolve({ kind: 'lost', why });
      const watch = setInterval(() => {
        const now = Date.now();
        const silent = now - lastLine > silenceSeconds * 1000;
        if (silent) lost(`silent for ${silenceSeconds} s`);
        else if (now - lastOutcome > outcomeSeconds * 1000) lost(`no result for ${outcomeSeconds} s`);
        else if (Math.abs(drift) > CLOCK_SECONDS + (now - begin) / 5000)
          lost(`its clock is wrong by ${drift.toFixed(0)} s after ${((now - begin) / 1000).toFixed(0)} s`);
      }, 1000);
      qemu.on('close', () => clearInterval(watch));
    });
  } finally {
    process.off('exit', endWithUs);
    if (qemu.exitCode === null && qemu.signalCode === null) {
      const closed = new Promise(resolve => qemu.on('close', resolve));
      qemu.kill('SIGKILL');
      await closed;
    }
    rmSync(scratch, { recursive: true });
  }
}
