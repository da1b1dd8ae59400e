/** Conditional read. https://hl7.org/fhir/R4/http.html#cread */
import { fault } from '../../fhir/fault.ts';
import type { FhirAnswer, FhirRequest } from '../port/interaction.ts';

/** Returns true if the answer differs from the one that the client has. */
export type IsModified = (answer: Pick<FhirAnswer, 'versionId' | 'lastUpdatedMs'>) => boolean;

const tag = /^(?:W\/)?"([\x21\x23-\x7e]*)"$/;

/**
 * Parses `If-None-Match`, or if there is none, `If-Modified-Since`. An invalid date is ignored (RFC 9110, 13.1.3).
 * Throws `invalid` for an invalid If-None-Match; call it before any read.
 */
export function parseReadConditions({ ifNoneMatch, ifModifiedSince }: FhirRequest): IsModified {
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return () => false;
    const known = new Set(ifNoneMatch.split(',').map(parseTag));
    return ({ versionId }) => versionId === undefined || !known.has(versionId);
  }
  const sinceMs = ifModifiedSince === undefined ? Number.NaN : Date.parse(ifModifiedSince);
  // HTTP dates have no fractions of a second, and so neither had Last-Modified.
  return ({ lastUpdatedMs }) => lastUpdatedMs === undefined || !(Math.floor(lastUpdatedMs / 1000) * 1000 <= sinceMs);
}

function parseTag(text: string): string {
  const match = tag.exec(text.trim());
  if (match === null) {
    throw fault('invalid', 'If-None-Match must be a list of ETags, such as W/"<versionId>", or *.', {
      expression: ['http.If-None-Match'],
    });
  }
  return match[1] ?? '';
}

/** Returns the answer, or `not-modified` if the client has it already. */
export function unlessKnown(answer: FhirAnswer, isModified: IsModified): FhirAnswer {
  if (isModified(answer)) return answer;
  const { versionId, lastUpdatedMs } = answer;
  return {
    kind: 'not-modified',
    ...(versionId === undefined ? {} : { versionId }),
    ...(lastUpdatedMs === undefined ? {} : { lastUpdatedMs }),
  };
}
