import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Clock } from '../../src/clock/clock.ts';
import { buildLogger } from '../../src/server/logger.ts';
import { openServer, type RunningServer } from '../../src/server/open-server.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import type { Store } from '../../src/store/store.ts';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { makeSyntheticRegistry, type SyntheticRegistry } from '../../src/synthetic/synthetic-registry.ts';
import { checkResponses } from './check-responses.ts';
import { makeTempFolder, type Teardown } from './temp-folder.ts';
import { unhurriedClients } from './unhurried-clients.ts';

export type { Teardown } from './temp-folder.ts';

/** The whole server in this process, on a fresh folder, with clients of every role. */
export interface RunningWorld {
  readonly server: RunningServer;
  readonly registry: SyntheticRegistry;
  readonly folder: string;
  readonly authorities: readonly FhirClient[];
  readonly careProviders: readonly FhirClient[];
  readonly operator: FhirClient;
  /** The auditor of the operator. */
  readonly auditor: FhirClient;
  /** The auditors of the two care providers. */
  readonly trustAuditors: readonly FhirClient[];
  /** The authorities. */
  readonly la: FhirClient;
  readonly otherLa: FhirClient;
  readonly thirdLa: FhirClient;
  /** The care providers. */
  readonly epr: FhirClient;
  readonly otherEpr: FhirClient;
  /** The organisation ids of `la` and `otherLa`. */
  readonly ownId: string;
  readonly otherId: string;
  /** Everything that was logged so far. */
  log(): string;
}

export interface WorldOptions {
  readonly subscriptionOrigins?: readonly (string | undefined)[];
  readonly settings?: Readonly<Record<string, string>>;
  readonly aroundStore?: (store: Store) => Store;
  /** The time of everything but access tokens. */
  readonly clock?: Clock;
}

/** Opens a world with three authorities, two care providers and an operator; it closes with the test. */
export async function openWorld(t: Teardown, options: WorldOptions = {}): Promise<RunningWorld> {
  const folder = makeTempFolder(t);
  const registry = await makeSyntheticRegistry({
    authorityNames: ['Northmoor (synthetic)', 'Eastvale (synthetic)', 'Westhaven (synthetic)'],
    careProviderNames: ['Northmoor General (synthetic)', 'Eastvale UTC (synthetic)'],
    ...(options.subscriptionOrigins === undefined ? {} : { subscriptionOrigins: options.subscriptionOrigins }),
  });
  const registryFile = join(folder, 'registry.json');
  writeFileSync(registryFile, JSON.stringify(registry.json), { mode: 0o600 });
  const settings = loadSettings({
    CPIS_PORT: '0',
    CPIS_DATA_FOLDER: join(folder, 'data'),
    CPIS_REGISTRY_FILE: registryFile,
    CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
    CPIS_LOG_LEVEL: 'info',
    ...unhurriedClients,
    ...options.settings,
  });
  const lines: Buffer[] = [];
  const destination = new PassThrough().on('data', (chunk: Buffer) => lines.push(chunk));
  const server = await openServer(settings, {
    logger: buildLogger({ level: settings.logLevel, destination }),
    onFatal: (error) => {
      throw error;
    },
    ...(options.aroundStore === undefined ? {} : { aroundStore: options.aroundStore }),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
  t.teardown(async () => {
    await server.close();
    checkResponses();
  });
  const { baseUrl } = server;
  const authorities = registry.authorities.map((client) => openFhirClient(baseUrl, client));
  const careProviders = registry.careProviders.map((client) => openFhirClient(baseUrl, client));
  const [la, otherLa, thirdLa] = authorities;
  const [epr, otherEpr] = careProviders;
  const [ownId, otherId] = registry.authorities.map(({ organisationId }) => organisationId);
  if (!la || !otherLa || !thirdLa || !epr || !otherEpr || !ownId || !otherId)
    throw new Error('the registry is incomplete');
  return {
    server,
    registry,
    folder,
    authorities,
    careProviders,
    ...{ la, otherLa, thirdLa, epr, otherEpr, ownId, otherId },
    operator: openFhirClient(baseUrl, registry.operator),
    auditor: openFhirClient(baseUrl, registry.auditor),
    trustAuditors: registry.trustAuditors.map((client) => openFhirClient(baseUrl, client)),
    log: () => Buffer.concat(lines).toString(),
  };
}
