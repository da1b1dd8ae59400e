import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import type { Constraint } from '../definitions/definitions.ts';
import { parseInterval } from '../search/date.ts';
import { type Check, isObject } from './check.ts';

/** Quick tests that show that an R4 invariant holds, which saves its evaluation for most elements. */
const plainlyHolds: Readonly<Record<string, (element: Readonly<Record<string, unknown>>) => boolean>> = {
  'bdl-5': ({ request }) => request !== undefined,
  'bdl-8': ({ fullUrl }) => fullUrl === undefined || (typeof fullUrl === 'string' && !fullUrl.includes('/_history/')),
  'dom-2': ({ contained }) => contained === undefined,
  'dom-3': ({ contained }) => contained === undefined,
  'dom-4': ({ contained }) => contained === undefined,
  'dom-5': ({ contained }) => contained === undefined,
  'per-1': ({ start, end }) => start === undefined || end === undefined || mayPrecede(start, end),
  'ref-1': ({ reference }) => !String(reference).startsWith('#'),
};

/** Maximum difference between a time zone and UTC. A date without a zone may be in any of them. */
const zoneSlackMs = 14 * 3_600_000;

/**
 * Returns whether a period may start before it ends. FHIRPath does not compare dates of different precision, but
 * 2012-05 is neither before nor after 2012. https://hl7.org/fhir/R4/datatypes.html#Period
 */
function mayPrecede(start: unknown, end: unknown): boolean {
  const [first, last] = [start, end].map((text) => (typeof text === 'string' ? parseInterval(text) : undefined));
  if (first === undefined || last === undefined) return false;
  const slackMs = String(start).includes('T') === String(end).includes('T') ? 0 : zoneSlackMs;
  return first.startMs < last.endMs + slackMs;
}

/**
 * Builds the check of a FHIRPath invariant, compiled at first use. An invariant that cannot be evaluated counts as
 * broken.
 */
export function invariantCheck(base: string, constraint: Constraint): Check {
  const { key, human, expression, severity } = constraint;
  const holdsPlainly = plainlyHolds[key];
  const evaluate = compileOnce(base, expression);
  return (value, visit) => {
    if (holdsPlainly !== undefined && isObject(value) && holdsPlainly(value)) return;
    const holds = evaluate(value, visit.resource);
    if (holds === true || (holds === undefined && visit.isMalformed)) return;
    visit.report('invariant', `${key}: ${human}`, [], severity);
  };
}

function compileOnce(base: string, expression: string): (value: unknown, resource: unknown) => boolean | undefined {
  let compiled: ((value: unknown, variables: Record<string, unknown>) => unknown[]) | undefined;
  return (value, resource) => {
    compiled ??= fhirpath.compile({ base, expression }, r4, { traceFn: () => {} });
    try {
      const [result] = compiled(value, { resource, rootResource: resource });
      return typeof result === 'boolean' ? result : undefined;
    } catch {
      return undefined;
    }
  };
}
