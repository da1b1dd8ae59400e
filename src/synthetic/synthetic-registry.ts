import { exportJWK, generateKeyPair, type JWK } from 'jose';
import type { IuaClaims } from '../auth/iua.ts';

/** A client of the synthetic registry, with its private key. */
export interface SyntheticClient {
  readonly clientId: string;
  /** Organization.id of its organisation. */
  readonly organisationId: string;
  readonly privateJwk: JWK;
  /** Space-separated, as in a token request. */
  readonly scope: string;
  /** The professional who uses a care provider's client. */
  readonly iua?: IuaClaims;
}

export interface SyntheticRegistry {
  /** The content of the registry file. */
  readonly json: { readonly organisations: readonly unknown[]; readonly clients: readonly unknown[] };
  readonly authorities: readonly SyntheticClient[];
  readonly careProviders: readonly SyntheticClient[];
  readonly operator: SyntheticClient;
  /** The auditor of the operator, who sees all accesses. */
  readonly auditor: SyntheticClient;
  /** The auditor of each care provider, by position. */
  readonly trustAuditors: readonly SyntheticClient[];
}

export interface SyntheticOptions {
  /** Names of the authorities. Their codes are E99000001, E99000002, ... */
  readonly authorityNames: readonly string[];
  readonly careProviderNames: readonly string[];
  /** Allowed endpoint origin of each authority, by position. */
  readonly subscriptionOrigins?: readonly (string | undefined)[];
}

const authorityScope =
  'system/Flag.cruds system/Patient.cruds system/Organization.rs system/AuditEvent.rs system/Subscription.cruds';
const careProviderScope = 'system/Flag.rs system/Patient.r system/Organization.rs system/AuditEvent.s';
const auditorScope = 'system/AuditEvent.rs system/Organization.rs';
const operatorScope = 'system/Organization.rus system/Patient.ru';

async function makeKeys(kid: string): Promise<{ privateJwk: JWK; publicJwk: JWK }> {
  const { privateKey, publicKey } = await generateKeyPair('ES384', { extractable: true });
  const marks = { kid, alg: 'ES384' };
  return {
    privateJwk: { ...(await exportJWK(privateKey)), ...marks },
    publicJwk: { ...(await exportJWK(publicKey)), ...marks, use: 'sig' },
  };
}

const digits = (value: number, length: number): string => String(value).padStart(length, '0');

/**
 * Makes a registry of invented organisations with new keys, for the demo, the bench and the tests. Telephone numbers
 * are in the range 01632 96, which Ofcom reserves for drama.
 */
export async function makeSyntheticRegistry(options: SyntheticOptions): Promise<SyntheticRegistry> {
  const organisations: unknown[] = [];
  const clients: unknown[] = [];
  async function addClient(
    clientId: string,
    organisationId: string,
    role: string,
    scope: string,
    more: Readonly<Record<string, unknown>>,
  ): Promise<SyntheticClient> {
    const { privateJwk, publicJwk } = await makeKeys(`${clientId}-key`);
    const jwks = { keys: [publicJwk] };
    clients.push({ clientId, organisation: organisationId, role, jwks, scopes: scope.split(' '), ...more });
    return { clientId, organisationId, privateJwk, scope };
  }

  const authorities: SyntheticClient[] = [];
  for (const [index, name] of options.authorityNames.entries()) {
    const number = index + 1;
    const gssCode = `E99${digits(number, 6)}`;
    organisations.push({
      kind: 'local-authority',
      name,
      odsCode: `ZZL${digits(number, 2)}`,
      gssCode,
      dfeCode: String(number > 99 ? number : 900 + number),
      officeHoursTelephone: `01632 96${digits(number, 3)}0`,
      emergencyDutyTeamTelephone: `01632 96${digits(number, 3)}9`,
    });
    const origin = options.subscriptionOrigins?.[index];
    const more = { subscriptionOrigins: origin === undefined ? [] : [origin], notificationMethod: 'PUT' };
    authorities.push(await addClient(`case-system-${number}`, gssCode, 'authority', authorityScope, more));
  }

  const careProviders: SyntheticClient[] = [];
  const trustAuditors: SyntheticClient[] = [];
  for (const [index, name] of options.careProviderNames.entries()) {
    const odsCode = `ZZH${digits(index + 1, 2)}`;
    organisations.push({ kind: 'care-provider', name, odsCode });
    const client = await addClient(`epr-${index + 1}`, odsCode, 'care-provider', careProviderScope, {
      silentReads: true,
    });
    const iua: IuaClaims = {
      subject_name: 'Alex Example',
      subject_role: {
        system: 'https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName',
        code: 'R8000',
        display: 'Clinical Practitioner Access Role',
      },
      subject_organization: name,
      subject_organization_id: odsCode,
    };
    careProviders.push({ ...client, iua });
    trustAuditors.push(await addClient(`auditor-${index + 1}`, odsCode, 'auditor', auditorScope, {}));
  }
  organisations.push({ kind: 'operator', name: 'Operator (synthetic)', odsCode: 'ZZS01' });
  const operator = await addClient('operator-1', 'ZZS01', 'operator', operatorScope, {});
  const auditor = await addClient('auditor-of-operator', 'ZZS01', 'auditor', auditorScope, {});
  return { json: { organisations, clients }, authorities, careProviders, operator, auditor, trustAuditors };
}
