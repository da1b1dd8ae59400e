import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '../../src/net/find-free-port.ts';
import { type CpisProcess, isServerReady, startCpis } from '../../src/synthetic/cpis-process.ts';
import {
  makeSyntheticRegistry,
  type SyntheticOptions,
  type SyntheticRegistry,
} from '../../src/synthetic/synthetic-registry.ts';
import { checkResponses, watchFetch } from './check-responses.ts';
import { unhurriedClients } from './unhurried-clients.ts';

/** What a server needs to be started, and to be started again, on: a fresh folder, a registry, a port. */
export interface ServerHome {
  readonly folder: string;
  /** The SQLite file of the store. */
  readonly storeFile: string;
  readonly registry: SyntheticRegistry;
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  readonly baseUrl: string;
  /** The environment that the server is started with. */
  readonly settings: Readonly<Record<string, string>>;
  /** Removes the folder. Throws when a response was not valid FHIR. */
  remove(): void;
}

/** A running `cpis serve`. */
export type ServerProcess = CpisProcess;

export interface StartOptions {
  /** A command that runs the server's command line, such as strace with its options. */
  readonly tracer?: readonly string[];
  /** Options of Node, such as --cpu-prof. */
  readonly nodeOptions?: readonly string[];
  readonly readyTimeoutMs?: number;
}

/** Makes a folder with a synthetic registry, and settings for a free port of 127.0.0.1. */
export async function makeServerHome(
  options: Partial<SyntheticOptions> & {
    readonly settings?: Readonly<Record<string, string>>;
    /** Where the data folder goes, if not into the folder of the home. */
    readonly dataFolder?: string;
    /** The responses are not validated: where time is measured. */
    readonly unchecked?: boolean;
  } = {},
): Promise<ServerHome> {
  if (options.unchecked !== true) watchFetch();
  const folder = mkdtempSync(join(tmpdir(), 'cpis-process-'));
  const dataFolder = options.dataFolder ?? join(folder, 'data');
  const registry = await makeSyntheticRegistry({
    authorityNames: ['Northmoor (synthetic)', 'Eastvale (synthetic)'],
    careProviderNames: ['Northmoor General (synthetic)', 'Eastvale UTC (synthetic)'],
    ...options,
  });
  const registryFile = join(folder, 'registry.json');
  writeFileSync(registryFile, JSON.stringify(registry.json), { mode: 0o600 });
  const port = await findFreePort();
  const origin = `http://127.0.0.1:${port}`;
  return {
    folder,
    storeFile: join(dataFolder, 'store.sqlite'),
    registry,
    origin,
    baseUrl: `${origin}/FHIR/R4`,
    settings: {
      CPIS_PORT: String(port),
      CPIS_DATA_FOLDER: dataFolder,
      CPIS_REGISTRY_FILE: registryFile,
      ...unhurriedClients,
      ...options.settings,
    },
    remove() {
      rmSync(folder, { recursive: true, force: true });
      checkResponses();
    },
  };
}

/** Starts the program as an operator would and waits until it is ready. Throws with its output when it ends instead. */
export function startServerProcess(home: ServerHome, options: StartOptions = {}): Promise<ServerProcess> {
  return startCpis({
    args: ['serve'],
    env: { PATH: process.env['PATH'], ...home.settings },
    cwd: home.folder,
    isReady: () => isServerReady(home.origin),
    ...options,
  });
}
