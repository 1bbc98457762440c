// The example that boots SeaBIOS ends well, after the firmware has said that there is nothing to boot from.

import * as assert from 'uvu/assert';
import { runScript } from '../command.ts';
import { fileSuite, hasKvm, kvmSuite } from '../harness.ts';

const BIOS = '/usr/share/seabios/bios-256k.bin';
const name = 'example seabios';
const test = hasKvm ? fileSuite(BIOS, 'apt-get install seabios', name) : kvmSuite(name);

test('it prints the banner first and ends with status 0', async () => {
  const { status, stdout, stderr } = await runScript('build/examples/seabios.js', [], { timeoutMs: 100_000 });
  assert.is(status, 0, stdout + stderr);
  assert.match(stdout, /^SeaBIOS \(version /);
  assert.match(stdout, /No bootable device/);
});

test.run();
