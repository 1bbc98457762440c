// The header of a virtio-vsock packet (VIRTIO 1.2, 5.10.6): what is read from the guest, once, and what is written to it. Pure.

import type { Chain } from './chain.ts';

/** Bytes of the header; the payload follows it. */
export const HEADER = 44;
/** The host's context id. */
export const HOST_CID = 2;

export const OP = {
  REQUEST: 1,
  RESPONSE: 2,
  RST: 3,
  SHUTDOWN: 4,
  RW: 5,
  CREDIT_UPDATE: 6,
  CREDIT_REQUEST: 7,
} as const;
export type Op = (typeof OP)[keyof typeof OP];

export const TYPE_STREAM = 1;
/** Flags of SHUTDOWN: the sender will not receive any more, will not send any more. They are never taken back. */
export const SHUT_RECEIVE = 1;
export const SHUT_SEND = 2;
export const SHUT_BOTH = 3;

/** One header. Ports are 32 bits wide; `bufferSize` and `forwarded` are the sender's credit (5.10.6.3). */
export class VsockHeader {
  sourceCid = 0n;
  targetCid = 0n;
  sourcePort = 0;
  targetPort = 0;
  /** Bytes of payload. */
  length = 0;
  type = TYPE_STREAM;
  op = 0;
  flags = 0;
  bufferSize = 0;
  forwarded = 0;
  readonly #bytes = new Uint8Array(HEADER);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Reads the driver's header; false where the chain is too short for one, or for the payload that it announces. */
  load(chain: Chain): boolean {
    if (chain.read(0, this.#bytes) < HEADER) return false;
    const view = this.#view;
    this.sourceCid = view.getBigUint64(0, true);
    this.targetCid = view.getBigUint64(8, true);
    this.sourcePort = view.getUint32(16, true);
    this.targetPort = view.getUint32(20, true);
    this.length = view.getUint32(24, true);
    this.type = view.getUint16(28, true);
    this.op = view.getUint16(30, true);
    this.flags = view.getUint32(32, true);
    this.bufferSize = view.getUint32(36, true);
    this.forwarded = view.getUint32(40, true);
    return this.length <= chain.readableLength - HEADER;
  }

  store(chain: Chain): void {
    const view = this.#view;
    view.setBigUint64(0, this.sourceCid, true);
    view.setBigUint64(8, this.targetCid, true);
    view.setUint32(16, this.sourcePort, true);
    view.setUint32(20, this.targetPort, true);
    view.setUint32(24, this.length, true);
    view.setUint16(28, this.type, true);
    view.setUint16(30, this.op, true);
    view.setUint32(32, this.flags, true);
    view.setUint32(36, this.bufferSize, true);
    view.setUint32(40, this.forwarded, true);
    chain.write(0, this.#bytes);
  }
}
