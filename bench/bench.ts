/** `npm run bench`: measures the server on this machine and prints JSON. See docs/performance.md. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { openMongoServer } from '../test/support/mongo-server.ts';
import { makeServerHome, startServerProcess } from '../test/support/server-process.ts';
import { measureDatabase } from './measure-database.ts';
import { measureDelivery, openBenchReceiver } from './measure-delivery.ts';
import { measureDemographics } from './measure-demographics.ts';
import { measureHolding } from './measure-holding.ts';
import { measureLookups } from './measure-lookups.ts';
import { metricsToken } from './observe.ts';
import { loadPlans } from './plans.ts';

const { values } = parseArgs({
  options: {
    plans: { type: 'string' },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
    events: { type: 'string' },
    store: { type: 'string', default: 'sqlite' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    'cpu-prof': { type: 'string' },
  },
});
const plans = Number(values.plans ?? (values.quick ? 5_000 : 100_000));
const seconds = Number(values.seconds ?? (values.quick ? 1 : 2));
const events = Number(values.events ?? (values.quick ? 2_000 : 20_000));
/** Many short rounds, so that other load on the machine affects both sides of a ratio equally. */
const rounds = Number(values.rounds ?? (values.quick ? 3 : 9));
/** Look-ups before the measurement. */
const warmUp = values.store === 'mongo' ? 500 : 20_000;
const profileFolder = values['cpu-prof'];

const report = (figures: object): void => void process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
const progress = (text: string): void => void process.stderr.write(`${text}\n`);
const round = (value: number, digits = 0): number => Number(value.toFixed(digits));
const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/** Returns the Node options of `npm start`. */
function startOptions(): readonly string[] {
  const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    readonly scripts: { readonly start: string };
  };
  return scripts.start.split(' ').filter((word) => word.startsWith('--'));
}

if (values.only === 'holding') {
  const holding = await measureHolding(startOptions(), rounds);
  report({ holding });
  process.exit(holding.missed.length === 0 ? 0 : 1);
}
if (values.only === 'demographics') {
  const load = { plans: Number(values.plans ?? (values.quick ? 200 : 2_000)), lookups: values.quick ? 320 : 3_200 };
  report({ demographics: await measureDemographics(load, Number(values.rounds ?? (values.quick ? 1 : 3))) });
  process.exit(0);
}
if (values.only !== undefined) throw new Error('--only must be holding or demographics');

const ends: (() => unknown)[] = [];
/** Returns the settings of the measured store. MongoDB is that of CPIS_TEST_MONGODB_URL, or a mongod started here. */
async function storeSettings(): Promise<Readonly<Record<string, string>>> {
  if (values.store === 'sqlite') return {};
  if (values.store !== 'mongo') throw new Error('--store must be sqlite or mongo');
  const server = await openMongoServer({ teardown: (end) => ends.push(end) });
  return {
    CPIS_MONGODB_URL: server.newDatabaseUrl(),
    CPIS_MONGODB_TIMEOUT_MS: '30000',
  };
}

const store = await storeSettings();
const receiver = await openBenchReceiver();
const authorityCount = 8;
const home = await makeServerHome({
  unchecked: true,
  authorityNames: Array.from({ length: authorityCount }, (_, index) => `Authority ${index + 1} (synthetic)`),
  subscriptionOrigins: [receiver.origin],
  settings: {
    ...store,
    CPIS_LOG_LEVEL: 'warn',
    CPIS_METRICS_TOKEN: metricsToken,
    CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
    CPIS_NOTIFICATION_RATE_PER_AUTHORITY: '100000',
  },
});
const server = await startServerProcess(home, {
  nodeOptions: [
    ...startOptions(),
    ...(profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`]),
  ],
});
try {
  progress(`ready after ${round(server.startMs)} ms; submitting ${plans} plans`);
  const loaded = await loadPlans(home, plans);
  progress(`${round(loaded.records / loaded.seconds)} records/s; looking up`);
  // Leaves out the children of the first authority, which is the one notified, so that its backlog is known.
  const [subscribed = [], ...others] = loaded.childrenOf;
  const lookups = await measureLookups(home, server.pid, others.flat(), { rounds, seconds, warmUp });
  progress(`ratio ${round(median(lookups.ratios), 3)}; delivering`);
  const [authority] = home.registry.authorities;
  if (authority === undefined) throw new Error('the registry has no authority');
  const delivery = await measureDelivery(home, authority, receiver, subscribed, events);
  await server.stop();
  const database = values.store === 'mongo' ? { database: await measureDatabase(home, others.flat()) } : {};
  report({
    store: values.store,
    machine: { node: process.version, cores: cpus().length, cpu: cpus()[0]?.model },
    startMs: round(server.startMs),
    submission: { records: loaded.records, recordsPerSecond: round(loaded.records / loaded.seconds) },
    lookups: {
      connections: 64,
      answerBytes: lookups.answerBytes,
      barePerSecond: round(median(lookups.bare.map(({ perSecond }) => perSecond))),
      lookupsPerSecond: round(median(lookups.lookups.map(({ perSecond }) => perSecond))),
      ratio: round(median(lookups.ratios), 3),
      ratios: lookups.ratios.map((ratio) => round(ratio, 3)),
      p50Ms: median(lookups.lookups.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(lookups.lookups.map(({ p99Ms }) => p99Ms)),
      bareP50Ms: median(lookups.bare.map(({ p50Ms }) => p50Ms)),
      bareP99Ms: median(lookups.bare.map(({ p99Ms }) => p99Ms)),
      failed: lookups.lookups.reduce((sum, { failed }) => sum + failed, 0),
      answered: lookups.answered,
      audits: lookups.audits,
      auditsEqualAnswers: lookups.audits === lookups.answered,
      commitsPerFsync: round(lookups.commitsPerFsync, 1),
      rowsPerFsync: round(lookups.rowsPerFsync, 1),
      serverRssMb: lookups.rssMb,
    },
    delivery: { events: delivery.events, notificationsPerSecond: round(delivery.perSecond) },
    ...database,
  });
  if (lookups.audits !== lookups.answered) process.exitCode = 1;
} finally {
  await server.stop();
  home.remove();
  receiver.child.close();
  for (const end of ends) await end();
}
