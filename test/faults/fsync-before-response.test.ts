/** I1 of the design, seen from the kernel: between a request and the first byte of its answer lies an fsync of the WAL. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle } from 'fhir/r4.js';
import t from 'tap';
import { type FhirResponse, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildBatch, buildFlag, type SyntheticPlan, syntheticNhsNumbers } from '../../src/synthetic/synthetic-plan.ts';
import { whyNoTracing } from '../support/may-trace.ts';
import { makeServerHome, startServerProcess } from '../support/server-process.ts';
import { kindOf } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

/** One system call; `begun` and `ended` are positions in the trace. */
interface SystemCall {
  readonly name: string;
  readonly rest: string;
  readonly begun: number;
  readonly ended: number;
}

/** Reads the output of `strace -f`, with calls that other threads interrupted put together again. */
function parseTrace(text: string): readonly SystemCall[] {
  const calls: SystemCall[] = [];
  const open = new Map<string, { readonly name: string; readonly rest: string; readonly begun: number }>();
  for (const [position, line] of text.split('\n').entries()) {
    const [, thread = '', event = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const [, resumed, tail = ''] = /^<\.\.\. (\w+) resumed>(.*)$/.exec(event) ?? [];
    if (resumed !== undefined) {
      const begun = open.get(thread);
      open.delete(thread);
      if (begun?.name === resumed) calls.push({ ...begun, rest: begun.rest + tail, ended: position });
      continue;
    }
    const [, name, rest = ''] = /^(\w+)\((.*)$/.exec(event) ?? [];
    if (name === undefined) continue;
    if (rest.endsWith('<unfinished ...>')) open.set(thread, { name, rest, begun: position });
    else calls.push({ name, rest, begun: position, ended: position });
  }
  return calls;
}

const socket = /^\d+<(socket|TCP)/;
const isRequest = ({ name, rest }: SystemCall): boolean =>
  ['read', 'readv', 'recvfrom', 'recvmsg'].includes(name) && socket.test(rest) && /"[A-Z]+ \/FHIR\/R4/.test(rest);
const isAnswer = ({ name, rest }: SystemCall): boolean =>
  ['write', 'writev', 'sendto', 'sendmsg'].includes(name) && socket.test(rest) && rest.includes('"HTTP/1.1 ');
const isSync = ({ name, rest }: SystemCall): boolean =>
  (name === 'fsync' || name === 'fdatasync') && rest.includes('store.sqlite-wal>') && rest.endsWith('= 0');

t.test('I1: nothing leaves before the WAL is on disk', { skip: whyNoTracing() ?? false }, async (t) => {
  const home = await makeServerHome({ settings: { CPIS_LOG_LEVEL: 'warn' } });
  t.teardown(() => home.remove());
  const traceFile = join(home.folder, 'trace');
  const traced = 'trace=fsync,fdatasync,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg';
  const server = await startServerProcess(home, {
    tracer: ['strace', '-f', '-y', '-s', '64', '-e', traced, '-o', traceFile],
  });
  t.teardown(() => server.kill());

  const [la, epr] = [home.registry.authorities[0], home.registry.careProviders[0]];
  if (la === undefined || epr === undefined) throw new Error('the registry has no clients');
  const caseSystem = openFhirClient(home.baseUrl, la);
  const reader = openFhirClient(home.baseUrl, epr);
  const numbers = syntheticNhsNumbers();
  const child = numbers.next().value;
  const planOf = (nhsNumber: string, reference: string, kind: 'CPP' | 'LAC'): SyntheticPlan => ({
    nhsNumber,
    family: 'Example',
    given: 'Sam',
    birthDate: '2019-05-06',
    kind: kindOf(kind),
    start: '2026-02-03',
    reference,
    referenceSystem: 'https://northmoor.example.org/cases',
  });
  const first = planOf(child, 'CASE-1', 'CPP');
  const loaded = await caseSystem.request<Bundle>('POST', '', buildBatch([first, planOf(child, 'CASE-2', 'LAC')]));
  const locations = (loaded.body.entry ?? []).map(({ response }) => response?.location ?? '');
  const [visible = '', hidden = ''] = locations.flatMap((location) => /Flag\/[^/]+/.exec(location)?.[0] ?? []);
  t.ok(visible !== '' && hidden !== '', 'two plans are in');
  const withdrawn = { ...buildFlag(planOf(child, 'CASE-2', 'LAC')), id: hidden.slice(5), status: 'entered-in-error' };
  const page = await caseSystem.request<Bundle>('GET', `Flag?patient=${child}&_count=1`);
  const nextPage = page.body.link?.find(({ relation }) => relation === 'next')?.url.slice(home.baseUrl.length + 1);
  t.ok(nextPage, 'there is a second page');
  t.equal((await caseSystem.request('PUT', hidden, withdrawn)).status, 200, 'one plan is withdrawn');
  await reader.token();

  type Ask = () => Promise<FhirResponse<unknown>>;
  const withHeaders = { 'x-request-id': randomUUID() };
  const head: Ask = async () => {
    const authorization = `Bearer ${await reader.token()}`;
    const response = await fetch(`${home.baseUrl}/${visible}`, { method: 'HEAD', headers: { authorization } });
    return { status: response.status, headers: response.headers, body: undefined };
  };
  const steps: readonly (readonly [name: string, status: number, ask: Ask])[] = [
    ['read', 200, () => reader.request('GET', visible)],
    ['read of a Patient', 200, () => reader.request('GET', `Patient/${child}`)],
    ['vread', 200, () => caseSystem.request('GET', `${visible}/_history/1`)],
    ['search', 200, () => reader.request('GET', `Flag?patient=${child}`, undefined, withHeaders)],
    ['search without a match', 200, () => reader.request('GET', `Flag?patient=${numbers.next().value}`)],
    ['_summary=count', 200, () => reader.request('GET', `Flag?patient=${child}&_summary=count`)],
    ['HEAD', 200, head],
    ['next page', 200, () => caseSystem.request('GET', `${nextPage}`)],
    ['access history', 200, () => reader.request('GET', `AuditEvent?patient=${child}`)],
    ['404 of a withdrawn plan', 404, () => reader.request('GET', hidden)],
    ['404 of no plan', 404, () => reader.request('GET', `Flag/${randomUUID()}`)],
    ['403', 403, () => reader.request('GET', 'Subscription')],
    ['create', 201, () => caseSystem.request('POST', 'Flag', buildFlag(planOf(child, 'CASE-3', 'LAC')))],
    ['update', 200, () => caseSystem.request('PUT', visible, { ...buildFlag(first), id: visible.slice(5) })],
    [
      'batch with a GET',
      200,
      () =>
        reader.request('POST', '', {
          resourceType: 'Bundle',
          type: 'batch',
          entry: [{ request: { method: 'GET', url: `Flag?patient=${child}` } }],
        }),
    ],
  ];
  // Everything in the trace after this request belongs to the steps.
  const marker = `Flag/${randomUUID()}`;
  await reader.request('GET', marker);
  const readSteps = (): readonly SystemCall[] => {
    const calls = parseTrace(readFileSync(traceFile, 'utf8'));
    const marked = calls.find((call) => isRequest(call) && call.rest.includes(marker));
    const answered = calls.find((call) => isAnswer(call) && call.begun > (marked?.ended ?? Number.POSITIVE_INFINITY));
    return calls.filter(({ begun }) => begun > (answered?.ended ?? Number.POSITIVE_INFINITY));
  };
  for (const [name, status, ask] of steps) {
    const answered = await ask();
    t.equal(answered.status, status, `${name} is answered ${status}`);
  }
  await waitUntil('every answer is in the trace', () => readSteps().filter(isAnswer).length >= steps.length);
  const calls = readSteps();
  const requests = calls.filter(isRequest);
  const answers = calls.filter(isAnswer);
  t.equal(requests.length, steps.length, 'every request is in the trace');
  t.equal(answers.length, steps.length, 'every answer is in the trace');
  for (const [index, [name]] of steps.entries()) {
    const arrived = requests[index]?.ended ?? Number.POSITIVE_INFINITY;
    const left = answers[index]?.begun ?? Number.NEGATIVE_INFINITY;
    const synced = calls.some((call) => isSync(call) && call.begun > arrived && call.ended < left);
    t.ok(arrived < left && synced, `${name}: request, fsync of the WAL, first byte of the answer`);
  }
  t.equal(await server.stop(), 0);
});
