/** The plans of a child with two linked numbers pass to a successor, and so does what was recorded under both numbers. */
import { randomUUID } from 'node:crypto';
import type { AuditEvent, Bundle } from 'fhir/r4.js';
import t from 'tap';
import { buildRecord } from '../../src/synthetic/synthetic-plan.ts';
import { openPdsWorld } from '../support/pds-world.ts';
import { openReceiver } from '../support/receiver.ts';
import { freshNhsNumber, freshPlan, postBundle, resourcesOf, submit } from '../support/submissions.ts';
import { endTerm, subscribe, transferPlans } from '../support/transfers.ts';
import { waitUntil } from '../support/wait-until.ts';

const [old, next] = [await openReceiver(), await openReceiver()];
t.teardown(() => Promise.all([old.close(), next.close()]));
const world = await openPdsWorld(t, {}, [old.origin, next.origin]);
const { la, otherLa, thirdLa, epr, operator, ownId, otherId, pds, know } = world;

const lookUp = async (nhsNumber: string) => (await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`)).body.total;
const lookUpsOf = async (client: typeof la, nhsNumber: string): Promise<AuditEvent[]> =>
  resourcesOf<AuditEvent>(
    await client.request<Bundle>('GET', `AuditEvent?patient=${nhsNumber}&subtype=search-type&action=E`),
  );

t.test('a look-up under a linked number is inherited, and one that was not delivered is handed over', async (t) => {
  const payload = 'application/fhir+json';
  await subscribe(la, { channel: { type: 'rest-hook', endpoint: `${old.origin}/hook`, payload } });
  await subscribe(otherLa, { channel: { type: 'rest-hook', endpoint: `${next.origin}/hook`, payload } });
  const plan = freshPlan();
  const to = freshNhsNumber();
  await know(plan);
  await submit(la, plan);
  await know({ ...plan, nhsNumber: to });
  await pds.put([{ number: plan.nhsNumber, supersededBy: to }]);
  await postBundle(la, 'batch', buildRecord({ ...plan, given: `Ada ${randomUUID()}` }));
  await waitUntil('the numbers are linked', async () => (await lookUp(to)) === 1);
  old.behave({ kind: 'answer', status: 503 });
  for (const number of [to, to, plan.nhsNumber]) await lookUp(number);
  await waitUntil('the endpoint was tried', () => old.received.length > 0);
  const known = await lookUpsOf(la, plan.nhsNumber);
  t.ok(known.length >= 4);
  t.strictSame(await lookUpsOf(otherLa, plan.nhsNumber), [], 'nothing before the transfer');

  await endTerm(world, ownId, otherId);
  const counts = await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] });
  t.match(counts, { transferred: 1 });
  t.ok(Number(counts['notifications']) >= 3, 'the look-ups under both numbers');
  const inherited = await lookUpsOf(otherLa, plan.nhsNumber);
  for (const { id } of known) t.ok(inherited.some((event) => event.id === id));
  for (const { id } of known) t.equal((await otherLa.request('GET', `AuditEvent/${id}`)).status, 200);
  t.strictSame(await lookUpsOf(thirdLa, plan.nhsNumber), [], 'nobody else');
  const handed = new Set(known.map(({ id = '' }) => id));
  await waitUntil('the successor is sent them', () => {
    const sent = next.received.map(({ body }) => body).join();
    return [...handed].filter((id) => sent.includes(id)).length >= 3;
  });
});
