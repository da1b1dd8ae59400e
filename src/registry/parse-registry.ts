import { Ajv } from 'ajv';
import type { LocalAuthority, Organisation, Role } from '../cpis/caller.ts';
import { describeProblem, formKeyword } from '../json-schema/describe-problem.ts';
import { checkPublicKey } from './check-public-key.ts';
import { parseWebhookSecret } from './parse-webhook-secret.ts';
import type { Client, Registry } from './registry.ts';
import { registrySchema } from './registry-schema.ts';

/** Every problem of a registry file at once, each with its place, none with a value. */
export class RegistryError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The registry is not valid:\n${problems.map((problem) => `- ${problem}`).join('\n')}`);
    this.name = 'RegistryError';
    this.problems = problems;
  }
}

export interface RegistryOptions {
  /** Lets `subscriptionOrigins` be http and on loopback: for the demo and tests. */
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

const organisationKindOf: Readonly<Record<Role, Organisation['kind']>> = {
  authority: 'local-authority',
  'care-provider': 'care-provider',
  operator: 'operator',
};

/**
 * Checks a registry file's content and makes the immutable snapshot. An organisation's `id` is its GSS code (local
 * authority) or its ODS code. `revision` is the epoch ms of the load. Throws RegistryError.
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
    if (seen.has(key)) problems.add(`${path}: is there already`);
    seen.add(key);
  };
  file.organisations.forEach((record, index) => {
    const path = `organisations[${index}]`;
    const [id, idPath] =
      record.kind === 'local-authority' ? [record.gssCode, `${path}.gssCode`] : [record.odsCode, `${path}.odsCode`];
    if (record.id !== undefined && record.id !== id) problems.add(`${path}.id: must be its GSS or ODS code, or absent`);
    claim('id', id, idPath);
    claim('ods', record.odsCode, `${path}.odsCode`);
    if (record.kind === 'local-authority') {
      claim('dfe', record.dfeCode, `${path}.dfeCode`);
      authorities.set(id, Object.freeze({ ...record, id }));
    }
    organisations.set(id, authorities.get(id) ?? Object.freeze({ ...record, id }));
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
  if (organisation === undefined) problems.push(`${path}.organisation: no organisation of this file has that id`);
  else if (organisation.kind !== organisationKindOf[record.role]) {
    problems.push(`${path}.role: does not fit the organisation, whose kind is ${organisation.kind}`);
  }
  record.jwks.keys.forEach((key, index) => {
    const problem = checkPublicKey(key);
    if (problem !== undefined) problems.push(`${path}.jwks.keys[${index}]: ${problem}`);
    if (record.jwks.keys.findIndex((other) => other.kid === key.kid) !== index) {
      problems.push(`${path}.jwks.keys[${index}].kid: is there already`);
    }
  });
  if (record.role !== 'authority' && record.subscriptionOrigins.length > 0) {
    problems.push(`${path}.subscriptionOrigins: only an authority has Subscriptions`);
  }
  if (record.role !== 'care-provider' && record.silentReads) {
    problems.push(`${path}.silentReads: only a care provider reads silently`);
  }
  if (record.role !== 'authority' && record.webhookSecrets.length > 0) {
    problems.push(`${path}.webhookSecrets: only an authority is sent notifications`);
  }
  record.webhookSecrets.forEach((secret, index) => {
    if (parseWebhookSecret(secret) !== undefined) return;
    problems.push(`${path}.webhookSecrets[${index}]: must be whsec_ and the base64 of 24 to 64 bytes`);
  });
  record.subscriptionOrigins.forEach((origin, index) => {
    if (!isOrigin(origin, allowLoopback)) {
      problems.push(
        `${path}.subscriptionOrigins[${index}]: must be an exact origin, https://host or https://host:port, without a slash at its end`,
      );
    }
  });
  return problems;
}

/** An origin as the URL standard writes it: https, or http on 127.0.0.0/8 where that is allowed. */
function isOrigin(text: string, allowLoopback: boolean): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.origin !== text) return false;
  return (
    url.protocol === 'https:' || (allowLoopback && url.protocol === 'http:' && /^127(\.\d+){3}$/.test(url.hostname))
  );
}
