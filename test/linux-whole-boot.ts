// What every way to boot a Linux guest must lead to: all processors, a disk, an entropy device, sockets both ways, and a power-off.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { vsock } from 'node-kvm';
import * as assert from 'uvu/assert';
import { type Booted, Conversation, facts, linuxMachine } from './linux-guest.ts';

const DISK_BYTES = 4 << 20;
/** Ports: the guest's, whose server sends back what it gets, and the host's, which answers in capitals. */
const ECHO = 1000;
const CAPITALS = 2000;

const WRITTEN = Array.from({ length: 3000 }, (_, line) => `${line + 1}\n`).join('');

const job = `
echo processors=$(nproc)
echo online=$(cat /sys/devices/system/cpu/online)
load virtio_mmio; load virtio_blk; load virtio_rng; load vmw_vsock_virtio_transport
echo disk=$(cat /sys/block/vda/size /sys/block/vda/serial)
echo random_bytes=$(head -c 512 /dev/hwrng | wc -c)
sock serve vsock:-1:${ECHO} cat
echo answer=$(echo from the guest | sock connect vsock:2:${CAPITALS})
mke2fs /dev/vda > /dev/null
mkdir /mnt
mount -t ext4 /dev/vda /mnt
seq 1 3000 > /mnt/written
sync
echo synced
read line
`;

/** Boots `kernel`, asserts all of that, and returns how it ended. */
export async function bootWhole({ kernel, vcpus }: { kernel: string; vcpus: number }): Promise<Booted> {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-linux-'));
  try {
    const disk = join(folder, 'disk');
    writeFileSync(disk, Buffer.alloc(DISK_BYTES));
    const sockets = vsock();
    await using vm = await linuxMachine({
      kernel,
      vcpus,
      disks: [{ path: disk, id: 'whole' }],
      rng: true,
      virtio: [sockets.device],
      programs: ['sock'],
      job,
    });
    const guest = new Conversation(vm);
    using _server = sockets.listen(CAPITALS, async socket => {
      socket.end((await text(socket.iterator({ destroyOnReturn: false }))).toUpperCase());
    });
    await vm.start();
    await guest.until(/^synced/m);

    const said = facts(guest.text);
    assert.is(said.get('processors'), String(vcpus), guest.text);
    assert.is(said.get('online'), vcpus === 1 ? '0' : `0-${vcpus - 1}`);
    assert.is(said.get('disk'), `${DISK_BYTES / 512} whole`);
    assert.is(said.get('random_bytes'), '512');
    assert.is(said.get('answer'), 'FROM THE GUEST');
    const echo = await sockets.connect(ECHO);
    echo.end('from the host');
    assert.is(await text(echo), 'from the host');
    const file = readFileSync(disk);
    // Wherever the file system put its blocks, of 1 KiB or more.
    for (let at = 0; at + 1024 <= WRITTEN.length; at += 1024)
      assert.is(file.indexOf(WRITTEN.slice(at, at + 1024)) % 1024, 0, `bytes of the file from ${at} on`);

    guest.say('go on');
    const result = await vm.finished;
    assert.is(result.reason, 'power-off', `${result.error?.message}\n${guest.text}`);
    return { result, text: guest.text, marks: vm.marks };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
