/** Orders matches. https://hl7.org/fhir/R4/search.html#sort */
import type { IndexValue, KeysetPosition, SortKey } from './ast.ts';
import { compareText } from './compare-text.ts';

/** The parts of a resource that a sort uses. */
export interface Sortable {
  readonly id: string;
  readonly lastUpdatedMs: number;
  readonly values: readonly IndexValue[];
}

/**
 * Returns the position of a resource: one value for each sort key, then its id. The value of a key is
 * - `_id`: the id; `_lastUpdated`: `lastUpdatedMs`;
 * - date: the smallest `startMs` if ascending, the greatest `endMs` if descending;
 * - token: the code; string: the normalised text; uri: the text; reference: the id. Of several values, the smallest if
 *   ascending, the greatest if descending, by code point;
 * - null if the resource has no value of the parameter.
 */
export function positionOf(sort: readonly SortKey[], resource: Sortable): KeysetPosition {
  return [...sort.map((key) => sortValue(key, resource)), resource.id];
}

/**
 * Compares two positions of the same sort, key by key and then by id ascending. Null comes last in both directions.
 * Returns a negative number if `a` comes first.
 */
export function compareBy(sort: readonly SortKey[], a: KeysetPosition, b: KeysetPosition): number {
  for (let i = 0; i <= sort.length; i++) {
    const left = a[i] ?? null;
    const right = b[i] ?? null;
    if (left === right) continue;
    if (left === null) return 1;
    if (right === null) return -1;
    const order = compareValues(left, right);
    if (order !== 0) return sort[i]?.descending === true ? -order : order;
  }
  return 0;
}

function sortValue({ param, descending }: SortKey, resource: Sortable): string | number | null {
  if (param === '_id') return resource.id;
  if (param === '_lastUpdated') return resource.lastUpdatedMs;
  let best: string | number | null = null;
  for (const value of resource.values) {
    if (value.param !== param) continue;
    const candidate = comparable(value, descending);
    if (candidate === null) continue;
    if (best === null || compareValues(candidate, best) * (descending ? -1 : 1) < 0) best = candidate;
  }
  return best;
}

function comparable(value: IndexValue, descending: boolean): string | number | null {
  switch (value.kind) {
    case 'date':
      return descending ? value.endMs : value.startMs;
    case 'token':
      return value.code;
    case 'string':
      return value.normalised;
    case 'uri':
      return value.value;
    case 'reference':
      return value.id;
    case 'reference-identifier':
      return null;
  }
}

function compareValues(a: string | number, b: string | number): number {
  return typeof a === 'number' && typeof b === 'number' ? a - b : compareText(String(a), String(b));
}
