/**
 * The IHE IUA claims that name the person behind a request, `extensions.ihe_iua` of a JWT:
 * https://profiles.ihe.net/ITI/IUA/index.html#3714221-json-web-token-option
 */

import type { Organisation, Professional } from '../cpis/caller.ts';
import { hasHiddenCharacter, isSameName, parseShownName } from '../cpis/shown-name.ts';
import { defined } from '../fhir/defined.ts';
import { odsCodeSystem } from '../registry/build-organization.ts';
import { isRecord } from './jwt.ts';

const maxLength = 200;

/** The claims as our own access tokens carry them. `parseIua` reads them back to the same Professional. */
export interface IuaClaims {
  readonly subject_name: string;
  readonly subject_role: string | { readonly system?: string; readonly code: string; readonly display?: string };
  readonly subject_organization: string;
  readonly subject_organization_id: string;
  readonly subject_id?: string;
}

/**
 * Reads the professional from the claims. Returns `absent` without IUA claims, and `invalid` if they are incomplete or
 * too long, or if a name has no letter or a character that does not show. Does not compare the organisation with the
 * registry.
 */
export function parseIua(claims: Readonly<Record<string, unknown>>): Professional | 'absent' | 'invalid' {
  const extensions = claims['extensions'];
  if (extensions === undefined) return 'absent';
  if (!isRecord(extensions)) return 'invalid';
  const iua = extensions['ihe_iua'];
  if (iua === undefined) return 'absent';
  if (!isRecord(iua)) return 'invalid';
  const name = parseShownName(iua['subject_name']);
  const role = roleOf(iua['subject_role']);
  const organisationName = parseShownName(iua['subject_organization']);
  const organisationId = organisationIdOf(iua['subject_organization_id']);
  const id = iua['subject_id'] === undefined ? undefined : idOf(iua['subject_id']);
  if (name === undefined || role === undefined || organisationName === undefined || organisationId === undefined) {
    return 'invalid';
  }
  if (iua['subject_id'] !== undefined && id === undefined) return 'invalid';
  return { ...defined({ id }), name, role, organisationName, organisationId };
}

/**
 * Returns the professional under the registered name of the organisation, or undefined if the claims name another
 * organisation, by its code or by its name.
 */
export function placeProfessional(professional: Professional, organisation: Organisation): Professional | undefined {
  if (professional.organisationId !== organisation.odsCode) return undefined;
  if (!isSameName(professional.organisationName, organisation.name)) return undefined;
  return { ...professional, organisationName: organisation.name };
}

/** Formats a professional as normalised claims. */
export function formatIua(professional: Professional): IuaClaims {
  const { id, name, role, organisationName, organisationId } = professional;
  const coded =
    role.code === undefined ? role.text : { ...defined({ system: role.system }), code: role.code, display: role.text };
  return {
    subject_name: name,
    subject_role: coded,
    subject_organization: organisationName,
    subject_organization_id: organisationId,
    ...defined({ subject_id: id?.system === undefined ? id?.value : `${id.system}|${id.value}` }),
  };
}

/** Accepts an identifier or a code of 1 to 200 characters, without hidden characters and surrounding blanks. */
function textOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > maxLength) return undefined;
  return value !== value.trim() || hasHiddenCharacter(value) ? undefined : value;
}

function roleOf(value: unknown): Professional['role'] | undefined {
  if (Array.isArray(value)) return value.length > 5 || Array.isArray(value[0]) ? undefined : roleOf(value[0]);
  if (!isRecord(value)) {
    const text = parseShownName(value);
    return text === undefined ? undefined : { text };
  }
  const code = textOf(value['code']);
  const system = value['system'] === undefined ? undefined : textOf(value['system']);
  const display = parseShownName(value['display'] === undefined ? code : value['display']);
  if (code === undefined || display === undefined || (value['system'] !== undefined && system === undefined)) {
    return undefined;
  }
  return { ...defined({ system }), code, text: display };
}

/** Reads an ODS code, alone or as `system|code`, or an array with one of them. */
function organisationIdOf(value: unknown): string | undefined {
  const text = textOf(Array.isArray(value) && value.length === 1 ? value[0] : value);
  if (text === undefined) return undefined;
  return text.startsWith(`${odsCodeSystem}|`) ? textOf(text.slice(odsCodeSystem.length + 1)) : text;
}

/** Reads `value` or `system|value`. */
function idOf(value: unknown): Professional['id'] | undefined {
  const text = textOf(value);
  if (text === undefined) return undefined;
  const bar = text.indexOf('|');
  if (bar === -1) return { value: text };
  const system = textOf(text.slice(0, bar));
  const own = textOf(text.slice(bar + 1));
  return system === undefined || own === undefined ? undefined : { system, value: own };
}
