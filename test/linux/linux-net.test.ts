// virtio-net under Linux's own driver: two of a guest's network cards on one cable, one of them in a network namespace of its own, and TCP
// between them; a third one whose cable ends in the application, with frames that are larger than a page. One guest for all.

import { randomBytes } from 'node:crypto';
import { type NetLink, net, netLink } from 'node-kvm';
import * as assert from 'uvu/assert';
import { GuestShell, SharedGuest, speed } from '../guest-shell.ts';
import { linuxSuite } from '../linux-guest.ts';
import { slowness } from '../slowness.ts';

const test = linuxSuite('linux net');
const STREAM_BYTES = (slowness > 1 ? 2 : 64) << 20;
const MACS = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c'] as const;
const MTU_LARGE = 9000;
/** Of the application, on the third cable. */
const OUR_MAC = '02:00:00:00:00:01';
const OUR_ADDRESS = Buffer.from(OUR_MAC.replaceAll(':', ''), 'hex');

const [left, right] = netLink();
const [third, ours] = netLink();
const shared = new SharedGuest(() =>
  GuestShell.boot({
    vcpus: 1,
    programs: ['sock'],
    virtio: [
      net({ to: left, mac: MACS[0] }),
      net({ to: right, mac: MACS[1] }),
      net({ to: third, mac: MACS[2], mtu: MTU_LARGE }),
    ],
    job: [
      'load virtio_mmio; load virtio_net',
      'ip link set lo up; ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; ip addr add 10.0.1.1/24 dev eth2; ip link set eth2 up',
      // The other card, in a namespace that lives as long as a process in it.
      'unshare -n sleep 100000 & peer=$!; until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do usleep 10000; done',
      'ip link set eth1 netns $peer; there="nsenter -t $peer -n"; $there ip addr add 10.0.0.2/24 dev eth1; $there ip link set eth1 up',
      '$there sock serve tcp:10.0.0.2:5000 sha256sum',
    ].join('; '),
  }),
);
test.after(() => shared.dispose());

test('the driver has the addresses and the sizes of frames that the devices say', async () => {
  const guest = await shared.get();
  const show = '/sys/class/net';
  assert.is(await guest.run(`cat ${show}/eth0/address ${show}/eth2/address`), `${MACS[0]}\n${MACS[2]}\n`);
  assert.match(await guest.run('$there ip link show eth1'), MACS[1]);
  assert.is(await guest.run(`cat ${show}/eth0/mtu ${show}/eth2/mtu`), `1500\n${MTU_LARGE}\n`);
});

test('the two cards reach each other over the cable', async () => {
  const guest = await shared.get();
  assert.match(await guest.run('ping -c 1 -W 60 10.0.0.2'), '1 packets received');
  const seen = await guest.run('cat /proc/net/arp');
  assert.match(seen, MACS[1], 'it was the other card that answered');
});

test('a TCP stream over the cable is the same at its other end', async () => {
  const guest = await shared.get();
  const expected = await guest.run(`head -c ${STREAM_BYTES} /dev/urandom > /stream; sha256sum < /stream`);
  const before = Number(await guest.run('cat /sys/class/net/eth0/statistics/tx_bytes'));
  const began = performance.now();
  const hash = await guest.run('sock connect tcp:10.0.0.2:5000 < /stream; rm /stream');
  console.log(`net, TCP between two cards: ${speed(STREAM_BYTES, performance.now() - began)}`);
  assert.is(hash, expected);
  const sent = Number(await guest.run('cat /sys/class/net/eth0/statistics/tx_bytes')) - before;
  assert.ok(sent > STREAM_BYTES, `${sent} bytes went over the card`);
});

test('the application at the other end: ARP, and datagrams larger than a page, as they were', async () => {
  const guest = await shared.get();
  const link = ours.open();
  const peer = answerAll(link);
  await guest.run('sock ask udp:10.0.1.2:7 20 100');
  await guest.run(`sock ask udp:10.0.1.2:7 10 ${MTU_LARGE - 28}`);
  assert.match(await guest.run('cat /proc/net/arp'), OUR_MAC);
  assert.ok(peer.largest >= MTU_LARGE + 14, `the largest frame had ${peer.largest} bytes`);
  assert.is(link.dropped, 0);

  // Too short, too long, and nothing that anybody knows: the card goes on.
  for (const length of [0, 13, 20_000, 60, 1500]) link.write(randomBytes(length));
  await guest.run('sock ask udp:10.0.1.2:7 1 100');
  link.destroy();
});

test('the machine powers off', async () => {
  const guest = await shared.get();
  assert.is((await guest.end()).reason, 'power-off');
});

/** A host that says that every address is its own, and sends each IPv4 datagram back to whom it came from. */
function answerAll(link: NetLink): { largest: number } {
  const seen = { largest: 0 };
  link.on('data', (frame: Buffer) => {
    seen.largest = Math.max(seen.largest, frame.length);
    const answer = Buffer.from(frame);
    frame.copy(answer, 0, 6, 12);
    OUR_ADDRESS.copy(answer, 6);
    const type = frame.readUInt16BE(12);
    // A question of ARP: who has that address?
    if (type === 0x0806 && frame.readUInt16BE(20) === 1) {
      answer.writeUInt16BE(2, 20);
      OUR_ADDRESS.copy(answer, 22);
      frame.copy(answer, 28, 38, 42);
      frame.copy(answer, 32, 22, 32);
      link.write(answer);
    } else if (type === 0x0800 && frame[23] === 17) {
      // Addresses and ports in exchange: the checksums stay as they are.
      frame.copy(answer, 26, 30, 34);
      frame.copy(answer, 30, 26, 30);
      frame.copy(answer, 34, 36, 38);
      frame.copy(answer, 36, 34, 36);
      link.write(answer);
    }
  });
  return seen;
}

test.run();
