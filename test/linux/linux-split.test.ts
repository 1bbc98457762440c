// Debian's kernel with the IOAPIC in this process and no PIT: two vCPUs, a disk and the console interrupt along the routes that it programs. As in
// every Linux guest there is no CMOS clock either, and nothing that misses it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { bootLinux, facts, linuxSuite } from '../linux-guest.ts';

const test = linuxSuite('linux on a split irqchip');
const job = `
load virtio_mmio; load virtio_blk
echo processors=$(nproc)
echo timers=$(cat /sys/devices/system/clockevents/clockevent0/current_device)
echo seconds=$(date +%s)
echo complaints=$(dmesg | grep -ciE 'rtc.*(unable|fail|error|no)|hctosys')
echo clock=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)
echo first=$(dd if=/dev/vda bs=512 count=1 2>/dev/null | head -c 6)
dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null
cat /proc/interrupts
echo interrupts=$(grep -c 'IO-APIC.*edge.*virtio0' /proc/interrupts)
`;

test('two vCPUs boot, read a disk and power off', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'split-'));
  try {
    const path = join(folder, 'disk');
    writeFileSync(path, Buffer.concat([Buffer.from('within'), Buffer.alloc((1 << 20) - 6)]));
    const { result, text } = await bootLinux({ vcpus: 2, job, irqchip: 'split', disks: [{ path }] });
    assert.is(result.reason, 'power-off', `${result.error?.message}\n${text}`);
    const said = facts(text);
    assert.is(said.get('processors'), '2');
    // Ten minutes off are a slow machine's, fifty years those of a guest that does not know.
    assert.ok(Math.abs(Number(said.get('seconds')) - Date.now() / 1000) < 600, text);
    assert.is(said.get('complaints'), '0', text);
    assert.is(said.get('first'), 'within', text);
    assert.is(said.get('interrupts'), '1', text);
    assert.match(said.get('timers') ?? '', /^lapic/);
    assert.match(said.get('clock') ?? '', /^(kvm-clock|tsc)$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
