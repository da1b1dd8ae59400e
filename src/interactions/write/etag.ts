import { fault } from '../../fhir/fault.ts';

const weakTag = /^W\/"([1-9][0-9]{0,15})"$/;

/** Parses the version that `If-Match` names. Throws `invalid` unless it is one weak ETag of this server. */
export function parseIfMatch(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined) return undefined;
  const match = weakTag.exec(ifMatch);
  if (match === null) {
    throw fault('invalid', 'If-Match must be one weak ETag of this server: W/"<versionId>".', {
      expression: ['http.If-Match'],
    });
  }
  return Number(match[1]);
}

/**
 * Checks `If-Match` against the current version; 0 means that there is none. Throws `invalid` unless it is one weak
 * ETag of this server, `precondition` if it does not match. https://hl7.org/fhir/R4/http.html#concurrency
 */
export function checkIfMatch(ifMatch: string | undefined, currentVersion: number): void {
  const version = parseIfMatch(ifMatch);
  if (version !== undefined && version !== currentVersion) {
    throw fault(
      'precondition',
      'If-Match does not match the current version of the resource. Read the resource, then repeat the change.',
      {
        expression: ['http.If-Match'],
      },
    );
  }
}
