/**
 * `node bench/measure-search.ts [plans]`: measures a search before the store runs it (parse, plan and compile of
 * `Flag?patient=`), and how long a page of 1,000 and searches over all plans of an authority block the event loop.
 * Prints JSON.
 */
import { once } from 'node:events';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { narrow } from '../src/cpis/access-policy.ts';
import type { Caller } from '../src/cpis/caller.ts';
import { loadSearchParameters } from '../src/fhir/definitions/search-parameters.ts';
import type { InteractionPorts } from '../src/interactions/port/ports.ts';
import { parseCallerSearch } from '../src/interactions/search/allowed-parameters.ts';
import { compileSearch } from '../src/store/sqlite/search/compile-search.ts';
import type { FhirClient } from '../src/synthetic/fhir-client.ts';
import { openWorld } from '../test/support/running-server.ts';
import { freshPlan, submit } from '../test/support/submissions.ts';
import type { Fetched, FetchRequest } from './fetch-thread.ts';

const plans = Number(process.argv[2] ?? 3_000);
const rule = { today: '2026-01-31', endedPlanVisibleDays: 365 };

/** Returns microseconds per look-up, the median of several rounds. */
function timeParsing(): number {
  const caller = {
    role: 'care-provider',
    clientId: 'c',
    organisation: { id: 'o' },
    grants: new Map(),
  } as unknown as Caller;
  const ports = {
    searchDefinitions: loadSearchParameters(new URL('../profiles', import.meta.url).pathname),
    registry: () => ({ organisations: new Map(), revision: 1 }),
    clock: () => 1_700_000_000_000,
    baseUrl: 'https://cpis.example.org/FHIR/R4',
    searchDefaultCount: 50,
    searchMaxCount: 250,
  } as unknown as InteractionPorts;
  const pairs = [['patient', '9990000018']] as const;
  const lookUp = (): number => {
    const query = parseCallerSearch('Flag', pairs, caller, 'lenient', ports);
    const clauses = [...query.clauses, ...narrow(caller, 'Flag', rule)];
    return compileSearch({ type: 'Flag', clauses, sort: query.sort, limit: 50, total: false }).page.params.length;
  };
  const rounds: number[] = [];
  for (let round = 0; round < 7; round++) {
    const startedMs = performance.now();
    for (let i = 0; i < 5_000; i++) lookUp();
    rounds.push(((performance.now() - startedMs) * 1000) / 5_000);
  }
  return rounds.sort((a, b) => a - b)[3] ?? Number.NaN;
}

/** Measures the longest turn of the event loop until `stop`, in milliseconds of processor time of this thread. */
function watchTurns(): { stop(): number } {
  let maxUs = 0;
  let going = true;
  let { user, system } = process.threadCpuUsage();
  const look = (): void => {
    const now = process.threadCpuUsage();
    maxUs = Math.max(maxUs, now.user + now.system - user - system);
    ({ user, system } = now);
    if (going) setImmediate(look);
  };
  setImmediate(look);
  return {
    stop() {
      going = false;
      return maxUs / 1000;
    },
  };
}

/**
 * Measures how long a request blocks the event loop of the server, in milliseconds by the clock and of processor time,
 * which excludes other load on the machine. The client runs in another thread.
 */
async function timeBlocked(fetcher: Worker, client: FhirClient, baseUrl: string, path: string): Promise<object> {
  const request: FetchRequest = { url: `${baseUrl}/${path}`, token: await client.token() };
  let blockedMs = 0;
  let maxTurnMs = 0;
  let tookMs = 0;
  let entries = 0;
  let answerKb = 0;
  for (let round = 0; round < 3; round++) {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await new Promise((resolve) => setTimeout(resolve, 20));
    delay.reset();
    const turns = watchTurns();
    const startedMs = performance.now();
    fetcher.postMessage(request);
    const [answer] = (await once(fetcher, 'message')) as [Fetched];
    tookMs = performance.now() - startedMs;
    await new Promise((resolve) => setTimeout(resolve, 20));
    delay.disable();
    maxTurnMs = Math.max(maxTurnMs, turns.stop());
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
    entries = answer.entries;
    answerKb = Math.round(answer.length / 1000);
    blockedMs = Math.max(blockedMs, delay.max / 1e6);
  }
  const round = (ms: number): number => Number(ms.toFixed(1));
  return {
    path,
    entries,
    answerKb,
    tookMs: Math.round(tookMs),
    blockedMs: round(blockedMs),
    maxTurnMs: round(maxTurnMs),
  };
}

const teardowns: (() => unknown)[] = [];
const world = await openWorld(
  { teardown: (close) => teardowns.push(close) },
  { settings: { CPIS_SEARCH_MAX_COUNT: '1000', CPIS_LOG_LEVEL: 'warn' } },
);
try {
  const [la] = world.authorities as [FhirClient];
  for (let at = 0; at < plans; at += 200) {
    await submit(la, ...Array.from({ length: 200 }, (_, i) => freshPlan({ family: `Testchild${(at + i) % 500}` })));
  }
  const paths = [
    'Flag?_count=1000',
    'Flag?_count=1000&_sort=-date',
    'Flag?_count=1000&_include=Flag:patient&_include=Flag:author',
    'Patient?_count=1000&_revinclude=Flag:patient',
    'Flag?_count=1000&_include=Flag:patient&_elements=status&_pretty=true',
    'Flag/_history?_count=1000&_summary=true',
    'Flag?status=active&_summary=count',
    'Patient?family:contains=child4&_sort=family&_count=50',
    'AuditEvent?_count=1000&action=C',
    'AuditEvent?_count=1000&_total=accurate',
  ];
  const blocked: object[] = [];
  const fetcher = new Worker(new URL('./fetch-thread.ts', import.meta.url));
  for (const path of paths) blocked.push(await timeBlocked(fetcher, la, world.server.baseUrl, path));
  await fetcher.terminate();
  process.stdout.write(
    `${JSON.stringify({ plans, parsePlanCompileUs: Number(timeParsing().toFixed(1)), blocked }, null, 2)}\n`,
  );
} finally {
  for (const close of teardowns.reverse()) await close();
}
