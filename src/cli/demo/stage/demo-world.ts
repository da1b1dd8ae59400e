import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '../../../net/find-free-port.ts';
import { type FhirClient, openFhirClient } from '../../../synthetic/fhir-client.ts';
import { type ReceiverProcess, startReceiver } from '../../../synthetic/receiver-process.ts';
import { buildServerProcess, type ServerProcess } from '../../../synthetic/server-process.ts';
import {
  makeSyntheticRegistry,
  type SyntheticClient,
  type SyntheticRegistry,
} from '../../../synthetic/synthetic-registry.ts';

/** A local authority of the demo: its case system and its endpoint. */
export interface DemoAuthority {
  /** Organization.id */
  readonly id: string;
  readonly name: string;
  readonly client: FhirClient;
  readonly receiver: ReceiverProcess;
  /** The Authorization header that its receiver requires. */
  readonly authorization: string;
}

/** An EPR of the demo and the professional who uses it. */
export interface DemoCareProvider {
  readonly name: string;
  readonly professional: string;
  readonly client: FhirClient;
}

/** The real server as a child process on a new folder, three authorities with their endpoints, and two EPRs. */
export interface DemoWorld {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  /** The FHIR base. */
  readonly baseUrl: string;
  readonly folder: string;
  /** The signature algorithm of the clients' assertions. */
  readonly assertionAlg: string;
  readonly server: ServerProcess;
  readonly authorities: readonly [DemoAuthority, DemoAuthority, DemoAuthority];
  readonly careProviders: readonly [DemoCareProvider, DemoCareProvider];
  readonly operator: FhirClient;
  /** The clients, to open them at another server. */
  readonly registry: SyntheticRegistry;
  readServerLog(): string;
  /** Aborted when the world closes. */
  readonly closed: AbortSignal;
  /** Stops the server and the receivers and removes the folder. */
  close(): Promise<void>;
}

const authorityNames = ['Northmoor', 'Eastvale', 'Westhaven'];
const careProviders = [
  { name: 'Northmoor General Hospital', professional: 'Robin Marlowe', role: 'Emergency Department Nurse' },
  { name: 'Eastvale Urgent Treatment', professional: 'Kit Underhay', role: 'Out-of-hours GP' },
];

/** Opens the receivers and writes the registry. The caller starts the server. */
export async function openDemoWorld(): Promise<DemoWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'cpis-demo-'));
  const tokens = authorityNames.map(() => `Bearer ${randomBytes(24).toString('base64url')}`);
  const port = await findFreePort();
  const origin = `http://127.0.0.1:${port}`;
  const keysUrl = `${origin}/.well-known/notification-keys.json`;
  const receivers = await Promise.all(
    tokens.map((authorization, index) =>
      startReceiver({ folder, name: (authorityNames[index] ?? '').toLowerCase(), authorization, keysUrl }),
    ),
  );
  const registry = await makeSyntheticRegistry({
    authorityNames,
    careProviderNames: careProviders.map(({ name }) => name),
    subscriptionOrigins: receivers.map(({ origin }) => origin),
  });
  const registryFile = join(folder, 'registry.json');
  writeFileSync(registryFile, JSON.stringify(registry.json), { mode: 0o600 });
  const baseUrl = `${origin}/FHIR/R4`;
  const logFile = join(folder, 'server.log');
  const server = buildServerProcess({
    origin,
    logFile,
    settings: {
      CPIS_PORT: String(port),
      CPIS_DATA_FOLDER: join(folder, 'data'),
      CPIS_REGISTRY_FILE: registryFile,
      CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
      // A load of look-ups in the name of one professional is part of the demo.
      CPIS_PROFESSIONAL_LOOK_UPS_PER_MINUTE: '0',
    },
  });

  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  const closing = new AbortController();
  const onExit = (): void => {
    server.killNow();
    for (const receiver of receivers) receiver.killNow();
    removeFolder();
  };
  process.once('exit', onExit);

  function openEpr(client: SyntheticClient, index: number): DemoCareProvider {
    const { name = '', professional = '', role = '' } = careProviders[index] ?? {};
    const iua = {
      subject_name: professional,
      subject_role: role,
      subject_organization: name,
      subject_organization_id: client.organisationId,
    };
    return { name, professional, client: openFhirClient(baseUrl, client, iua) };
  }

  const [northmoor, eastvale, westhaven] = receivers.flatMap((receiver, index): DemoAuthority[] => {
    const client = registry.authorities[index];
    const name = authorityNames[index];
    const authorization = tokens[index];
    if (client === undefined || name === undefined || authorization === undefined) return [];
    return [{ id: client.organisationId, name, client: openFhirClient(baseUrl, client), receiver, authorization }];
  });
  const [firstEpr, secondEpr] = registry.careProviders.map(openEpr);
  if (!northmoor || !eastvale || !westhaven || !firstEpr || !secondEpr) throw new Error('the registry is incomplete');
  return {
    origin,
    baseUrl,
    folder,
    assertionAlg: registry.operator.privateJwk.alg ?? '',
    server,
    authorities: [northmoor, eastvale, westhaven],
    careProviders: [firstEpr, secondEpr],
    operator: openFhirClient(baseUrl, registry.operator),
    registry,
    readServerLog: () => readFileSync(logFile, 'utf8'),
    closed: closing.signal,
    async close() {
      closing.abort();
      await server.stop();
      await Promise.all(receivers.map((receiver) => receiver.close()));
      removeFolder();
      process.off('exit', onExit);
    },
  };
}
