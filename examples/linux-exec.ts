// Runs a command in a Linux guest and ends as it does: its standard input, output and error are this process's, its exit status too.
// The guest is any kernel with virtio-mmio and vsock, and any initrd with /bin/busybox. Into the initrd go an agent (examples/linux/exec-agent.c) and the
// script below, which the kernel starts in place of /init (`rdinit=`) and which becomes the agent. They talk by vsock; the console has the kernel's complaints.
// Usage: node build/examples/linux-exec.js <kernel> <initrd> <command> [vCPUs]

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { extendInitrd, VirtualMachine, type VsockSocket, vsock } from 'node-kvm';

const [kernel, initrd, command, vcpus = '1'] = process.argv.slice(2);
if (kernel === undefined || initrd === undefined || command === undefined) {
  console.error('usage: node build/examples/linux-exec.js <kernel> <initrd> <command> [vCPUs]');
  process.exit(2);
}

/** Drivers that are modules: by modprobe, or in the order that an initrd of this project's tests has. Built-in ones need neither. */
const START = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in virtio_mmio vmw_vsock_virtio_transport; do
  if [ -f /modules/$module.order ]; then
    for needed in $(cat /modules/$module.order); do insmod /modules/$needed.ko; done
  else modprobe -q $module; fi
done 2> /dev/null
exec /exec-agent
`;

const sockets = vsock();
await using vm = await VirtualMachine.create({
  kernel,
  initrd: extendInitrd(readFileSync(initrd), [
    { path: 'exec-start', data: START, mode: 0o755 },
    { path: 'exec-agent', data: readFileSync(new URL('../linux/exec-agent', import.meta.url)), mode: 0o755 },
  ]),
  cmdline: 'console=ttyS0 panic=-1 quiet loglevel=3 rdinit=/exec-start',
  memory: 512 << 20,
  vcpus: Number(vcpus),
  engine: 'kvm',
  virtio: [sockets.device],
});

/** Listened on before the guest starts; the agent connects once to each: for the command and its status, and for its three streams. */
const connected = (port: number) =>
  new Promise<VsockSocket>(resolve => sockets.listen(port, socket => resolve(socket.on('error', () => {}))));
const connections = [connected(1024), connected(1025), connected(1026), connected(1027)] as const;
let status: number | undefined;

async function runCommand(): Promise<void> {
  const [control, input, output, errors] = await Promise.all(connections);
  control.write(`${command}\0`);
  process.stdin.pipe(input);
  const [[said]] = await Promise.all([
    once(control, 'data'),
    pipeline(output, process.stdout, { end: false }),
    pipeline(errors, process.stderr, { end: false }),
  ]);
  status = Number(said);
  control.end(); // the agent turns the machine off
}

let messages = '';
vm.console.on('data', chunk => {
  messages += chunk;
});
await vm.start();
runCommand().catch(() => vm.stop());
const { reason, error } = await vm.finished;
process.stdin.destroy();
if (status === undefined) console.error(`${messages}\nthe guest ended before the command: ${error?.message ?? reason}`);
process.exitCode = status ?? 1;
