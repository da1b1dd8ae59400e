/** Parses the parameters of a history request. https://hl7.org/fhir/R4/http.html#history */
import { fault } from '../fault.ts';
import { type Interval, parseInterval } from '../search/date.ts';
import { nameParameter } from '../search/parameter-name.ts';
import { Problem } from '../search/problem.ts';
import { parseCount } from '../search/result-parameters.ts';
import { type Shape, takeShape } from '../shape/shape.ts';

export interface HistoryQuery {
  /** Earliest `lastUpdated`, epoch milliseconds. */
  readonly sinceMs: number | undefined;
  /** Only versions that were current at some time in this interval. */
  readonly at: Interval | undefined;
  /** Page size, lowered to the maximum. */
  readonly count: number;
  /** `_summary=count`: only the number of versions is requested. */
  readonly countOnly: boolean;
  readonly shape: Shape | undefined;
  readonly cursor: string | undefined;
  /** Understood parameters for `Bundle.link[self]`, without `_cursor`. */
  readonly applied: readonly (readonly [name: string, value: string])[];
}

export interface HistoryQueryOptions {
  /** `Prefer: handling`. Strict refuses an unknown parameter, lenient ignores it. */
  readonly handling: 'strict' | 'lenient';
  readonly defaultCount: number;
  readonly maxCount: number;
}

/** Parameters refused under lenient handling too, because ignoring them would change the result. */
const refusedAlways = new Set(['_list', '_sort']);
const skipped = new Set(['_format', '_pretty']);
const known = new Set(['_since', '_at', '_count', '_summary', '_cursor']);

/** Parses the parameters. Throws a 400 fault for a malformed, repeated or, under strict handling, unknown one. */
export function parseHistoryQuery(
  params: readonly (readonly [name: string, value: string])[],
  { handling, defaultCount, maxCount }: HistoryQueryOptions,
): HistoryQuery {
  const { shape, applied: shaped, others } = takeShape(params);
  const given = new Map<string, string>();
  for (const [name, value] of others) {
    if (skipped.has(name)) continue;
    if (!known.has(name)) {
      if (handling === 'lenient' && !refusedAlways.has(name)) continue;
      throw fault('not-supported', 'The parameter is not supported for history.', {
        expression: [nameParameter(name)],
      });
    }
    if (given.has(name)) throw fault('invalid', 'The parameter may occur only once.', { expression: [name] });
    given.set(name, value);
  }
  const intervalOf = (name: '_since' | '_at'): Interval | undefined => {
    const value = given.get(name);
    const interval = value === undefined ? undefined : parseInterval(value);
    if (value !== undefined && interval === undefined) {
      throw fault('invalid', 'The value must be a date or instant.', { expression: [name] });
    }
    return interval;
  };
  const countText = given.get('_count');
  const count = countText === undefined ? Math.min(defaultCount, maxCount) : parseCount(countText, maxCount);
  if (count instanceof Problem) throw fault('invalid', count.diagnostics, { expression: ['_count'] });
  const at = intervalOf('_at');
  const applied = [...given].filter(([name]) => name !== '_cursor');
  return {
    sinceMs: intervalOf('_since')?.startMs,
    at,
    count,
    countOnly: given.has('_summary'),
    shape,
    cursor: given.get('_cursor'),
    applied: [...applied.map(([name, value]) => [name, name === '_count' ? String(count) : value] as const), ...shaped],
  };
}
