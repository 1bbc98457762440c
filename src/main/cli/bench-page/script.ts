// Draws the charts of `node-kvm bench --html` in a browser, with uPlot: curves with whiskers for confidence intervals, steps, logarithmic
// axes; anew when the theme or the width changes. Must not import anything but uPlot, types and pure neighbours: it has the browser's globals only.

import uPlot from 'uplot';
import css from 'uplot/dist/uPlot.min.css' with { type: 'text' };
import licence from 'uplot/LICENSE' with { type: 'text' };
import { axisText, logSplits, rangeOf } from './axes.ts';
import type { Axis, BenchPageData, Chart, Curve } from './data.ts';

const HEIGHT = 260;
const PAPER_WIDTH = 330;
const WHISKER = 4;
const FONT = '12.5px system-ui, sans-serif';
const DASH = [6, 4];
/** So many colours has the page's style; what comes after begins anew. */
const COLOURS = 8;

const { charts } = JSON.parse(byId('data').textContent ?? '') as BenchPageData;
let plots: uPlot[] = [];

function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no ${id}`);
  return element;
}

const variable = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colourOf = ({ colour }: Curve) => variable(`--curve-${colour % COLOURS}`);
const isOnPaper = () => matchMedia('print').matches;

/** The columns that uPlot draws: every x of any curve, ascending, then each curve's values, null where it has none. */
function columns({ curves }: Chart): uPlot.AlignedData {
  const xs = [...new Set(curves.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  return [
    xs,
    ...curves.map(({ points }) => {
      const values = new Map(points);
      return xs.map(x => values.get(x) ?? null);
    }),
  ];
}

function axis(of: Axis, size: number, splits?: (low: number, high: number) => number[]): uPlot.Axis {
  const lines = { stroke: variable('--line'), width: 1 };
  const result: uPlot.Axis = {
    label: of.label,
    stroke: variable('--text'),
    font: FONT,
    labelFont: FONT,
    labelSize: 20,
    size,
    grid: lines,
    ticks: lines,
    values: (_, marks) => marks.map(mark => (mark === null ? '' : axisText(mark, of.quantity))),
  };
  if (splits !== undefined) result.splits = (_, __, low, high) => splits(low, high);
  // uPlot writes only some marks of a logarithmic axis by default: ours are as many as there is room for.
  if (of.isLog) result.filter = (_, marks) => marks;
  return result;
}

function scale(of: Axis, values: readonly number[], isValue: boolean): uPlot.Scale {
  const range = rangeOf(values, { isLog: of.isLog, fromZero: isValue, isCount: of.quantity === 'count' });
  return { time: false, distr: of.isLog ? 3 : 1, range: () => range };
}

function series(chart: Chart, curve: Curve, index: number): uPlot.Series {
  const result: uPlot.Series = {
    label: curve.name,
    stroke: () => colourOf(curve),
    width: 2,
    spanGaps: true,
    points: { show: chart.shape === 'lines' && curve.points.length <= 24, size: 7, fill: colourOf(curve) },
    value: (_, value) => valueText(chart, curve, value, plots[index]?.cursor.idx),
  };
  if (curve.isDashed) result.dash = DASH;
  if (chart.shape === 'steps' && uPlot.paths.stepped !== undefined) {
    result.paths = uPlot.paths.stepped({ align: -1 });
    result.fill = () => `${colourOf(curve)}30`;
  }
  return result;
}

/** What the legend says of a curve at the pointer: the value, and its interval. */
function valueText(chart: Chart, curve: Curve, value: number | null, at: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  const text = axisText(value, chart.y.quantity, true);
  const x = at === null || at === undefined ? undefined : columns(chart)[0][at];
  const whisker = curve.whiskers?.[curve.points.findIndex(([own]) => own === x)];
  if (whisker === undefined) return text;
  return `${text} (${whisker.map(end => axisText(end, chart.y.quantity, true)).join('–')})`;
}

/** Confidence intervals, over the curves. */
function drawWhiskers(plot: uPlot, { curves }: Chart): void {
  const pen = plot.ctx;
  const ratio = uPlot.pxRatio;
  pen.save();
  pen.lineWidth = 1.5 * ratio;
  for (const [index, curve] of curves.entries()) {
    if (plot.series[index + 1]?.show === false) continue;
    pen.strokeStyle = colourOf(curve);
    for (const [point, [low, high]] of (curve.whiskers ?? []).entries()) {
      const x = plot.valToPos(curve.points[point]?.[0] ?? 0, 'x', true);
      const [top, bottom] = [plot.valToPos(high, 'y', true), plot.valToPos(low, 'y', true)];
      pen.beginPath();
      for (const end of [top, bottom]) {
        pen.moveTo(x - WHISKER * ratio, end);
        pen.lineTo(x + WHISKER * ratio, end);
      }
      pen.moveTo(x, top);
      pen.lineTo(x, bottom);
      pen.stroke();
    }
  }
  pen.restore();
}

function draw(chart: Chart, index: number): uPlot {
  const place = byId(chart.id);
  place.replaceChildren();
  const ys = chart.curves.flatMap(({ points, whiskers }) => [...points.map(([, y]) => y), ...(whiskers ?? []).flat()]);
  const xs = chart.curves.flatMap(({ points }) => points.map(([x]) => x));
  const xSplits =
    chart.x.quantity === 'count' ? wholeNumbers : chart.x.isLog ? logSplits(5, chart.x.quantity) : undefined;
  const options: uPlot.Options = {
    width: isOnPaper() ? PAPER_WIDTH : place.clientWidth,
    height: HEIGHT,
    scales: { x: scale(chart.x, xs, false), y: scale(chart.y, ys, true) },
    axes: [axis(chart.x, 34, xSplits), axis(chart.y, 62, chart.y.isLog ? logSplits(6, chart.y.quantity) : undefined)],
    series: [
      { label: chart.x.label, value: (_, x) => (x === null ? '–' : axisText(x, chart.x.quantity, true)) },
      ...chart.curves.map(curve => series(chart, curve, index)),
    ],
    cursor: { drag: { x: false, y: false } },
    hooks: { draw: [plot => drawWhiskers(plot, chart)] },
  };
  return new uPlot(options, columns(chart), place);
}

function wholeNumbers(low: number, high: number): number[] {
  const step = Math.max(1, Math.ceil((high - low) / 8));
  const first = Math.ceil(low / step) * step;
  return Array.from({ length: Math.floor((high - first) / step) + 1 }, (_, index) => first + index * step);
}

/** Everything anew: colours are in the canvas. */
function drawAll(): void {
  for (const plot of plots) plot.destroy();
  plots = charts.map(draw);
  document.documentElement.dataset['charts'] = String(plots.length);
}

const style = document.createElement('style');
style.textContent = css;
// Before the page's own, which has the last word.
document.head.prepend(style);
byId('licence').textContent = licence;

for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', drawAll);
let width = document.body.clientWidth;
new ResizeObserver(() => {
  if (document.body.clientWidth === width || isOnPaper()) return;
  width = document.body.clientWidth;
  for (const [index, plot] of plots.entries())
    plot.setSize({ width: byId(charts[index]?.id ?? '').clientWidth, height: HEIGHT });
}).observe(document.body);

// On paper nothing can be opened.
addEventListener('beforeprint', () => {
  for (const details of document.querySelectorAll('details')) details.open = true;
});
drawAll();
