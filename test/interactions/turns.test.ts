/** Long work of one client runs in turns: another client is answered meanwhile. Answers are counted, not timed. */
import t from 'tap';
import { buildBatch, buildRecord } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, postBundle, statusesOf, submit } from '../support/submissions.ts';

const { la, epr, server } = await openWorld(t);

/** Returns how many requests of another client are answered until the work is done. */
async function answeredDuring(work: Promise<unknown>): Promise<number> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  let count = 0;
  while (!isDone) {
    await (await fetch(`${server.origin}/health/live`)).text();
    count += 1;
  }
  await done;
  return count;
}

t.test('the first Bundle after a start, for which the profiles are compiled', async (t) => {
  const work = postBundle(la, 'batch', buildRecord(freshPlan()));
  t.ok((await answeredDuring(work)) > 5);
  t.strictSame(
    statusesOf(await work).map((status) => status?.slice(0, 3)),
    ['201', '201'],
  );
});

t.test('a batch of many records', async (t) => {
  const work = la.request('POST', '', buildBatch(Array.from({ length: 300 }, freshPlan)));
  t.ok((await answeredDuring(work)) > 10);
  t.equal((await work).status, 200);
});

t.test('a patch with many paths', async (t) => {
  const operation = (index: number) => ({
    name: 'operation',
    part: [
      { name: 'type', valueCode: 'delete' },
      { name: 'path', valueString: `Flag.identifier.where(value='${index}'${" or use='a'".repeat(8)})` },
    ],
  });
  const body = { resourceType: 'Parameters', parameter: Array.from({ length: 50 }, (_, index) => operation(index)) };
  const work = la.request('PATCH', 'Flag/none', body);
  t.ok((await answeredDuring(work)) > 1);
  t.equal((await work).status, 404);
});

t.test('a batch of many pages of AuditEvents', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  for (let count = 0; count < 30; count++) await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
  const entry = Array.from({ length: 200 }, () => ({
    request: { method: 'GET', url: `AuditEvent?patient=${plan.nhsNumber}&_count=30` },
  }));
  const work = epr.request('POST', '', { resourceType: 'Bundle', type: 'batch', entry });
  t.ok((await answeredDuring(work)) > 20);
  t.equal((await work).status, 200);
});
