/**
 * R4 invariants in code of their own. FHIRPath evaluates some of them in quadratic time, and others on almost every
 * element of a submission.
 */
import type { Definitions } from '../definitions/definitions.ts';
import { parseInterval } from '../search/date.ts';
import { isObject } from './check.ts';
import { areAllUsed, buildLocalReferences, listContained, readReferenceNames } from './local-references.ts';

type Json = Readonly<Record<string, unknown>>;

/** Returns whether an invariant holds; undefined if FHIRPath has to decide. */
export type DecideInvariant = (element: Json, resource: Json) => boolean | undefined;

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

const entriesOf = ({ entry }: Json): readonly Json[] => (Array.isArray(entry) ? entry.filter(isObject) : []);

/** Returns whether exactly the Bundles of these types have `name` in each entry, and the others in none. */
function inEachEntryOf(types: readonly string[], name: string, bundle: Json): boolean {
  const isExpected = types.includes(String(bundle['type']));
  return entriesOf(bundle).every((entry) => (entry[name] !== undefined) === isExpected);
}

function areDistinct(values: readonly string[]): boolean {
  return new Set(values).size === values.length;
}

/** FHIRPath reads `contained.meta.versionId` as the list of all of them, and `empty()` as none. */
function metaOf(element: Json): readonly Json[] {
  return listContained(element)
    .map(({ meta }) => meta)
    .filter(isObject);
}

const distinctPath = /^([A-Za-z]+(?:\.[A-Za-z]+)*)\.isDistinct\(\)$/;

/** Builds the decision of `a.b.isDistinct()`, for which FHIRPath compares each value with each; undefined for others. */
export function decideDistinct(expression: string): DecideInvariant | undefined {
  const names = distinctPath.exec(expression)?.[1]?.split('.');
  if (names === undefined) return undefined;
  return (element) => {
    let values: unknown[] = [element];
    for (const name of names) {
      values = values.filter(isObject).flatMap((value) => (value[name] === undefined ? [] : [value[name]].flat()));
    }
    return areDistinct(values.map((value) => JSON.stringify(value)));
  };
}

/** Builds the decisions, by the key of the invariant. */
export function buildR4Invariants(definitions: Definitions): ReadonlyMap<string, DecideInvariant> {
  const names = readReferenceNames(definitions);
  const localReferences = buildLocalReferences(names);
  const decisions: Readonly<Record<string, DecideInvariant>> = {
    'bdl-3': (bundle) => inEachEntryOf(['batch', 'transaction', 'history'], 'request', bundle),
    'bdl-4': (bundle) => inEachEntryOf(['batch-response', 'transaction-response', 'history'], 'response', bundle),
    'bdl-5': ({ resource, request, response }) => (resource ?? request ?? response) !== undefined || undefined,
    'bdl-7': (bundle) =>
      bundle['type'] === 'history' ||
      areDistinct(
        entriesOf(bundle)
          .filter(({ fullUrl }) => fullUrl !== undefined)
          .map(({ fullUrl, resource }) => {
            const meta = isObject(resource) ? resource['meta'] : undefined;
            return `${fullUrl}${isObject(meta) ? (meta['versionId'] ?? '') : ''}`;
          }),
      ),
    'bdl-8': ({ fullUrl }) => typeof fullUrl !== 'string' || !fullUrl.includes('/_history/'),
    'dom-2': (element) => listContained(element).every(({ contained }) => contained === undefined),
    'dom-3': (element, resource) =>
      element['contained'] === undefined || areAllUsed(element, localReferences(resource), names),
    'dom-4': (element) => metaOf(element).every((meta) => (meta['versionId'] ?? meta['lastUpdated']) === undefined),
    'dom-5': (element) => metaOf(element).every((meta) => meta['security'] === undefined),
    'per-1': ({ start, end }) => start === undefined || end === undefined || mayPrecede(start, end),
    'ref-1': ({ reference }, resource) =>
      !String(reference).startsWith('#') || localReferences(resource).contained.has(String(reference)),
  };
  return new Map(Object.entries(decisions));
}
