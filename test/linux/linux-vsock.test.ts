// virtio-vsock under Linux's own driver: connections from either side, the end of one direction, refusals, several at once, and streams whose
// hashes are equal at both ends. One guest for all.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type VsockSocket, vsock } from 'node-kvm';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { GuestShell, SharedGuest, speed } from '../guest-shell.ts';
import { linuxSuite } from '../linux-guest.ts';
import { slowness } from '../slowness.ts';

const test = linuxSuite('linux vsock');
const STREAM_BYTES = (slowness > 1 ? 4 : 64) << 20;
/** Ports of the guest's: what is served there. */
const CAT = 1000;
const HASH = 1001;
/** Ports of the host's. */
const UPPER = 2000;
const SINK = 2001;
const NOBODY = 2999;

const sockets = vsock();
const shared = new SharedGuest(() =>
  GuestShell.boot({
    vcpus: 2,
    programs: ['sock'],
    virtio: [sockets.device],
    job: `load virtio_mmio; load vmw_vsock_virtio_transport; sock serve vsock:-1:${CAT} cat; sock serve vsock:-1:${HASH} sha256sum`,
  }),
);
test.after(() => shared.dispose());

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function everything(socket: VsockSocket): Promise<string> {
  let text = '';
  // Leaving the loop must not destroy it: the other direction may go on.
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) text += chunk;
  return text;
}

test('the host connects: an echo, and the answer that comes after its own end', async () => {
  await shared.get();
  const echo = await sockets.connect(CAT);
  assert.is(echo.remotePort, CAT);
  echo.write('once');
  assert.is(String((await once(echo, 'data'))[0]), 'once');
  echo.write('again');
  assert.is(String((await once(echo, 'data'))[0]), 'again');
  echo.end();
  await once(echo.resume(), 'close');

  // sha256sum reads to the end of its input before it says a word.
  const hash = await sockets.connect(HASH);
  hash.end('half of a connection');
  assert.match(await everything(hash), sha256(Buffer.from('half of a connection')));
});

test('the guest connects: the host answers after the guest’s end', async () => {
  const guest = await shared.get();
  using server = sockets.listen(UPPER);
  const answer = guest.run(`echo from the guest | sock connect vsock:2:${UPPER}`);
  for await (const socket of server) {
    socket.end((await everything(socket)).toUpperCase());
    break;
  }
  assert.is(await answer, 'FROM THE GUEST\n');
});

test('a port where nobody listens refuses, on either side', async () => {
  const guest = await shared.get();
  assert.is(await codeOf(sockets.connect(NOBODY)), 'ECONNREFUSED');
  const { status, text } = await guest.try(`sock connect vsock:2:${NOBODY}`);
  assert.is(status, 1);
  // What Linux makes of a RST.
  assert.match(text, 'connect: Connection reset by peer');
});

test('the guest kills its end: the host hears of a reset or an end, and the port serves on', async () => {
  const guest = await shared.get();
  using server = sockets.listen(SINK);
  await guest.run(`sock serve vsock:-1:1002 sleep 1000; sleep 1000 | sock connect vsock:2:${SINK} &`);
  for await (const socket of server) {
    const gone = once(socket.resume(), 'close');
    await guest.run('killall -9 sock sleep');
    await gone;
    break;
  }
  // The servers were killed with it.
  await guest.run(`sock serve vsock:-1:${CAT} cat; sock serve vsock:-1:${HASH} sha256sum`);
  const echo = await sockets.connect(CAT);
  echo.end('there again');
  assert.is(await everything(echo), 'there again');
});

test('twelve connections at once, from both sides, do not mix', async () => {
  const guest = await shared.get();
  using _server = sockets.listen(UPPER, async socket => {
    socket.end((await everything(socket)).toUpperCase());
  });
  const words = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'];
  const theirs = guest.run(
    `for w in ${words.join(' ')}; do yes $w | head -n 200 | sock connect vsock:2:${UPPER} > /$w & done; wait; for w in ${words.join(' ')}; do sort -u /$w; wc -l < /$w; done`,
  );
  const ours = words.map(async (_, number) => {
    const data = randomBytes(10_000 + 7919 * number);
    const socket = await sockets.connect(HASH);
    socket.end(data);
    assert.match(await everything(socket), sha256(data));
  });
  await Promise.all(ours);
  assert.is(await theirs, words.map(word => `${word.toUpperCase()}\n200\n`).join(''));
});

test('a machine that stands still does not answer: the signal ends the attempt, and it works when it goes on', async () => {
  const { vm } = await shared.get();
  await vm.pause();
  assert.is(await codeOf(sockets.connect(CAT, { signal: AbortSignal.timeout(100) })), 'ERR_ABORTED');
  const patient = sockets.connect(CAT);
  await vm.resume();
  const socket = await patient;
  socket.end('patience');
  assert.is(await everything(socket), 'patience');
});

test('a stream from the host is the same for the guest', async () => {
  await shared.get();
  const data = randomBytes(STREAM_BYTES);
  const expected = sha256(data);
  const socket = await sockets.connect(HASH);
  const began = performance.now();
  socket.end(data);
  const answer = await everything(socket);
  console.log(`vsock, host to guest: ${speed(data.length, performance.now() - began)}`);
  assert.match(answer, expected);
});

test('a stream from the guest is the same for the host', async () => {
  const guest = await shared.get();
  const expected = await guest.run(`head -c ${STREAM_BYTES} /dev/urandom > /stream; sha256sum < /stream`);
  using server = sockets.listen(SINK);
  const sending = guest.run(`sock connect vsock:2:${SINK} < /stream; rm /stream`);
  for await (const socket of server) {
    const hash = createHash('sha256');
    const began = performance.now();
    let bytes = 0;
    for await (const chunk of socket) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
    }
    console.log(`vsock, guest to host: ${speed(bytes, performance.now() - began)}`);
    socket.end();
    assert.is(bytes, STREAM_BYTES);
    assert.match(expected, hash.digest('hex'));
    break;
  }
  await sending;
});

test('the machine powers off: what is open hears of it', async () => {
  const guest = await shared.get();
  const open = await sockets.connect(CAT);
  const heard = once(open, 'error').then(([error]) => (error as { code: string }).code, String);
  assert.is((await guest.end()).reason, 'power-off');
  // The driver's reset of the device, or the end of the machine: whichever the guest came to.
  assert.match(await heard, /^(ECONNRESET|ENETDOWN)$/);
  assert.is(await codeOf(sockets.connect(CAT)), 'ENETDOWN');
});

test.run();
