// Draws the page of `node-kvm heat --html` in a browser: the map (time to the right, addresses downwards), the dirty rate under it on
// the same time axis, and what is under the pointer. Must not import anything but types and its own neighbours: it has the browser's globals only.

import type { HeatPageData } from './data.ts';
import { addressAxis, type Band, plainAddress, showBytes, showTime, ticks } from './scales.ts';

/** From little to everything dirty, by theme: on dark pages hot is bright, on light ones hot is dark. */
const COLOURS = {
  dark: ['#421e6e', '#802582', '#be3764', '#e8602d', '#faa828', '#fcfcaa'],
  light: ['#fde9a6', '#fdbf5c', '#f27d47', '#c93b6f', '#7d2080', '#2a0a4e'],
} as const;

/** Pixels of the page. */
const LEFT = 118;
const RIGHT = 14;
const TOP = 8;
const GAP = 30;
const CURVE = 130;
const BOTTOM = 40;

interface Place {
  /** Indices; a place over the curve has no cell. */
  readonly interval: number;
  readonly cell: number | undefined;
}

const data = JSON.parse(byId('data').textContent ?? '') as HeatPageData;
const { intervals, stretches, cellBytes, pageBytes } = data;
const endMs = intervals.at(-1)?.endMs ?? 1;
const cells = stretches.flatMap(({ guestAddr, size }) =>
  Array.from({ length: Math.ceil(size / cellBytes) }, (_, index) => ({
    guestAddr: guestAddr + index * cellBytes,
    size: Math.min(cellBytes, size - index * cellBytes),
  })),
);
const dense = intervals.map(({ cells: pairs }) => {
  const counts = new Uint32Array(cells.length);
  let cell = -1;
  for (let i = 0; i < pairs.length; i += 2) {
    cell += (pairs[i] ?? 0) + 1;
    counts[cell] = pairs[i + 1] ?? 0;
  }
  return counts;
});
const rates = intervals.map(({ beginMs, endMs: end, pages }) => (end > beginMs ? (1000 * pages) / (end - beginMs) : 0));

const canvas = byId('map') as HTMLCanvasElement;
const tip = byId('tip');
const picture = document.createElement('canvas');
let shown: Place | undefined;
let width = 0;
let mapHeight = 0;
let bands: readonly Band[] = [];

function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no ${id}`);
  return element;
}

function context(of: HTMLCanvasElement): CanvasRenderingContext2D {
  const result = of.getContext('2d');
  if (result === null) throw new Error('this browser draws no canvas');
  return result;
}

const isDark = () => matchMedia('(prefers-color-scheme: dark)').matches && !matchMedia('print').matches;
const variable = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const plotWidth = () => width - LEFT - RIGHT;
const x = (ms: number) => LEFT + (ms / endMs) * plotWidth();
const count = (value: number) => Math.round(value).toLocaleString('en-US');

/** The colour scale as 256 steps of red, green, blue. Step 0 is the least dirty, not clean. */
function palette(): Uint8Array {
  const strip = document.createElement('canvas');
  strip.width = 256;
  strip.height = 1;
  const pen = context(strip);
  const gradient = pen.createLinearGradient(0, 0, 256, 0);
  const colours = COLOURS[isDark() ? 'dark' : 'light'];
  colours.forEach((colour, index) => {
    gradient.addColorStop(index / (colours.length - 1), colour);
  });
  pen.fillStyle = gradient;
  pen.fillRect(0, 0, 256, 1);
  return new Uint8Array(pen.getImageData(0, 0, 256, 1).data);
}

/** 0 for clean, else 1 to 256: logarithmic, so that one page of many still shows. */
function heat(interval: number, cell: number): number {
  const pages = (dense[interval]?.[cell] ?? 0) / (intervals[interval]?.harvests ?? 1);
  if (pages === 0) return 0;
  const most = (cells[cell]?.size ?? pageBytes) / pageBytes;
  return 1 + Math.round((255 * Math.log1p(Math.min(pages, most))) / Math.log1p(most));
}

/** Which intervals each column of pixels shows: [first, last]. */
function columnsOf(columns: number): [number, number][] {
  const result: [number, number][] = [];
  let first = 0;
  for (let column = 0; column < columns; column++) {
    const begin = (column / columns) * endMs;
    const end = ((column + 1) / columns) * endMs;
    while (first < intervals.length - 1 && (intervals[first]?.endMs ?? 0) <= begin) first += 1;
    let last = first;
    while (last < intervals.length - 1 && (intervals[last + 1]?.beginMs ?? 0) < end) last += 1;
    result.push([first, last]);
  }
  return result;
}

/** Fills the map's pixels: each shows the hottest of the cells and intervals that fall into it. */
function drawCells(pen: CanvasRenderingContext2D, scale: number): void {
  const columns = Math.max(1, Math.round(plotWidth() * scale));
  const colours = palette();
  const perPixel = columnsOf(columns);
  for (const band of bands) {
    if (band.cells === 0) continue;
    const rows = Math.max(1, Math.round(band.height * scale));
    const image = new ImageData(columns, rows);
    for (let row = 0; row < rows; row++) {
      const low = band.firstCell + Math.floor((row / rows) * band.cells);
      const high = Math.max(low, band.firstCell + Math.ceil(((row + 1) / rows) * band.cells) - 1);
      for (let column = 0; column < columns; column++) {
        const [first, last] = perPixel[column] ?? [0, 0];
        let hottest = 0;
        for (let interval = first; interval <= last; interval++)
          for (let cell = low; cell <= high; cell++) hottest = Math.max(hottest, heat(interval, cell));
        if (hottest === 0) continue;
        const at = 4 * (row * columns + column);
        image.data.set(colours.subarray(4 * (hottest - 1), 4 * (hottest - 1) + 3), at);
        image.data[at + 3] = 255;
      }
    }
    const layer = document.createElement('canvas');
    layer.width = columns;
    layer.height = rows;
    context(layer).putImageData(image, 0, 0);
    pen.fillStyle = variable('--empty');
    pen.fillRect(LEFT, band.top, plotWidth(), band.height);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(layer, LEFT, band.top, plotWidth(), band.height);
  }
}

function drawAddresses(pen: CanvasRenderingContext2D): void {
  pen.textAlign = 'right';
  pen.textBaseline = 'middle';
  for (const band of bands) {
    if (band.cells === 0) {
      pen.fillStyle = variable('--hole');
      pen.fillRect(LEFT, band.top, plotWidth(), band.height);
      pen.fillStyle = variable('--quiet');
      pen.textAlign = 'left';
      pen.fillText(`hole, ${showBytes(band.size)}`, LEFT + 8, band.top + band.height / 2 + 1);
      pen.textAlign = 'right';
      continue;
    }
    for (const { address, at } of band.labels) {
      pen.fillStyle = variable('--quiet');
      pen.fillText(plainAddress(address), LEFT - 8, at + 1);
      pen.fillRect(LEFT - 5, Math.round(at), 5, 1);
    }
    pen.strokeStyle = variable('--quiet');
    for (const address of data.boundaries) {
      const at = band.top + ((address - band.guestAddr) / band.size) * band.height;
      if (at <= band.top || at >= band.top + band.height) continue;
      // Marks at both edges: a line across would cover what was written there.
      line(pen, LEFT - 8, at, LEFT + 4, at);
      line(pen, LEFT + plotWidth() - 4, at, LEFT + plotWidth() + 8, at);
    }
  }
  pen.save();
  pen.translate(13, TOP + mapHeight / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = 'center';
  pen.fillStyle = variable('--text');
  pen.fillText('guest address', 0, 0);
  pen.restore();
}

function line(pen: CanvasRenderingContext2D, fromX: number, fromY: number, toX: number, toY: number): void {
  pen.beginPath();
  pen.moveTo(Math.round(fromX) + 0.5, Math.round(fromY) + 0.5);
  pen.lineTo(Math.round(toX) + 0.5, Math.round(toY) + 0.5);
  pen.stroke();
}

function drawCurve(pen: CanvasRenderingContext2D): void {
  const bottom = TOP + mapHeight + GAP + CURVE;
  const marks = ticks(
    rates.reduce((most, rate) => Math.max(most, rate), 1),
    4,
  );
  const most = Math.max(1, ...marks);
  const y = (rate: number) => bottom - (rate / most) * CURVE;
  pen.textAlign = 'right';
  pen.textBaseline = 'middle';
  pen.strokeStyle = variable('--line');
  pen.fillStyle = variable('--quiet');
  for (const mark of marks) {
    line(pen, LEFT, y(mark), LEFT + plotWidth(), y(mark));
    pen.fillText(count(mark), LEFT - 8, y(mark));
  }
  pen.save();
  pen.beginPath();
  pen.moveTo(LEFT, bottom);
  for (const [index, { beginMs, endMs: end }] of intervals.entries()) {
    pen.lineTo(x(beginMs), y(rates[index] ?? 0));
    pen.lineTo(x(end), y(rates[index] ?? 0));
  }
  pen.lineTo(LEFT + plotWidth(), bottom);
  pen.fillStyle = variable('--fill');
  pen.fill();
  pen.strokeStyle = variable('--curve');
  pen.lineWidth = 1.5;
  pen.stroke();
  pen.restore();

  pen.textAlign = 'center';
  pen.textBaseline = 'top';
  pen.strokeStyle = variable('--quiet');
  pen.fillStyle = variable('--quiet');
  line(pen, LEFT, bottom, LEFT + plotWidth(), bottom);
  for (const ms of ticks(endMs, Math.max(2, Math.floor(plotWidth() / 110)))) {
    if (ms > endMs) continue;
    line(pen, x(ms), TOP + mapHeight, x(ms), TOP + mapHeight + 5);
    line(pen, x(ms), bottom, x(ms), bottom + 5);
    pen.fillText(showTime(ms, endMs), x(ms), TOP + mapHeight + 8);
    pen.fillText(showTime(ms, endMs), x(ms), bottom + 8);
  }
  pen.fillStyle = variable('--text');
  pen.fillText('time since the start of the guest', LEFT + plotWidth() / 2, bottom + 24);
  pen.save();
  pen.translate(13, bottom - CURVE / 2);
  pen.rotate(-Math.PI / 2);
  pen.textBaseline = 'middle';
  pen.fillText('dirty pages/s', 0, 0);
  pen.restore();
}

/** Everything anew: size, theme or paper changed. */
function draw(): void {
  width = canvas.clientWidth;
  mapHeight = Math.max(260, Math.min(560, Math.round(width * 0.4)));
  bands = addressAxis({ stretches, cellBytes, top: TOP, height: mapHeight });
  const scale = Math.max(1, window.devicePixelRatio);
  const height = TOP + mapHeight + GAP + CURVE + BOTTOM;
  picture.width = canvas.width = Math.round(width * scale);
  picture.height = canvas.height = Math.round(height * scale);
  canvas.style.height = `${height}px`;
  const pen = context(picture);
  pen.scale(scale, scale);
  pen.font = '12.5px system-ui, sans-serif';
  drawCells(pen, scale);
  drawAddresses(pen);
  drawCurve(pen);
  drawLegend();
  show(shown);
}

function drawLegend(): void {
  const ramp = byId('ramp') as HTMLCanvasElement;
  ramp.width = 257;
  ramp.height = 1;
  const pen = context(ramp);
  const colours = palette();
  pen.fillStyle = variable('--empty');
  pen.fillRect(0, 0, 1, 1);
  for (let step = 0; step < 256; step++) {
    pen.fillStyle = `rgb(${colours[4 * step]} ${colours[4 * step + 1]} ${colours[4 * step + 2]})`;
    pen.fillRect(step + 1, 0, 1, 1);
  }
  const pages = cellBytes / pageBytes;
  byId('most').textContent =
    `all ${pages === 1 ? '' : `${count(pages)} pages `}of a cell written between two looks (logarithmic); a cell is ${showBytes(cellBytes)}`;
}

/** Marks a place and says what is there. */
function show(place: Place | undefined): void {
  shown = place;
  const pen = context(canvas);
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0);
  tip.hidden = place === undefined;
  const interval = intervals[place?.interval ?? -1];
  if (place === undefined || interval === undefined) return;
  const scale = Math.max(1, window.devicePixelRatio);
  pen.scale(scale, scale);
  pen.strokeStyle = variable('--text');
  const middle = (x(interval.beginMs) + x(interval.endMs)) / 2;
  line(pen, middle, TOP, middle, TOP + mapHeight + GAP + CURVE);
  let top = TOP + mapHeight + GAP;
  const text = [`${showTime(interval.beginMs, endMs, true)} to ${showTime(interval.endMs, endMs, true)}`];
  const cell = cells[place.cell ?? -1];
  if (cell !== undefined && place.cell !== undefined) {
    const band = bands.find(
      ({ firstCell, cells: length }) =>
        length > 0 && firstCell <= (place.cell ?? 0) && (place.cell ?? 0) < firstCell + length,
    );
    top = (band?.top ?? 0) + ((place.cell - (band?.firstCell ?? 0) + 0.5) / (band?.cells ?? 1)) * (band?.height ?? 0);
    line(pen, LEFT, top, LEFT + plotWidth(), top);
    const pages = dense[place.interval]?.[place.cell] ?? 0;
    text.unshift(`${plainAddress(cell.guestAddr)}–${plainAddress(cell.guestAddr + cell.size - 1)}`);
    text.push(
      `${count(pages)} dirty of ${count(cell.size / pageBytes)} pages${interval.harvests > 1 ? `, in ${interval.harvests} looks together` : ''}`,
    );
  } else text.push(`${count(rates[place.interval] ?? 0)} dirty pages/s`, `${count(interval.pages)} dirty pages in all`);
  tip.textContent = text.join('\n');
  const left = middle + 14 + tip.offsetWidth < width ? middle + 14 : middle - 14 - tip.offsetWidth;
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${Math.max(0, top - tip.offsetHeight - 8)}px`;
}

/** What is at a point of the canvas, in pixels of the page. */
function placeAt(pointX: number, pointY: number): Place | undefined {
  const ms = ((pointX - LEFT) / plotWidth()) * endMs;
  if (ms < 0 || ms > endMs) return undefined;
  const interval = intervals.findIndex(({ endMs: end }) => ms <= end);
  if (interval < 0) return undefined;
  if (pointY > TOP + mapHeight) return { interval, cell: undefined };
  const band = bands.find(({ top, height }) => pointY >= top && pointY < top + height);
  if (band === undefined || band.cells === 0) return undefined;
  const row = Math.floor(((pointY - band.top) / band.height) * band.cells);
  return { interval, cell: band.firstCell + Math.min(band.cells - 1, row) };
}

const MOVES: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

canvas.addEventListener('pointermove', event => show(placeAt(event.offsetX, event.offsetY)));
canvas.addEventListener('pointerleave', () => show(undefined));
canvas.addEventListener('blur', () => show(undefined));
canvas.addEventListener('keydown', event => {
  const move = MOVES[event.key];
  if (event.key === 'Escape') show(undefined);
  if (move === undefined || intervals.length === 0) return;
  event.preventDefault();
  const within = (value: number, length: number) => Math.max(0, Math.min(length - 1, value));
  show({
    interval: within((shown?.interval ?? 0) + move[0], intervals.length),
    cell: within((shown?.cell ?? 0) + move[1], cells.length),
  });
});
new ResizeObserver(() => {
  if (canvas.clientWidth !== width) draw();
}).observe(canvas);
for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', draw);
draw();
