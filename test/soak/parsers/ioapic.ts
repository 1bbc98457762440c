// The IOAPIC's registers and lines, as a guest and devices that mean harm would use them. Every thread.

import { type InterruptMessage, IOAPIC_EOI, IOAPIC_PINS, Ioapic } from '../../../shared/devices/ioapic.ts';
import { oddWord, type Parser, promise, type Verdict } from './parser.ts';

const REMOTE_IRR = 0x4000;
const LEVEL = 0x8000;
const MASKED = 0x1_0000;

export const ioapic: Parser = {
  name: 'ioapic',
  open(random) {
    let sent = 0;
    let routes: readonly (InterruptMessage | undefined)[] = [];
    const look = ({ address, data }: InterruptMessage) =>
      promise(address >>> 20 === 0xfee && data >= 0 && data <= 0xffff, () => `message ${address} ${data}`);
    const chip = new Ioapic({
      send(message) {
        sent += 1;
        look(message);
        return !random.oneIn(4);
      },
      route(messages) {
        routes = messages;
        for (const message of messages) if (message !== undefined) look(message);
      },
    });
    const step = () => {
      const word = oddWord(random, [LEVEL, MASKED, LEVEL | 0x30]);
      const size = random.oneIn(16) ? random.pick([1, 2, 3, 8]) : 4;
      const kind = random.below(4);
      if (kind === 0) chip.setLine(random.below(IOAPIC_PINS + 2), random.oneIn(2));
      else if (kind === 1) chip.write(random.oneIn(4) ? random.below(256) : IOAPIC_EOI, size, word);
      else {
        chip.write(0, size, random.oneIn(8) ? word : random.below(0x42));
        chip.write(0x10, size, word);
      }
    };
    return {
      input(): Verdict {
        const before = sent;
        for (let left = 1 + random.below(8); left > 0; left--) step();
        for (let pin = 0; pin < IOAPIC_PINS; pin++) {
          chip.write(0, 4, 0x10 + 2 * pin);
          const low = chip.read(0x10, 4);
          promise((low & ~0x1_efff) === 0, () => `entry ${pin} is ${low}`);
          promise(
            (low & REMOTE_IRR) === 0 || (low & LEVEL) !== 0,
            () => `entry ${pin}: ${low} waits for the end of an edge`,
          );
          promise(
            routes[pin] === undefined || (low & (MASKED | REMOTE_IRR)) !== MASKED,
            () => `entry ${pin}: ${low} is masked and routed`,
          );
        }
        return sent > before ? 'accepted' : 'refused';
      },
      finish() {
        promise(routes.length === 0 || routes.length === IOAPIC_PINS, () => `${routes.length} routes`);
      },
    };
  },
};
