/** Conditional read. https://hl7.org/fhir/R4/http.html#cread */
import { fault } from '../../fhir/fault.ts';
import type { FhirAnswer, FhirRequest } from '../port/interaction.ts';

/** Whether an answer is news to a client that sent the conditions. */
export type IsModified = (answer: Pick<FhirAnswer, 'versionId' | 'lastUpdatedMs'>) => boolean;

const tag = /^(?:W\/)?"([\x21\x23-\x7e]*)"$/;

/**
 * Reads `If-None-Match` and, only where there is none, `If-Modified-Since` (RFC 9110, 13.1.3: a date that is none is
 * ignored). Throws 400 for an If-None-Match that is no list of ETags; call it before anything is looked up.
 */
export function parseReadConditions({ ifNoneMatch, ifModifiedSince }: FhirRequest): IsModified {
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return () => false;
    const known = new Set(ifNoneMatch.split(',').map(parseTag));
    return ({ versionId }) => versionId === undefined || !known.has(versionId);
  }
  const sinceMs = ifModifiedSince === undefined ? Number.NaN : Date.parse(ifModifiedSince);
  // HTTP dates have no fractions of a second: neither has what Last-Modified told the client.
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

/** The answer, or where its client has it already, that it has. */
export function unlessKnown(answer: FhirAnswer, isModified: IsModified): FhirAnswer {
  if (isModified(answer)) return answer;
  const { versionId, lastUpdatedMs } = answer;
  return {
    kind: 'not-modified',
    ...(versionId === undefined ? {} : { versionId }),
    ...(lastUpdatedMs === undefined ? {} : { lastUpdatedMs }),
  };
}
