// What ARCHITECTURE.md says that each source sees: the table of chapter "Life of a dirty page", read from the document itself, so
// that a source's blindness is documented or the soak fails. Any thread; reads the file.

import { readFileSync } from 'node:fs';
import type { WriterKind } from './layout.ts';

/** How each kind's row begins. */
const ROWS: Readonly<Record<WriterKind, string>> = {
  guest: 'guest',
  api: 'the API',
  raw: 'raw JavaScript',
  fs: 'system calls',
};
const SOURCES = ['bitmap', 'ring', 'pagemap', 'host'] as const;
export type SourceColumn = (typeof SOURCES)[number];

export type Claims = Readonly<Record<SourceColumn, Readonly<Record<WriterKind, boolean>>>>;

/** Throws when the table, a row or a cell is not as expected. */
export function readClaims(document: string): Claims {
  const lines = readFileSync(document, 'utf8').split('\n');
  const head = lines.findIndex(line => /^\| *writer *\|/.test(line));
  if (head < 0) throw new Error(`${document} has no table of who sees what (| writer | bitmap | …)`);
  const columns = cells(lines[head] ?? '');
  const rows = lines.slice(head + 2, lines.indexOf('', head)).map(cells);
  const claim = (source: SourceColumn, kind: WriterKind): boolean => {
    const row = rows.find(([name]) => name?.startsWith(ROWS[kind]));
    const cell = row?.[columns.indexOf(source)] ?? '';
    if (!/^(yes|no)\b/.test(cell)) throw new Error(`${document} does not say whether ${source} sees '${ROWS[kind]}…'`);
    return cell.startsWith('yes');
  };
  const entries = SOURCES.map(source => [
    source,
    Object.fromEntries(Object.keys(ROWS).map(kind => [kind, claim(source, kind as WriterKind)])),
  ]);
  return Object.fromEntries(entries) as Claims;
}

/** Whose writes the probe of this machine saw the source report; null: not tried. */
export interface Seen {
  readonly guest: boolean | null;
  readonly api: boolean | null;
  readonly rawHost: boolean | null;
}

/** Where the document says something else than the machine shows. */
export function contradictions(claims: Claims, source: SourceColumn, seen: Seen): string[] {
  const found: Readonly<Record<WriterKind, boolean | null>> = {
    guest: seen.guest,
    api: seen.api,
    raw: seen.rawHost,
    fs: seen.rawHost,
  };
  return Object.entries(claims[source])
    .filter(([kind, claim]) => found[kind as WriterKind] !== null && found[kind as WriterKind] !== claim)
    .map(
      ([kind, claim]) =>
        `${source} and '${kind}': the document says ${claim ? 'yes' : 'no'}, the probe found otherwise`,
    );
}

function cells(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map(cell => cell.trim());
}
