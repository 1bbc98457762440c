// `node-kvm run --kernel`: the guest's console on standard output, standard input as its keyboard, exit status and marks by how it ended; its disks,
// its entropy device, and its sockets.

import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as assert from 'uvu/assert';
import { nodeKvm } from '../command.ts';
import { BZIMAGE, facts, GUEST_INITRD, initrdWith, linuxSuite, VMLINUX } from '../linux-guest.ts';

const test = linuxSuite('linux by the command');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-linux-'));
test.after(() => rmSync(folder, { recursive: true }));
/** A guest that hangs is to fail its test, and not the file. */
const timeoutMs = 10_000;
const initrd = (job: string, programs: readonly string[] = []) => {
  const path = join(folder, 'initrd');
  writeFileSync(path, initrdWith(job, programs));
  return path;
};

test('a shell that reads from standard input: power-off, status 0', async () => {
  const args = ['run', '--kernel', VMLINUX, '--initrd', GUEST_INITRD, '--cpus', '2', '--cmdline', 'quiet', '--stats'];
  const { status, stdout, stderr } = await nodeKvm(args, {
    timeoutMs,
    input: 'echo sum=$((40 + 2))\nnproc\npoweroff -f\n',
  });
  assert.is(status, 0, stderr + stdout);
  assert.match(stdout, /^sum=42\r?$/m, stdout + stderr);
  assert.match(stdout, /^2\r?$/m, stdout + stderr);
  assert.match(stderr, /since create\(\) was called: .*init \d+/);
  assert.match(stderr, /node-kvm: power-off/);
});

test('a bzImage as the image, with --json: reset, status 0, marks', async () => {
  const { status, stdout, stderr } = await nodeKvm(['run', BZIMAGE, '--initrd', initrd('reboot -f'), '--json'], {
    timeoutMs,
  });
  assert.is(status, 0, stderr + stdout);
  const report = JSON.parse(stdout);
  assert.equal([report.format, report.reason], ['linux', 'reset']);
  assert.ok(report.marksMs.init > report.marksMs.kernelStart);
  assert.match(report.console, /Linux version/);
});

test('a panic: status 1, said plainly', async () => {
  const job = 'load pvpanic_mmio; echo c > /proc/sysrq-trigger';
  const { status, stderr } = await nodeKvm(['run', '--kernel', VMLINUX, '--initrd', initrd(job)], { timeoutMs });
  assert.is(status, 1, stderr);
  assert.match(stderr, /node-kvm: kernel panic of vCPU 0/);
});

test('disks, an entropy device, and sockets by UNIX sockets in both directions', async () => {
  const socket = join(folder, 'v.sock');
  const disk = join(folder, 'disk,1');
  const base = join(folder, 'base');
  for (const file of [disk, base]) writeFileSync(file, Buffer.alloc(1 << 20, 'a'));
  const heard: string[] = [];
  // The guest says when it listens; then we connect to it, and it ends when we have.
  const host = createServer(async guest => {
    heard.push(await text(guest));
    const client = createConnection(socket);
    client.end('CONNECT 5000\nfrom the host');
    heard.push(await text(client));
  }).listen(`${socket}_1234`);
  await once(host, 'listening');
  const job = `
load virtio_mmio; load virtio_blk; load virtio_rng; load vmw_vsock_virtio_transport
for disk in vda vdb vdc; do echo $disk=$(cat /sys/block/$disk/size /sys/block/$disk/ro /sys/block/$disk/serial); done
for disk in vda vdb; do echo changed | dd of=/dev/$disk conv=notrunc,fsync 2> /dev/null; head -n 1 /dev/$disk; done
echo random=$(head -c 100 /dev/hwrng | wc -c)
sock serve vsock:-1:5000 sh -c 'read -r line; echo "guest heard $line"; touch /done'
echo ready | sock connect vsock:2:1234
while [ ! -f /done ]; do sleep 0.1; done
`;
  const args = ['run', '--kernel', VMLINUX, '--initrd', initrd(job, ['sock']), '--cmdline', 'quiet', '--cpus', '2'];
  const disks = [`${disk.replace(',', ',,')},id=first`, `${base},overlay,id=second`, `${base},ro,id=third`];
  const more = [...disks.flatMap(each => ['--disk', each]), '--rng', '--vsock', socket];
  const { status, stdout, stderr } = await nodeKvm([...args, ...more], { timeoutMs });
  host.close();
  assert.is(status, 0, stderr + stdout);
  const said = facts(stdout);
  assert.equal(
    ['vda', 'vdb', 'vdc', 'random'].map(name => said.get(name)),
    ['2048 0 first', '2048 0 second', '2048 1 third', '100'],
  );
  assert.is(stdout.match(/^changed\r?$/gm)?.length, 2);
  assert.is(readFileSync(disk, 'latin1').slice(0, 10), 'changed\naa');
  assert.is(readFileSync(base, 'latin1').slice(0, 10), 'aaaaaaaaaa');
  assert.is(heard[0], 'ready\n');
  assert.match(heard[1] ?? '', /^OK \d+\nguest heard from the host\n$/);
  assert.not(existsSync(socket));
});

test.run();
