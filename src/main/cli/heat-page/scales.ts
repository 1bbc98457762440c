// Axes of the heat map's page: where addresses and times lie, and how they are written. Pure; runs in browsers and in tests.

/** A stretch of memory on the address axis, or a hole between two (then `cells` is 0). Pixels of the page. */
export interface Band {
  readonly guestAddr: number;
  readonly size: number;
  readonly top: number;
  readonly height: number;
  readonly firstCell: number;
  readonly cells: number;
  readonly labels: readonly { readonly address: number; readonly at: number }[];
}

const HOLE_HEIGHT = 18;
/** A stretch that is small beside the others is still to be seen. */
const STRETCH_HEIGHT_MIN = 18;
const LABEL_DISTANCE = 30;

/** Stretches get heights by their sizes; holes are all alike, however large. */
export function addressAxis(of: {
  readonly stretches: readonly { readonly guestAddr: number; readonly size: number }[];
  readonly cellBytes: number;
  readonly top: number;
  readonly height: number;
}): Band[] {
  const { stretches, cellBytes } = of;
  const total = stretches.reduce((sum, { size }) => sum + size, 0);
  const room = of.height - HOLE_HEIGHT * (stretches.length - 1) - STRETCH_HEIGHT_MIN * stretches.length;
  const bands: Band[] = [];
  let top = of.top;
  let firstCell = 0;
  for (const [index, { guestAddr, size }] of stretches.entries()) {
    const before = stretches[index - 1];
    if (before !== undefined) {
      const start = before.guestAddr + before.size;
      bands.push({
        guestAddr: start,
        size: guestAddr - start,
        top,
        height: HOLE_HEIGHT,
        firstCell,
        cells: 0,
        labels: [],
      });
      top += HOLE_HEIGHT;
    }
    const height = STRETCH_HEIGHT_MIN + Math.max(0, room) * (size / total);
    const cells = Math.ceil(size / cellBytes);
    bands.push({ guestAddr, size, top, height, firstCell, cells, labels: labelsOf(guestAddr, size, top, height) });
    top += height;
    firstCell += cells;
  }
  return bands;
}

/** The first address, and round ones: multiples of a power of two. */
function labelsOf(guestAddr: number, size: number, top: number, height: number): Band['labels'] {
  const labels = [{ address: guestAddr, at: top }];
  let step = 4096;
  while ((step / size) * height < LABEL_DISTANCE) step *= 2;
  for (let address = Math.ceil((guestAddr + 1) / step) * step; address < guestAddr + size; address += step) {
    const at = top + ((address - guestAddr) / size) * height;
    if (at - top >= LABEL_DISTANCE * 0.6) labels.push({ address, at });
  }
  return labels;
}

/** About `wanted` round steps (1, 2 or 5 times a power of ten) from 0 until `most` is covered. */
export function ticks(most: number, wanted: number): number[] {
  const raw = most / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(candidate => candidate >= raw) ?? raw;
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, index) =>
    Number((index * step).toPrecision(12)),
  );
}

/** `250 ms`, `1.5 s`, `2:05`: in the unit that suits an axis up to `endMs`. `exact`: with one more digit. */
export function showTime(ms: number, endMs: number, exact = false): string {
  if (endMs < 2000) return `${Number(ms.toFixed(exact ? 2 : 1))} ms`;
  if (endMs < 120_000) return `${Number((ms / 1000).toFixed(exact ? 3 : 1))} s`;
  const seconds = ms / 1000;
  const rest = (seconds % 60).toFixed(exact ? 1 : 0).padStart(exact ? 4 : 2, '0');
  return `${Math.floor(seconds / 60)}:${rest} min`;
}

export function plainAddress(address: number): string {
  return `0x${address.toString(16).padStart(8, '0')}`;
}

/** Binary units: `128 KiB`. */
export function showBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${Number(value.toFixed(1))} ${units[unit]}`;
}
