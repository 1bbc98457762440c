// The console of a Linux guest: output by /dev/console comes by interrupt, what is typed arrives, and who writes while the guest does not
// read waits, and loses nothing.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as assert from 'uvu/assert';
import { linuxMachine, linuxSuite } from '../linux-guest.ts';

const test = linuxSuite('linux console');
const BYTES = 20_000;

test('a conversation with the first process, and backpressure while the machine is paused', async () => {
  const job = `stty raw -echo; grep ttyS0 /proc/interrupts; echo ready; read line; echo "got=$line"; head -c ${BYTES} | md5sum`;
  await using vm = await linuxMachine({ cmdline: 'console=ttyS0 panic=-1 quiet', job });
  let text = '';
  vm.console.on('data', chunk => {
    text += chunk;
  });
  const until = async (pattern: RegExp) => {
    while (!pattern.test(text)) {
      assert.is(vm.state, 'running', text);
      await Promise.race([once(vm.console, 'data'), vm.finished]);
    }
  };
  await vm.start();
  await until(/ready/);
  assert.match(text, /^ *\d+: .* IO-APIC +4-edge +ttyS0/m);
  vm.console.write('hello\n');
  await until(/got=hello/);

  await vm.pause();
  const sent = 'abcdefghij'.repeat(BYTES / 10);
  let taken = false;
  const more = vm.console.write(sent, () => {
    taken = true;
  });
  await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal([more, taken], [false, false]);
  await vm.resume();
  assert.is((await vm.finished).reason, 'power-off', text);
  assert.ok(taken);
  await once(vm.console, 'close');
  assert.match(text, new RegExp(createHash('md5').update(sent).digest('hex')));
});

test.run();
