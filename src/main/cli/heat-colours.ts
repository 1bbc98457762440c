// How hot a cell looks: levels, colours, characters. Main thread; pure.
// The scale is logarithmic, so that one dirty page among many still shows; level 0 is "nothing" alone.

/** Characters from clean to all pages dirty, for terminals without colour. Clean is visible: it says that there is memory. */
const RAMP = '·:-=+*#%@';
/** Colours from clean to all pages dirty: dark to bright, ordered by lightness too, so that it reads without seeing hues. */
const STOPS: readonly (readonly [number, number, number])[] = [
  [38, 40, 52],
  [66, 30, 110],
  [128, 37, 130],
  [190, 55, 100],
  [232, 96, 45],
  [250, 168, 40],
  [252, 252, 170],
];

export const LEVELS = 16;

/** Much the same colours among xterm's 256, one per level. */
const XTERM_256 = [236, 53, 54, 90, 126, 162, 161, 167, 202, 208, 214, 220, 221, 227, 228, 230] as const;

/** 0 for no page, else 1 to LEVELS - 1: one page, …, all `pages` of the cell. `dirty` may be a fraction (it decays). */
export function levelOf(dirty: number, pages: number): number {
  if (dirty < 0.05) return 0;
  if (pages <= 1) return Math.max(1, Math.round(Math.min(1, dirty) * (LEVELS - 1)));
  const share = Math.log1p(Math.min(dirty, pages)) / Math.log1p(pages);
  return Math.max(1, Math.min(LEVELS - 1, Math.round(share * (LEVELS - 1))));
}

/** The character of a level. */
export function rampOf(level: number): string {
  const index = level === 0 ? 0 : 1 + Math.round(((level - 1) / (LEVELS - 2)) * (RAMP.length - 2));
  return RAMP[index] ?? '?';
}

/** The colour of a level, 0 to 255 each. */
export function colourOf(level: number): readonly [number, number, number] {
  const at = (level / (LEVELS - 1)) * (STOPS.length - 1);
  const low = STOPS[Math.floor(at)] ?? STOPS[0];
  const high = STOPS[Math.ceil(at)] ?? low;
  const mix = (channel: 0 | 1 | 2) => {
    const from = low?.[channel] ?? 0;
    return Math.round(from + ((high?.[channel] ?? from) - from) * (at % 1));
  };
  return [mix(0), mix(1), mix(2)];
}

/** 'none': characters alone; '256' and 'true': what the terminal's escape sequences can name. */
export type ColourDepth = 'none' | '256' | 'true';

/** The parameters of a colour's escape sequence (ECMA-48 SGR, ITU T.416 colour spaces): after `38;` or `48;`. */
export function sgrOf(level: number, depth: '256' | 'true'): string {
  return depth === 'true' ? `2;${colourOf(level).join(';')}` : `5;${XTERM_256[level]}`;
}
