// virtio-net, the network device (VIRTIO 1.2, 5.1): one pair of queues, frames of Ethernet without offloads. Device's thread; pure:
// what carries the frames is handed in. Nothing waits here in either direction: a frame that nobody can take is dropped and counted,
// as networks do, so a slow receiver costs no memory and a fast sender no time.

import { outOfRange } from '../errors.ts';
import type { Chain } from './chain.ts';
import type { VirtioContext, VirtioDevice } from './device.ts';
import type { Virtqueue } from './queue.ts';

const NETWORK_DEVICE = 1;
const QUEUE_SIZE = 256;
const RX = 0;
const TX = 1;
/** Flags and sizes of offloads, all 0 here, and the number of buffers of a received frame. */
export const NET_HEADER = 12;
const HEADER_BUFFERS = 10;
/** Two addresses and a type; four bytes more with a VLAN tag. */
export const FRAME_MIN = 14;
const FRAME_EXTRA = 18;
export const MTU_MIN = 68;
export const MTU_MAX = 65_535 - FRAME_EXTRA;

export const NET_F = { MTU: 1n << 3n, MAC: 1n << 5n } as const;

/** One end of whatever carries frames: a cable, a socket. */
export interface NetBackend {
  /** A frame of the guest's, the backend's to keep. Does not block; false: it has no room, and drops the frame. */
  send(frame: Uint8Array<ArrayBuffer>): boolean;
  /** Set by the device: a frame for the guest, which is copied. False: the guest had no buffer, and the frame is gone. */
  onFrame: ((frame: Uint8Array) => boolean) | undefined;
  close(): void;
}

/** Frames, since the device was made. */
export interface NetCounters {
  sent: number;
  received: number;
  /** The backend had no room. */
  sentDropped: number;
  /** The guest had no buffer, or too small a one. */
  receivedDropped: number;
  /** The guest's were too short or too long for a frame. */
  malformed: number;
}

export interface VirtioNetOptions {
  /** Six bytes; an individual address. */
  readonly mac: Uint8Array;
  /** Bytes of a frame's payload at most: 68 to 65,517. */
  readonly mtu: number;
}

export class VirtioNet implements VirtioDevice {
  readonly name = 'virtio-net';
  readonly id = NETWORK_DEVICE;
  readonly features = NET_F.MTU | NET_F.MAC;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE];
  readonly counters: NetCounters = { sent: 0, received: 0, sentDropped: 0, receivedDropped: 0, malformed: 0 };
  readonly #config = new Uint8Array(12);
  readonly #frameMax: number;
  readonly #backend: NetBackend;
  readonly #header = new Uint8Array(NET_HEADER);
  #context: VirtioContext | undefined;
  /** A buffer that was too small for the frame it was taken for: the next one may fit. */
  #spare: Chain | undefined;

  /** @throws RangeError for an address or an MTU that cannot be */
  constructor({ mac, mtu }: VirtioNetOptions, backend: NetBackend) {
    if (mac.length !== 6 || ((mac[0] ?? 1) & 1) !== 0)
      throw outOfRange('mac', 'six bytes, the first of them even', [...mac].join(':'));
    if (!Number.isInteger(mtu) || mtu < MTU_MIN || mtu > MTU_MAX)
      throw outOfRange('mtu', `an integer from ${MTU_MIN} to ${MTU_MAX}`, mtu);
    this.#config.set(mac);
    new DataView(this.#config.buffer).setUint16(10, mtu, true);
    this.#frameMax = mtu + FRAME_EXTRA;
    this.#header[HEADER_BUFFERS] = 1;
    this.#backend = backend;
    backend.onFrame = frame => this.#receive(frame);
  }

  config(): Uint8Array {
    return this.#config;
  }

  start(context: VirtioContext): void {
    this.#context = context;
  }

  reset(): void {
    this.#context = undefined;
    this.#spare = undefined;
  }

  onQueue(queue: Virtqueue): void {
    // Buffers for frames stay in the ring until there is one.
    if (queue.index === TX) queue.serve(chain => this.#send(chain));
  }

  #send(chain: Chain): number {
    const length = chain.readableLength - NET_HEADER;
    if (length < 0) {
      this.#context?.fault('a frame without its header');
      return 0;
    }
    if (length < FRAME_MIN || length > this.#frameMax) {
      this.counters.malformed += 1;
      return 0;
    }
    // The header says what to complete in the frame, which was not offered.
    const frame = new Uint8Array(length);
    chain.read(NET_HEADER, frame);
    if (this.#backend.send(frame)) this.counters.sent += 1;
    else this.counters.sentDropped += 1;
    return 0;
  }

  #receive(frame: Uint8Array): boolean {
    const queue = this.#context?.queue(RX);
    // The driver may have taken the queue back, and with it the buffer.
    if (this.#spare?.isOpen === false) this.#spare = undefined;
    const chain =
      frame.length < FRAME_MIN || frame.length > this.#frameMax ? undefined : (this.#spare ?? queue?.take());
    if (queue === undefined || chain === undefined || !this.#fits(chain, frame.length)) {
      this.counters.receivedDropped += 1;
      return false;
    }
    this.#spare = undefined;
    chain.write(0, this.#header);
    chain.write(NET_HEADER, frame);
    queue.put(chain, NET_HEADER + frame.length);
    queue.signal();
    this.counters.received += 1;
    return true;
  }

  #fits(chain: Chain, length: number): boolean {
    this.#spare = chain;
    if (chain.writableLength >= NET_HEADER + length) return true;
    if (chain.writableLength < NET_HEADER + FRAME_MIN) this.#context?.fault('a buffer for frames that holds none');
    return false;
  }
}
