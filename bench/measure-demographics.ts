import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFhirClient } from '../src/synthetic/fhir-client.ts';
import { startStandInPds } from '../src/synthetic/stand-in-pds-process.ts';
import { makeServerHome, startServerProcess } from '../test/support/server-process.ts';
import { loadPlans, makePlans } from './plans.ts';

const authorityNames = ['Authority 1 (synthetic)', 'Authority 2 (synthetic)', 'Authority 3 (synthetic)'];
const atOnce = 32;
const median = (numbers: readonly number[]): number =>
  Math.round([...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN);

/** What the rounds measured with one demographics service: each number is of one round. */
interface Rounds {
  readonly records: number[];
  readonly lookups: number[];
}

interface Load {
  readonly plans: number;
  readonly lookups: number;
}

/** Measures one server from its start: its records and its look-ups a second. */
async function measureServer(settings: Readonly<Record<string, string>>, load: Load, into: Rounds): Promise<void> {
  const home = await makeServerHome({
    unchecked: true,
    authorityNames,
    settings: { CPIS_LOG_LEVEL: 'warn', ...settings },
  });
  const server = await startServerProcess(home);
  try {
    const loaded = await loadPlans(home, load.plans);
    into.records.push(loaded.records / loaded.seconds);
    const [reader] = home.registry.careProviders;
    if (reader === undefined) throw new Error('the registry has no care provider');
    const client = openFhirClient(home.baseUrl, reader);
    const children = loaded.childrenOf.flat();
    const startMs = performance.now();
    for (let done = 0; done < load.lookups; done += atOnce) {
      await Promise.all(
        Array.from({ length: atOnce }, (_, at) =>
          client.request('GET', `Flag?patient=${children[(done + at) % children.length]}`),
        ),
      );
    }
    into.lookups.push((load.lookups / (performance.now() - startMs)) * 1_000);
  } finally {
    await server.stop();
  }
}

const medians = ({ records, lookups }: Rounds) => ({
  recordsPerSecond: median(records),
  lookupsPerSecond: median(lookups),
});

/**
 * Measures submission and look-ups with the stand-in for PDS beside none, in turn. Returns the medians of the rounds. The
 * rate limit is lifted, because at the default of 5 requests a second nothing else would be measured.
 */
export async function measureDemographics(load: Load, rounds: number) {
  const folder = mkdtempSync(join(tmpdir(), 'cpis-bench-'));
  const pds = await startStandInPds(join(folder, 'key.json'));
  const none: Rounds = { records: [], lookups: [] };
  const withPds: Rounds = { records: [], lookups: [] };
  try {
    const people = makePlans(load.plans, authorityNames.length).flat();
    await pds.put(
      people.map(({ nhsNumber, family, given, birthDate }) => ({
        ...{ number: nhsNumber, family, given: [given], birthDate },
      })),
    );
    for (let round = 0; round < rounds; round += 1) {
      await measureServer({}, load, none);
      await measureServer({ ...pds.settings, CPIS_PDS_RATE: '1000', CPIS_PDS_TIMEOUT_MS: '60000' }, load, withPds);
    }
    return { plans: load.plans, none: medians(none), pds: medians(withPds) };
  } finally {
    await pds.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
