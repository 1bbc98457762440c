// A virtio device module for tests, with two queues: gives back what it reads. `data` says how: 'echo': at once; 'hold': when a message comes by `port`, to which it reports
// its life; 'throw', 'exit': not at all, nor does it pause; 'refuse': there is no device; 'odd': no transport takes it.

import type { MessagePort } from 'node:worker_threads';
import { HypervisorError } from 'node-kvm';
import type { Chain } from '../../../shared/virtio/chain.ts';
import type { HostedVirtioDevice, VirtioDeviceContext } from '../../../shared/virtio/module.ts';
import type { Virtqueue } from '../../../shared/virtio/queue.ts';

export interface EchoData {
  readonly act: 'echo' | 'hold' | 'throw' | 'exit' | 'refuse' | 'odd';
  readonly port?: MessagePort;
}

const ECHO_DEVICE = 42;

class Echo implements HostedVirtioDevice {
  readonly name = 'echo';
  readonly id = ECHO_DEVICE;
  readonly features = 0n;
  readonly queueSizes: readonly number[];
  readonly #data: EchoData;
  readonly #held: [Virtqueue, Chain][] = [];

  constructor(data: EchoData) {
    this.#data = data;
    this.queueSizes = data.act === 'odd' ? [3] : [16, 16];
    data.port?.on('message', () => {
      for (const [queue, chain] of this.#held.splice(0)) {
        queue.put(chain, this.#copy(chain));
        queue.signal();
      }
    });
  }

  config(): Uint8Array {
    return Uint8Array.of(1, 2, 3, 4);
  }

  onQueue(queue: Virtqueue): void {
    const { act } = this.#data;
    if (act === 'echo') {
      queue.serve(chain => this.#copy(chain));
      return;
    }
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      if (act === 'throw') throw new Error('thrown on purpose');
      if (act === 'exit') process.exit(7);
      this.#held.push([queue, chain]);
      this.#report(`held ${this.#held.length}`);
    }
  }

  pause(): void {
    if (this.#data.act === 'throw') throw new Error('thrown on purpose');
    this.#report('pause');
  }

  resume(): void {
    this.#report('resume');
  }

  reset(): void {
    this.#report('reset');
  }

  close(): void {
    this.#report('close');
    this.#data.port?.close();
  }

  #copy(chain: Chain): number {
    const bytes = new Uint8Array(Math.min(chain.readableLength, chain.writableLength));
    chain.read(0, bytes);
    return chain.write(0, bytes);
  }

  #report(what: string): void {
    this.#data.port?.postMessage(what);
  }
}

export async function createVirtioDevice({ data }: VirtioDeviceContext): Promise<HostedVirtioDevice> {
  // SAFETY: the tests give it nothing else.
  const echo = data as EchoData;
  if (echo.act === 'refuse') throw new HypervisorError('ERR_IMAGE_FORMAT', 'refused on purpose');
  return new Echo(echo);
}
