// Wrong usage of the command line ends with status 2 and says what is wrong on standard error; help and version with 0.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeKvm } from '../command.ts';

const test = suite('cli usage');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-cli-'));
const flat = join(folder, 'flat.bin');
const module = join(folder, 'program.mjs');
writeFileSync(flat, Uint8Array.of(0xf4));
writeFileSync(module, 'export function run() {}');
test.after(() => rmSync(folder, { recursive: true }));

const wrong: [string, string[], RegExp][] = [
  ['no command', [], /Usage:/],
  ['an unknown command', ['frobnicate'], /unknown command/],
  ['an unknown option', ['run', flat, '--frobnicate'], /unknown option/],
  ['no image', ['run'], /missing required argument/],
  ['two images', ['run', flat, flat], /too many arguments/],
  ['an image and a kernel', ['run', flat, '--kernel', flat], /one too many/],
  ['a kernel of another format', ['run', '--kernel', flat, '--format', 'elf'], /--kernel has no meaning/],
  ['an initrd without a kernel', ['run', flat, '--initrd', flat], /--initrd has no meaning/],
  ['a command line without a kernel', ['run', flat, '--cmdline', 'quiet'], /--cmdline has no meaning/],
  ['a mode for a kernel', ['run', '--kernel', flat, '--mode', '16'], /--mode has no meaning/],
  ['a disk without a path', ['run', flat, '--disk', ',ro'], /',ro' is no disk: it begins with the path/],
  [
    'an unknown word of a disk',
    ['run', flat, '--disk', 'x.img,readonly=on'],
    /'x.img,readonly=on' is no disk.*ro, overlay/,
  ],
  ['an overlay over what is read-only', ['run', flat, '--disk', 'x.img,ro,overlay'], /'x.img,ro,overlay' is no disk/],
  ['a long id of a disk', ['run', flat, '--disk', `x.img,id=${'x'.repeat(21)}`], /more than 20 bytes/],
  ['no path of a socket', ['heat', flat, '--vsock', ''], /'' is no socket/],
  ['an unknown word of a socket', ['run', flat, '--vsock', `${folder}/v,5`], /'5' is not cid=<number>/],
  [
    'a cid that is the host',
    ['run', flat, '--vsock', `${folder}/v,cid=2`],
    /cid must be .*got (0x)?2 .*ERR_OUT_OF_RANGE/,
  ],
  ['a socket where there is a file', ['run', flat, '--vsock', flat], /flat.bin' cannot be .*EADDRINUSE/],
  ['a socket in no folder', ['run', flat, '--vsock', join(folder, 'none/v')], /none\/v' cannot be the socket/],
  ['a socket with a long path', ['run', flat, '--vsock', join(folder, 'x'.repeat(90))], /96 bytes/],
  ['an argument of doctor', ['doctor', 'please'], /too many arguments/],
  ['no vCPU', ['run', flat, '--cpus', '0'], /'0' is no count/],
  ['half a vCPU', ['run', flat, '--cpus', '1.5'], /'1.5' is no count/],
  ['a size without sense', ['run', flat, '--memory', 'much'], /'much' is no size/],
  ['a size that is no page', ['run', flat, '--memory', '1000'], /no multiple of a page/],
  ['a size above 2^53', ['run', flat, '--memory', '99999999T'], /is no size/],
  ['an unknown engine', ['run', flat, '--engine', 'steam'], /Allowed choices/],
  ['an unknown mode', ['run', flat, '--mode', '8'], /Allowed choices/],
  ['a negative address', ['run', flat, '--at', '-1'], /is no address/],
  ['no time', ['run', flat, '--timeout', '0'], /'0' is no time/],
  ['a mode for a program', ['run', module, '--mode', '64'], /--mode has no meaning/],
  ['an entry outside the image', ['run', flat, '--entry', '0x5'], /ERR_OUT_OF_RANGE/],
  ['ring 3 in real mode', ['run', flat, '--mode', '16', '--cpl', '3'], /ERR_OUT_OF_RANGE/],
];
for (const [name, args, message] of wrong) {
  test(`${name}: status 2`, async () => {
    const { status, stdout, stderr } = await nodeKvm(args);
    assert.is(status, 2, stderr);
    assert.is(stdout, '');
    assert.match(stderr, message);
  });
}

for (const args of [['--help'], ['run', '--help'], ['doctor', '--help'], ['--version']]) {
  test(`${args.join(' ')}: status 0`, async () => {
    const { status, stdout } = await nodeKvm(args);
    assert.is(status, 0);
    assert.ok(stdout.length > 4);
  });
}

test('a disk that cannot be opened: status 1, with path and reason, and the socket is gone', async () => {
  const socket = join(folder, 'v.sock');
  const args = ['run', flat, '--disk', join(folder, 'no,,disk'), '--vsock', socket, '--engine', 'host'];
  const { status, stderr } = await nodeKvm(args);
  assert.is(status, 1, stderr);
  assert.match(stderr, /no,disk cannot be opened: ENOENT.*ERR_IMAGE_READ/);
  assert.not(existsSync(socket));
});

test('an image that cannot be read: status 1, with path and reason', async () => {
  const { status, stderr } = await nodeKvm(['run', join(folder, 'none')]);
  assert.is(status, 1);
  assert.match(stderr, /none.*ENOENT.*ERR_IMAGE_READ/);
});

test.run();
