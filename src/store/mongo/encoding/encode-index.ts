/** Encodes the searchable values of a resource as fields of its document. */
import type { IndexValue } from '../../../fhir/search/ast.ts';
import { compareText } from '../../../fhir/search/compare-text.ts';
import type { DateEntry, OrderEntry, ResourceDocument } from './documents.ts';
import { keysOf } from './search-key.ts';

export function encodeIndex(
  type: string,
  values: readonly IndexValue[],
): Required<Pick<ResourceDocument, 'keys' | 'dates' | 'order'>> {
  const dates: Record<string, DateEntry[]> = {};
  const order: Record<string, OrderEntry> = {};
  for (const value of values) {
    if (value.kind === 'date') {
      const { param, startMs, endMs } = value;
      dates[param] = [...(dates[param] ?? []), { startMs, endMs }];
    }
    const ends = endsOf(value);
    // Texts and typed identifiers can be searched for but not sorted by; see `textParam`.
    if (ends === undefined || value.param.includes(':')) continue;
    const before = order[value.param] ?? { low: ends[0], high: ends[1] };
    const low = compareValues(ends[0], before.low) < 0 ? ends[0] : before.low;
    const high = compareValues(ends[1], before.high) > 0 ? ends[1] : before.high;
    order[value.param] = { has: 1, low, high };
  }
  return { keys: [...new Set(values.flatMap((value) => keysOf(type, value)))], dates, order };
}

/** Returns the sort keys of a value, ascending and descending; undefined if it cannot be sorted by. */
function endsOf(value: IndexValue): readonly [string | number, string | number] | undefined {
  switch (value.kind) {
    case 'token':
      return [value.code, value.code];
    case 'reference':
      return [value.id, value.id];
    case 'reference-identifier':
      return undefined;
    case 'date':
      return [value.startMs, value.endMs];
    case 'string':
      return [value.normalised, value.normalised];
    case 'uri':
      return [value.value, value.value];
  }
}

/** Compares as the database does: numbers come before texts. */
function compareValues(a: string | number, b: string | number): number {
  if (typeof a === 'number') return typeof b === 'number' ? a - b : -1;
  return typeof b === 'number' ? 1 : compareText(a, b);
}
