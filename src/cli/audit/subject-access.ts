import type { AuditEvent } from 'fhir/r4.js';
import { CompactSign, compactVerify, createLocalJWKSet, importJWK, type JSONWebKeySet, type JWK } from 'jose';
import { clientAlgorithms } from '../../registry/check-public-key.ts';
import { describeEvent } from './render-event.ts';

/** What the signature of an export says: the file is these bytes. It names nobody. */
export interface ExportClaims {
  /** SHA-256 of the file, base64url. */
  readonly sha256: string;
  /** Number of accesses in it. */
  readonly accesses: number;
  readonly namesRedacted: boolean;
  /** ISO 8601. */
  readonly created: string;
}

/** `typ` of the signature, so that no other signature of the same key is taken for one. */
const signatureType = 'cpis-subject-access+jws';

/** Renders the words that explain the export to the person concerned. */
export function renderSubjectHeading(
  nhsNumber: string,
  {
    from,
    to,
    redacts,
  }: { readonly from?: string | undefined; readonly to?: string | undefined; readonly redacts: boolean },
): string {
  const period = `${from === undefined ? 'the beginning' : from} to ${to === undefined ? 'today' : to}`;
  const names = redacts
    ? 'The names of members of staff have been left out. Their roles and organisations are shown.'
    : 'It shows who acted, in what role and for which organisation.';
  return `Who used the record of NHS number ${nhsNumber} in Child Protection - Information Sharing

This is a copy of the access record about one person, from ${period}.
Each line is one time that somebody looked up, changed or checked the record, the newest first, with the time in UTC.
${names}
"refused" means that the system did not give the information that was asked for.
If a line looks wrong to you, ask the organisation that gave you this copy.

`;
}

const acts: Readonly<Record<string, string>> = {
  C: 'recorded information',
  R: 'read the record',
  U: 'changed the record',
  D: 'deleted from the record',
  E: 'looked up the record',
};

/** Renders one access as a line in plain words. */
export function renderSubjectLine(event: AuditEvent, redacts: boolean): string {
  const { recorded, outcome, professional, role, organisation } = describeEvent(event);
  const person = redacts && professional !== '' ? 'a member of staff' : professional;
  const who = [person, role, organisation].filter((part) => part !== '').join(', ') || 'the system itself';
  const result = outcome === 'done' ? '' : ` (${outcome})`;
  return `${recorded}  ${who}: ${acts[event.action ?? ''] ?? 'used the record'}${result}\n`;
}

/** Signs the claims of an export with a private key of `cpis keygen`: a compact JWS (RFC 7515). */
export async function signExport(claims: ExportClaims, key: JWK): Promise<string> {
  const { alg = '', kid = '' } = key;
  return new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg, kid, typ: signatureType })
    .sign(await importJWK(key, alg));
}

/** Returns the claims of a signature by one of the keys; undefined if it is none. */
export async function verifyExport(jws: string, keys: JSONWebKeySet): Promise<ExportClaims | undefined> {
  try {
    const { payload, protectedHeader } = await compactVerify(jws.trim(), createLocalJWKSet(keys), {
      algorithms: [...clientAlgorithms],
    });
    return protectedHeader.typ === signatureType ? JSON.parse(Buffer.from(payload).toString('utf8')) : undefined;
  } catch {
    return undefined;
  }
}
