/** Compares look-ups with the yardstick: both in the same minute, alternating, from the same clients. */
import { openFhirClient } from '../src/synthetic/fhir-client.ts';
import type { ServerHome } from '../test/support/server-process.ts';
import type { BareAnswer } from './bare-server.ts';
import { startChild } from './child.ts';
import type { LoadJob, LoadResult } from './load-generator.ts';
import { countRows, readBatches, readRss } from './observe.ts';

const connections = 64;
const tokensPerClient = 4;
const pathsPerConnection = 500;
/** Headers that the HTTP server adds, or that differ between responses. */
const ownHeaders = new Set(['connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding']);

export interface LookupFigures {
  readonly bare: readonly LoadResult[];
  readonly lookups: readonly LoadResult[];
  readonly ratios: readonly number[];
  readonly answerBytes: number;
  readonly answered: number;
  readonly audits: number;
  readonly commitsPerFsync: number;
  readonly rowsPerFsync: number;
  readonly rssMb: number;
}

/** Measures `rounds` rounds of about `seconds` each. `children` are looked up in random order. */
export async function measureLookups(
  home: ServerHome,
  pid: number,
  children: readonly string[],
  { rounds, seconds, warmUp }: { readonly rounds: number; readonly seconds: number; readonly warmUp: number },
): Promise<LookupFigures> {
  const clients = home.registry.careProviders.flatMap((client) =>
    Array.from({ length: tokensPerClient }, () => openFhirClient(home.baseUrl, client)),
  );
  const authorizations = async (): Promise<string[]> =>
    Promise.all(clients.map(async (client) => `Bearer ${await client.token()}`));
  const sample = await captureAnswer(home, pick(children), (await authorizations())[0] ?? '');
  const yardstick = startChild('bare-server.ts');
  const generator = startChild('load-generator.ts');
  try {
    const bareOrigin = await yardstick.ask<string>(sample);
    const measureBare = async (amount: number): Promise<LoadResult> =>
      generator.ask<LoadResult>({
        origin: bareOrigin,
        paths: Array.from({ length: connections * pathsPerConnection }, () => sample.path),
        authorizations: await authorizations(),
        connections,
        amount,
      } satisfies LoadJob);
    const measureLookup = async (amount: number): Promise<LoadResult> =>
      generator.ask<LoadResult>({
        origin: home.origin,
        paths: Array.from(
          { length: connections * pathsPerConnection },
          () => `/FHIR/R4/Flag?patient=${pick(children)}`,
        ),
        authorizations: await authorizations(),
        connections,
        amount,
      } satisfies LoadJob);

    let bareRate = (await measureBare(warmUp)).perSecond;
    let lookupRate = (await measureLookup(warmUp)).perSecond;
    const bare: LoadResult[] = [];
    const lookups: LoadResult[] = [];
    const rowsBefore = await countRows(home);
    const batchesBefore = await readBatches(home);
    for (let round = 0; round < rounds; round += 1) {
      bare.push(await measureBare(Math.ceil(bareRate * seconds)));
      lookups.push(await measureLookup(Math.max(Math.ceil(lookupRate * seconds), 2 * connections)));
      bareRate = bare.at(-1)?.perSecond ?? bareRate;
      lookupRate = lookups.at(-1)?.perSecond ?? lookupRate;
    }
    const batches = await readBatches(home);
    const rows = await countRows(home);
    const fsyncs = batches.batches - batchesBefore.batches;
    return {
      bare,
      lookups,
      ratios: lookups.map(({ perSecond }, index) => perSecond / (bare[index]?.perSecond ?? Number.NaN)),
      answerBytes: Buffer.byteLength(sample.body),
      answered: lookups.reduce((sum, { ok }) => sum + ok, 0),
      audits: rows.lookupAudits - rowsBefore.lookupAudits,
      commitsPerFsync: (batches.operations - batchesBefore.operations) / fsyncs,
      rowsPerFsync: (rows.all - rowsBefore.all) / fsyncs,
      rssMb: readRss(pid),
    };
  } finally {
    yardstick.close();
    generator.close();
  }
}

function pick(children: readonly string[]): string {
  return children[Math.floor(Math.random() * children.length)] ?? '';
}

/** Returns a real response for the yardstick to repeat. */
async function captureAnswer(home: ServerHome, nhsNumber: string, authorization: string): Promise<BareAnswer> {
  const response = await fetch(`${home.baseUrl}/Flag?patient=${nhsNumber}`, {
    headers: { authorization, accept: 'application/fhir+json' },
  });
  const body = await response.text();
  if (response.status !== 200) throw new Error(`a look-up returned status ${response.status}: ${body}`);
  const headers = [...response.headers].filter(([name]) => !ownHeaders.has(name));
  return { path: '/bare', headers: Object.fromEntries(headers), body };
}
