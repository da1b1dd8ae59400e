/** Measures how long hostile requests hold the event loop, as another client sees it. */
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type FhirClient, openFhirClient } from '../src/synthetic/fhir-client.ts';
import { buildBatch, type SyntheticPlan, syntheticNhsNumbers } from '../src/synthetic/synthetic-plan.ts';
import { makeServerHome, startServerProcess } from '../test/support/server-process.ts';
import { buildCorpus, type HostileInput } from './hostile-corpus.ts';

/** Goals, as in docs/performance.md. */
const goalMs = { authority: 100, 'care-provider': 50 } as const;
const planCount = 500;
const auditCount = 600;

export interface HoldingFigures {
  /** The longest wait while nothing hostile was sent. */
  readonly idleMs: number;
  /** The longest wait while the first batch after the start was processed. */
  readonly firstBatchMs: number;
  readonly firstBatchWorkMs: number;
  readonly inputs: readonly HeldBy[];
  /** Inputs that missed their goal. */
  readonly missed: readonly string[];
}

interface HeldBy {
  readonly input: string;
  readonly status: number;
  /** The longest wait of the other client. */
  readonly heldMs: number;
  /** The most processor time that the server spent without letting others run. */
  readonly workMs: number;
}

function makePlans(): SyntheticPlan[] {
  const numbers = syntheticNhsNumbers();
  return Array.from({ length: planCount }, (_, index) => ({
    nhsNumber: numbers.next().value,
    family: 'Example',
    given: 'Sam',
    birthDate: '2015-01-01',
    kind: { code: '342191000000101', display: 'Subject to child protection plan' },
    start: '2026-01-01',
    reference: `CASE-${index}`,
    referenceSystem: 'https://authority.example.org/cases',
  }));
}

async function send(baseUrl: string, client: FhirClient, input: HostileInput): Promise<number> {
  const { method, path, body, contentType = 'application/fhir+json' } = input;
  const response = await fetch(path === '' ? baseUrl : `${baseUrl}/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${await client.token()}`,
      ...(body === undefined ? {} : { 'content-type': contentType }),
    },
    ...(body === undefined ? {} : { body }),
  });
  await response.arrayBuffer();
  return response.status;
}

/**
 * Sends each input of the corpus in each round. The figure of an input is the shortest of its rounds' longest waits,
 * because other load on the machine can only lengthen it.
 */
export async function measureHolding(nodeOptions: readonly string[], rounds: number): Promise<HoldingFigures> {
  const home = await makeServerHome({ unchecked: true, settings: { CPIS_LOG_LEVEL: 'warn' } });
  const workFile = join(home.folder, 'work');
  const meter = fileURLToPath(new URL('./work-meter.ts', import.meta.url));
  const server = await startServerProcess(
    { ...home, settings: { ...home.settings, BENCH_WORK_FILE: workFile } },
    { nodeOptions: [...nodeOptions, '--import', meter] },
  );
  const mostWork = async (): Promise<number> => {
    rmSync(workFile, { force: true });
    process.kill(server.pid, 'SIGWINCH');
    while (!existsSync(workFile)) await sleep(1);
    return Number(readFileSync(workFile, 'utf8'));
  };
  const probe = new Worker(new URL('./probe-thread.ts', import.meta.url), { workerData: home.origin });
  const longestWait = async (): Promise<number> => {
    probe.postMessage('');
    const [waited] = await once(probe, 'message');
    return waited;
  };
  try {
    const [authority] = home.registry.authorities;
    const [careProvider] = home.registry.careProviders;
    if (authority === undefined || careProvider === undefined) throw new Error('the registry has no clients');
    const clients = {
      authority: openFhirClient(home.baseUrl, authority),
      'care-provider': openFhirClient(home.baseUrl, careProvider),
    };
    await Promise.all(Object.values(clients).map((client) => client.token()));
    const plans = makePlans();
    await sleep(500);
    await longestWait();
    await sleep(1_000);
    const idleMs = await longestWait();
    await mostWork();
    await clients.authority.request('POST', '', buildBatch(plans));
    const firstBatchMs = await longestWait();
    const firstBatchWorkMs = await mostWork();
    for (let count = 0; count < auditCount; count += 1) {
      await clients['care-provider'].request('GET', `Flag?patient=${plans[0]?.nhsNumber}`);
    }
    const found = new Map<string, HeldBy>();
    const round10 = (value: number): number => Math.round(value * 10) / 10;
    for (let round = 0; round < rounds; round += 1) {
      for (const input of buildCorpus(plans, `round${round}-`)) {
        const name = `${input.role}: ${input.name}`;
        await longestWait();
        await mostWork();
        const status = await send(home.baseUrl, clients[input.role], input).catch((cause) => {
          throw new Error(`${name} got no response: ${server.output()}`, { cause });
        });
        const waited = round10(await longestWait());
        const work = round10(await mostWork());
        const before = found.get(name);
        const heldMs = Math.min(waited, before?.heldMs ?? waited);
        found.set(name, { input: name, status, heldMs, workMs: Math.min(work, before?.workMs ?? work) });
      }
    }
    const inputs = [...found.values()].sort((a, b) => b.workMs - a.workMs);
    const goalOf = (name: string): number => goalMs[name.startsWith('authority') ? 'authority' : 'care-provider'];
    return {
      idleMs: Math.round(idleMs),
      firstBatchMs: Math.round(firstBatchMs),
      firstBatchWorkMs: Math.round(firstBatchWorkMs),
      inputs,
      missed: inputs.filter(({ input, heldMs }) => heldMs > goalOf(input)).map(({ input }) => input),
    };
  } finally {
    await probe.terminate();
    await server.stop();
    home.remove();
  }
}
