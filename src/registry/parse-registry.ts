import { Ajv } from 'ajv';
import type { LocalAuthority, Organisation, Role } from '../cpis/caller.ts';
import { describeProblem, formKeyword } from '../json-schema/describe-problem.ts';
import { checkPublicKey } from './check-public-key.ts';
import { checkTerm } from './check-terms.ts';
import { parseWebhookSecret } from './parse-webhook-secret.ts';
import type { Client, Registry } from './registry.ts';
import { registrySchema } from './registry-schema.ts';

/** Lists every problem of a registry file, each with its place and without a value. */
export class RegistryError extends Error {
  readonly problems: readonly string[];

  /** `file`: the file that has the problems, if they are those of one. */
  constructor(problems: readonly string[], file?: string) {
    const name = file === undefined ? 'The registry' : `The registry ${file}`;
    super(`${name} is not valid:\n${problems.map((problem) => `- ${problem}`).join('\n')}`);
    this.name = 'RegistryError';
    this.problems = problems;
  }
}

export interface RegistryOptions {
  /** Allows http and loopback addresses in `subscriptionOrigins`, for the demo and tests. */
  readonly allowLoopback?: boolean;
}

type OrganisationRecord = Organisation & { readonly id?: string };
type ClientRecord = Omit<Client, 'organisation' | 'webhookSecrets'> & {
  readonly organisation: string;
  readonly webhookSecrets: readonly string[];
};

interface RegistryFile {
  readonly organisations: readonly OrganisationRecord[];
  readonly clients: readonly ClientRecord[];
}

const ajv = new Ajv({ allErrors: true, verbose: true, useDefaults: true, discriminator: true });
ajv.addVocabulary([formKeyword]);
const validate = ajv.compile<RegistryFile>(registrySchema);

const organisationKindsOf: Readonly<Record<Role, readonly Organisation['kind'][]>> = {
  authority: ['local-authority'],
  'care-provider': ['care-provider'],
  operator: ['operator'],
  auditor: ['operator', 'care-provider'],
};

/**
 * Checks the content of a registry file and builds the immutable snapshot. The `id` of a local authority is its GSS
 * code, that of any other organisation its ODS code. `revision` is the time of the load in epoch milliseconds. Throws
 * RegistryError.
 */
export function parseRegistry(json: unknown, revision: number, options: RegistryOptions = {}): Registry {
  const file: unknown = structuredClone(json);
  if (!validate(file)) throw new RegistryError((validate.errors ?? []).map((error) => describeProblem(error)));
  const problems = new Set<string>();
  const organisations = new Map<string, Organisation>();
  const authorities = new Map<string, LocalAuthority>();
  const seen = new Set<string>();
  const claim = (kind: string, value: string, path: string): void => {
    const key = `${kind}|${value}`;
    if (seen.has(key)) problems.add(`${path}: must be unique; another entry has this value`);
    seen.add(key);
  };
  file.organisations.forEach((record, index) => {
    const path = `organisations[${index}]`;
    const [id, idPath] =
      record.kind === 'local-authority' ? [record.gssCode, `${path}.gssCode`] : [record.odsCode, `${path}.odsCode`];
    if (record.id !== undefined && record.id !== id)
      problems.add(`${path}.id: must be the GSS or ODS code of the organisation, or absent`);
    claim('id', id, idPath);
    claim('ods', record.odsCode, `${path}.odsCode`);
    if (record.kind === 'local-authority') {
      claim('dfe', record.dfeCode, `${path}.dfeCode`);
      authorities.set(id, Object.freeze({ ...record, id }));
    }
    organisations.set(id, authorities.get(id) ?? Object.freeze({ ...record, id }));
  });
  file.organisations.forEach((record, index) => {
    const authority = record.kind === 'local-authority' ? authorities.get(record.gssCode) : undefined;
    if (authority === undefined) return;
    for (const problem of checkTerm(authority, authorities, `organisations[${index}]`)) problems.add(problem);
  });
  const clients = new Map<string, Client>();
  file.clients.forEach((record, index) => {
    const path = `clients[${index}]`;
    claim('client', record.clientId, `${path}.clientId`);
    for (const problem of checkClient(record, organisations, path, options.allowLoopback === true))
      problems.add(problem);
    const organisation = organisations.get(record.organisation);
    const webhookSecrets = record.webhookSecrets.flatMap((text) => parseWebhookSecret(text) ?? []);
    if (organisation !== undefined)
      clients.set(record.clientId, Object.freeze({ ...record, organisation, webhookSecrets }));
  });
  if (problems.size > 0) throw new RegistryError([...problems]);
  return { revision, organisations, authorities, clients };
}

function checkClient(
  record: ClientRecord,
  organisations: ReadonlyMap<string, Organisation>,
  path: string,
  allowLoopback: boolean,
): string[] {
  const problems: string[] = [];
  const organisation = organisations.get(record.organisation);
  if (organisation === undefined) problems.push(`${path}.organisation: no organisation in this file has this id`);
  else if (!organisationKindsOf[record.role].includes(organisation.kind)) {
    problems.push(`${path}.role: does not match the organisation, whose kind is ${organisation.kind}`);
  }
  record.jwks.keys.forEach((key, index) => {
    const problem = checkPublicKey(key);
    if (problem !== undefined) problems.push(`${path}.jwks.keys[${index}]: ${problem}`);
    if (record.jwks.keys.findIndex((other) => other.kid === key.kid) !== index) {
      problems.push(`${path}.jwks.keys[${index}].kid: must be unique; another key of the client has this value`);
    }
  });
  if (record.role !== 'authority' && record.subscriptionOrigins.length > 0) {
    problems.push(`${path}.subscriptionOrigins: only an authority can have Subscriptions`);
  }
  if (record.role !== 'care-provider' && record.silentReads) {
    problems.push(`${path}.silentReads: only a care provider can read silently`);
  }
  if (record.role !== 'authority' && record.webhookSecrets.length > 0) {
    problems.push(`${path}.webhookSecrets: only an authority receives notifications`);
  }
  record.webhookSecrets.forEach((secret, index) => {
    if (parseWebhookSecret(secret) !== undefined) return;
    problems.push(`${path}.webhookSecrets[${index}]: must be whsec_ followed by the base64 of 24 to 64 bytes`);
  });
  record.subscriptionOrigins.forEach((origin, index) => {
    if (!isOrigin(origin, allowLoopback)) {
      problems.push(
        `${path}.subscriptionOrigins[${index}]: must be an exact origin, https://host or https://host:port, without a trailing slash`,
      );
    }
  });
  return problems;
}

/** Returns whether the text is an origin in canonical form: https, or http on 127.0.0.0/8 if `allowLoopback`. */
function isOrigin(text: string, allowLoopback: boolean): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.origin !== text) return false;
  return (
    url.protocol === 'https:' || (allowLoopback && url.protocol === 'http:' && /^127(\.\d+){3}$/.test(url.hostname))
  );
}
