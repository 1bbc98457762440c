// `node-kvm run` with guests on KVM: flat, ELF, triple fault, Ctrl-C while a vCPU spins in the guest.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { nodeKvm } from '../command.ts';
import { COUNTER_ELF } from '../counter-guest.ts';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';

const test = kvmSuite('cli run');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-cli-'));
test.after(() => rmSync(folder, { recursive: true }));

function file(name: string, bytes: readonly number[]): string {
  const path = join(folder, name);
  writeFileSync(path, Uint8Array.from(bytes));
  return path;
}

// mov al, 'A'; out 0xe9, al; mov dx, 0x3f8; mov al, '\n'; out dx, al; hlt
const printer = file('printer.bin', [0xb0, 0x41, 0xe6, 0xe9, 0xba, 0xf8, 0x03, 0xb0, 0x0a, 0xee, 0xf4]);
// mov al, '.'; out 0xe9, al; jmp $
const spinner = file('spinner.bin', [0xb0, 0x2e, 0xe6, 0xe9, 0xeb, 0xfe]);
// ud2
const crasher = file('crasher.bin', [0x0f, 0x0b]);

test('a flat image in real mode: console from both ports, status 0', async () => {
  const { status, stdout, stderr } = await nodeKvm(['run', printer, '--mode', '16', '--stats']);
  assert.is(status, 0, stderr);
  assert.is(stdout, 'A\n');
  assert.match(stderr, /node-kvm: halt/);
  assert.match(stderr, /hlt/);
});

test('an ELF image is recognized and runs on 2 vCPUs', async () => {
  const { status, stdout, stderr } = await nodeKvm(['run', COUNTER_ELF, '--cpus', '2', '--memory', '16M', '--json']);
  assert.is(status, 0, stderr);
  const report = JSON.parse(stdout);
  assert.is(report.format, 'elf');
  assert.is(report.reason, 'power-off');
  assert.is(report.vcpus, 2);
  assert.is(report.memoryBytes, 16 << 20);
});

test('a triple fault: status 1', async () => {
  const { status, stderr } = await nodeKvm(['run', crasher]);
  assert.is(status, 1);
  assert.match(stderr, /triple fault of vCPU 0/);
});

test('a timeout ends a guest that spins: status 1', async () => {
  const { status, stderr } = await nodeKvm(['run', spinner, '--timeout', '0.5']);
  assert.is(status, 1);
  assert.match(stderr, /timeout/);
});

test('SIGINT while the vCPU spins: status 130, within a second or so', async () => {
  let sentAt = 0;
  const { status, stderr } = await nodeKvm(['run', spinner], {
    onStdout: (_text, kill) => {
      if (sentAt === 0) kill('SIGINT');
      sentAt ||= performance.now();
    },
  });
  assert.is(status, 130, stderr);
  assert.ok(performance.now() - sentAt < 3000 * slowness);
});

test('a guest with disks, an entropy device and sockets; by SIGTERM too, the socket is removed', async () => {
  const socket = join(folder, 'v.sock');
  const disk = file('disk', new Array(1024).fill(0));
  let wasThere = false;
  const args = ['run', spinner, '--disk', `${disk},ro`, '--disk', `${disk},overlay,id=x`, '--rng', '--vsock', socket];
  const { status, stderr } = await nodeKvm(args, {
    onStdout: (_text, kill) => {
      wasThere = existsSync(socket);
      kill('SIGTERM');
    },
  });
  assert.is(status, 143, stderr);
  assert.ok(wasThere);
  assert.not(existsSync(socket));
});

test('engine host refuses a guest and says why: status 1', async () => {
  const { status, stderr } = await nodeKvm(['run', printer, '--engine', 'host']);
  assert.is(status, 1);
  assert.match(stderr, /ERR_ENGINE/);
});

test.run();
