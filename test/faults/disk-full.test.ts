/** I1 when the disk does not take it: 503, nothing disclosed, and either recovery or the end of the process. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bundle, OperationOutcome } from 'fhir/r4.js';
import t from 'tap';
import { isServerReady } from '../../src/synthetic/cpis-process.ts';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildBatch, type SyntheticPlan, syntheticNhsNumbers } from '../../src/synthetic/synthetic-plan.ts';
import { whyNoTracing } from '../support/may-trace.ts';
import { makeServerHome, type ServerHome, startServerProcess } from '../support/server-process.ts';
import { waitUntil } from '../support/wait-until.ts';

const family = 'Zzdiskfull';

function makePlan(nhsNumber: string, reference: string): SyntheticPlan {
  return {
    nhsNumber,
    family,
    given: 'Sam',
    birthDate: '2019-05-06',
    kind: { code: '342191000000101', display: 'Subject to child protection plan' },
    start: '2026-02-03',
    reference,
    referenceSystem: 'https://northmoor.example.org/cases',
  };
}

function openClients(home: ServerHome): { readonly caseSystem: FhirClient; readonly reader: FhirClient } {
  const [la] = home.registry.authorities;
  const [epr] = home.registry.careProviders;
  if (la === undefined || epr === undefined) throw new Error('the registry has no clients');
  return { caseSystem: openFhirClient(home.baseUrl, la), reader: openFhirClient(home.baseUrl, epr) };
}

/** Looks up until the answer is no longer 200, at most `most` times; how often it was, and what came then. */
async function lookUpUntilRefused(reader: FhirClient, nhsNumber: string, most: number) {
  let answered = 0;
  for (; answered < most; answered += 1) {
    const answer = await reader.request<OperationOutcome>('GET', `Flag?patient=${nhsNumber}`);
    if (answer.status !== 200) return { answered, refusal: answer };
  }
  return { answered, refusal: undefined };
}

/** Mounts a file system of its own size in memory; undefined when this process may not. */
function mountSmallDisk(bytes: number): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'cpis-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  if (mounted.status === 0) return folder;
  rmSync(folder, { recursive: true });
  return undefined;
}

const disk = mountSmallDisk(6 * 1024 * 1024);
const noMount = disk === undefined ? 'this process may not mount a file system' : false;
t.teardown(() => {
  if (disk === undefined) return;
  spawnSync('umount', [disk]);
  rmSync(disk, { recursive: true, force: true });
});

t.test(
  'a full disk: 503 that discloses nothing, and answers again when there is room',
  { skip: noMount },
  async (t) => {
    if (disk === undefined) return;
    const dataFolder = join(disk, 'data');
    mkdirSync(dataFolder, { mode: 0o700 });
    const home = await makeServerHome({ dataFolder, settings: { CPIS_LOG_LEVEL: 'warn' } });
    t.teardown(() => home.remove());
    const server = await startServerProcess(home);
    t.teardown(() => server.kill());
    const { caseSystem, reader } = openClients(home);
    const numbers = syntheticNhsNumbers();
    const child = numbers.next().value;
    t.equal((await caseSystem.request('POST', '', buildBatch([makePlan(child, 'CASE-1')]))).status, 200);
    t.equal((await reader.request('GET', `Flag?patient=${child}`)).status, 200);

    const filler = join(disk, 'filler');
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(filler, Buffer.alloc(bavail * bsize));
    const { answered, refusal } = await lookUpUntilRefused(reader, child, 5_000);
    t.equal(refusal?.status, 503, `after ${answered} more look-ups the disk is full`);
    t.match(refusal?.body, { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'transient' }] });
    t.ok(refusal?.headers.get('retry-after'), 'the client is told to try again');
    t.notOk(await isServerReady(home.origin), 'it asks for no requests');
    for (const path of [`Flag?patient=${child}`, `Patient/${child}`, `AuditEvent?patient=${child}`]) {
      const { status, body } = await reader.request('GET', path);
      t.equal(status, 503, 'every kind of read is refused');
      t.notMatch(JSON.stringify(body), new RegExp(`${child}|${family}|342191000000101|Flag`), 'it discloses nothing');
    }
    const submitted = await caseSystem.request<Bundle>(
      'POST',
      '',
      buildBatch([makePlan(numbers.next().value, 'CASE-2')]),
    );
    const statuses = submitted.body.entry?.map(({ response }) => response?.status?.slice(0, 3)) ?? [submitted.status];
    t.ok(
      statuses.every((status) => String(status) === '503'),
      'a submission is refused',
    );

    rmSync(filler);
    await waitUntil('it is ready, although it gets no requests', () => isServerReady(home.origin));
    const again = await reader.request<Bundle>('GET', `Flag?patient=${child}`);
    t.equal(again.status, 200, 'it answers again, without a restart');
    t.equal(again.body.total, 1);
    const history = await caseSystem.request<Bundle>(
      'GET',
      `AuditEvent?patient=${child}&subtype=search-type&_summary=count`,
    );
    t.equal(
      history.body.total,
      answered + 2,
      'there is one AuditEvent for each look-up that was answered, and no other',
    );
    t.equal(await server.stop(), 0);
  },
);

t.test('an I/O error: unready at once, and the process ends', { skip: whyNoTracing() ?? false }, async (t) => {
  const home = await makeServerHome({ settings: { CPIS_LOG_LEVEL: 'warn' } });
  t.teardown(() => home.remove());
  // Each thread is counted by itself; of all threads only the writing one gets as far as the 40th.
  const tracer = ['strace', '-f', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync'];
  const server = await startServerProcess(home, {
    tracer: [...tracer, '-e', 'inject=fsync,fdatasync:error=EIO:when=40+'],
  });
  t.teardown(() => server.kill());
  const { caseSystem, reader } = openClients(home);
  const child = syntheticNhsNumbers().next().value;
  t.equal((await caseSystem.request('POST', '', buildBatch([makePlan(child, 'CASE-1')]))).status, 200);
  const { answered, refusal } = await lookUpUntilRefused(reader, child, 200);
  t.equal(refusal?.status, 503, `look-up ${answered + 1} met the error`);
  t.match(refusal?.body, { issue: [{ code: 'transient' }] });
  t.notMatch(JSON.stringify(refusal?.body), new RegExp(`${child}|${family}|Flag`), 'it discloses nothing');
  const ready = await fetch(`${home.origin}/health/ready`).then(
    ({ status }) => status,
    () => 503,
  );
  t.equal(ready, 503, 'it is unready, or gone already');
  t.equal(await server.exited, 1, 'the process ends with exit code 1');

  const restarted = await startServerProcess(home);
  const found = await openClients(home).reader.request<Bundle>('GET', `Flag?patient=${child}`);
  t.equal(found.body.total, 1, 'started anew, it answers');
  const count = await openClients(home).caseSystem.request<Bundle>(
    'GET',
    `AuditEvent?patient=${child}&subtype=search-type&_summary=count`,
  );
  t.ok((count.body.total ?? 0) >= answered + 1, 'and has the AuditEvent of every look-up that was answered');
  t.equal(await restarted.stop(), 0);
});
