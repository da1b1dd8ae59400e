/**
 * `node bench/bench-demographics.ts`: measures submission and look-ups with the stand-in for PDS beside none, in turn, and
 * prints JSON. The rate limit is lifted; at the default of 5 requests a second the limit is all that counts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openFhirClient } from '../src/synthetic/fhir-client.ts';
import { startStandInPds } from '../src/synthetic/stand-in-pds-process.ts';
import { makeServerHome, startServerProcess } from '../test/support/server-process.ts';
import { loadPlans, makePlans } from './plans.ts';

const { values } = parseArgs({
  options: {
    plans: { type: 'string', default: '2000' },
    lookups: { type: 'string', default: '3000' },
    rounds: { type: 'string', default: '3' },
  },
});
const count = Number(values.plans);
const lookups = Number(values.lookups);
const authorityNames = ['Authority 1 (synthetic)', 'Authority 2 (synthetic)', 'Authority 3 (synthetic)'];
const atOnce = 32;
const median = (numbers: readonly number[]): number =>
  Math.round([...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN);

const folder = mkdtempSync(join(tmpdir(), 'cpis-bench-'));
const pds = await startStandInPds(join(folder, 'key.json'));
const figures = {
  none: { records: [] as number[], lookups: [] as number[] },
  pds: { records: [] as number[], lookups: [] as number[] },
};

/** Measures one server from its start: its records and its look-ups a second. */
async function measure(settings: Readonly<Record<string, string>>, into: (typeof figures)['none']): Promise<void> {
  const home = await makeServerHome({
    unchecked: true,
    authorityNames,
    settings: { CPIS_LOG_LEVEL: 'warn', ...settings },
  });
  const server = await startServerProcess(home);
  try {
    const loaded = await loadPlans(home, count);
    into.records.push(loaded.records / loaded.seconds);
    const [reader] = home.registry.careProviders;
    if (reader === undefined) throw new Error('the registry has no care provider');
    const client = openFhirClient(home.baseUrl, reader);
    const children = loaded.childrenOf.flat();
    const startMs = performance.now();
    for (let done = 0; done < lookups; done += atOnce) {
      await Promise.all(
        Array.from({ length: atOnce }, (_, at) =>
          client.request('GET', `Flag?patient=${children[(done + at) % children.length]}`),
        ),
      );
    }
    into.lookups.push((lookups / (performance.now() - startMs)) * 1_000);
  } finally {
    await server.stop();
  }
}

try {
  const people = makePlans(count, authorityNames.length).flat();
  await pds.put(
    people.map(({ nhsNumber, family, given, birthDate }) => ({ number: nhsNumber, family, given: [given], birthDate })),
  );
  for (let round = 0; round < Number(values.rounds); round += 1) {
    await measure({}, figures.none);
    await measure({ ...pds.settings, CPIS_PDS_RATE: '1000', CPIS_PDS_TIMEOUT_MS: '60000' }, figures.pds);
  }
  const report = Object.entries(figures).map(([name, { records, lookups: answered }]) => [
    name,
    { recordsPerSecond: median(records), lookupsPerSecond: median(answered) },
  ]);
  process.stdout.write(`${JSON.stringify({ plans: count, ...Object.fromEntries(report) }, null, 2)}\n`);
} finally {
  await pds.stop();
  rmSync(folder, { recursive: true, force: true });
}
