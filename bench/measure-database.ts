/** Measures a look-up on MongoDB: its round trips, its time, and which code uses the processor. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BSON, MongoClient } from 'mongodb';
import { openFhirClient } from '../src/synthetic/fhir-client.ts';
import { type ServerHome, startServerProcess } from '../test/support/server-process.ts';
import { openCommandMeter } from './command-meter.ts';

export interface DatabaseFigures {
  readonly lookups: number;
  /** Commands per look-up, by name. */
  readonly roundTrips: Readonly<Record<string, number>>;
  /** Medians for a single look-up: until its response, and until the responses of the database. */
  readonly totalMs: number;
  readonly databaseMs: number;
  /** Average size of a document as BSON, over a sample. */
  readonly documentBytes: Readonly<Record<string, number>>;
  /** Shares of the processor time of the server's main thread, with many concurrent look-ups. */
  readonly processor: Readonly<Record<Part, number>>;
}

type Part = 'driver' | 'ownCode' | 'otherModules' | 'node';

const alone = 100;
const atOnce = 16;
const together = 600;
/** Commands of other work, such as reading the commits of other servers. */
const background = /^(aggregate|hello|isMaster|ismaster|ping|endSessions|find used_once|update delivery_count)/;

/** Restarts the server on the same database, through a meter. */
export async function measureDatabase(home: ServerHome, children: readonly string[]): Promise<DatabaseFigures> {
  const url = new URL(home.settings['CPIS_MONGODB_URL'] ?? '');
  const meter = await openCommandMeter(url.hostname, Number(url.port || 27_017));
  url.hostname = '127.0.0.1';
  url.port = String(meter.port);
  url.searchParams.set('directConnection', 'true');
  const metered = { ...home, settings: { ...home.settings, CPIS_MONGODB_URL: url.href } };
  const profiles = mkdtempSync(join(tmpdir(), 'cpis-bench-'));
  const server = await startServerProcess(metered, { nodeOptions: ['--cpu-prof', `--cpu-prof-dir=${profiles}`] });
  try {
    const [reader] = home.registry.careProviders;
    if (reader === undefined) throw new Error('the registry has no care provider');
    const client = openFhirClient(home.baseUrl, reader);
    const lookUp = async (index: number): Promise<void> => {
      const answer = await client.request('GET', `Flag?patient=${children[index % children.length]}`);
      if (answer.status !== 200) throw new Error(`a look-up returned status ${answer.status}`);
    };
    for (let index = 0; index < alone; index++) await lookUp(index);
    meter.clear();
    const totals: number[] = [];
    const waits: number[] = [];
    for (let index = 0; index < alone; index++) {
      const before = meter.commands.length;
      const startedMs = performance.now();
      await lookUp(index);
      totals.push(performance.now() - startedMs);
      const own = meter.commands.slice(before).filter(({ name }) => !background.test(name));
      waits.push(own.reduce((sum, { sentMs, answeredMs = sentMs }) => sum + answeredMs - sentMs, 0));
    }
    const counts = new Map<string, number>();
    for (const { name } of meter.commands) {
      if (!background.test(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    let next = 0;
    const keepLooking = async (): Promise<void> => {
      while (next < together) await lookUp(next++);
    };
    await Promise.all(Array.from({ length: atOnce }, keepLooking));
    await server.stop();
    return {
      lookups: alone,
      roundTrips: Object.fromEntries([...counts].map(([name, count]) => [name, round(count / alone)])),
      totalMs: round(median(totals)),
      databaseMs: round(median(waits)),
      documentBytes: await measureDocuments(home),
      processor: readProfile(profiles),
    };
  } finally {
    await server.kill();
    await meter.close();
    rmSync(profiles, { recursive: true, force: true });
  }
}

const round = (value: number): number => Number(value.toFixed(2));
const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

const sampled = 500;

async function measureDocuments({ settings }: ServerHome): Promise<Readonly<Record<string, number>>> {
  const client = new MongoClient(settings['CPIS_MONGODB_URL'] ?? '');
  try {
    const sizes: Record<string, number> = {};
    for (const [name, collection, filter] of [
      ['flag', 'resource', { type: 'Flag' }],
      ['patient', 'resource', { type: 'Patient' }],
      ['lookUpAudit', 'audit', { subtype: 'search-type', 'deliveries.state': { $exists: true } }],
      ['deliveredAudit', 'audit', { subtype: 'search-type', 'deliveries.state': 'delivered' }],
    ] as const) {
      const found = await client.db().collection(collection).find(filter).limit(sampled).toArray();
      const bytes = found.reduce((sum, document) => sum + BSON.calculateObjectSize(document), 0);
      sizes[name] = Math.round(bytes / found.length);
    }
    return sizes;
  } finally {
    await client.close();
  }
}

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly url: string; readonly functionName: string };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Finds the largest profile, which is that of the main thread. */
function readProfile(folder: string): Readonly<Record<Part, number>> {
  const texts = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  const [text = '{}'] = texts.sort((a, b) => b.length - a.length);
  const { nodes, samples, timeDeltas } = JSON.parse(text) as Profile;
  const partOf = new Map(nodes.map(({ id, callFrame }) => [id, partOfCode(callFrame.functionName, callFrame.url)]));
  const spent = { driver: 0, ownCode: 0, otherModules: 0, node: 0 };
  for (const [index, id] of samples.entries()) {
    const part = partOf.get(id);
    if (part !== undefined) spent[part] += timeDeltas[index] ?? 0;
  }
  const all = Object.values(spent).reduce((sum, each) => sum + each, 0);
  return {
    driver: round(spent.driver / all),
    ownCode: round(spent.ownCode / all),
    otherModules: round(spent.otherModules / all),
    node: round(spent.node / all),
  };
}

function partOfCode(functionName: string, url: string): Part | undefined {
  if (functionName === '(idle)' || functionName === '(root)') return undefined;
  if (/node_modules\/(mongodb|bson|mongodb-connection-string-url)\//.test(url)) return 'driver';
  if (url.includes('/node_modules/')) return 'otherModules';
  return url.startsWith('file:') ? 'ownCode' : 'node';
}
