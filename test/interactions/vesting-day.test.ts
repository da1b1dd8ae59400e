/** The vesting day on the whole server, at 00:00 in London, on both stores. */
import type { Flag, OperationOutcome } from 'fhir/r4.js';
import t from 'tap';
import { openMongoServer } from '../support/mongo-server.ts';
import { openReceiver } from '../support/receiver.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, submit } from '../support/submissions.ts';
import { setTerms } from '../support/terms.ts';
import { requestTransfer, subscribe, transferPlans } from '../support/transfers.ts';
import { openTravelClock } from '../support/travel-clock.ts';
import { waitUntil } from '../support/wait-until.ts';

const mongo = await openMongoServer(t);
const midnightMs = Date.parse('2027-03-31T23:00:00Z');

for (const [store, settings] of [
  ['SQLite', {}],
  ['MongoDB', { CPIS_MONGODB_URL: mongo.newDatabaseUrl() }],
] as const) {
  t.test(`${store}: plans pass from 00:00 on, and the server repeats a hand-over that was cut off`, async (t) => {
    const [old, next] = await Promise.all([openReceiver(), openReceiver()]);
    for (const endpoint of [old, next]) t.teardown(() => endpoint.close());
    const clock = openTravelClock(midnightMs - 3 * 3_600_000);
    let cut = true;
    const world = await openWorld(t, {
      clock,
      settings,
      subscriptionOrigins: [old.origin, next.origin],
      aroundStore: (opened) => ({
        ...opened,
        deliveries: {
          ...opened.deliveries,
          handOver: (...args) => (cut ? Promise.reject(new Error('cut off')) : opened.deliveries.handOver(...args)),
        },
        get ready() {
          return opened.ready;
        },
      }),
    });
    const { la, otherLa, epr, operator, ownId, otherId } = world;
    await setTerms(world, { [ownId]: { validTo: '2027-03-31', replacedBy: [otherId] } });
    const payload = 'application/fhir+json';
    await subscribe(la, { channel: { type: 'rest-hook', endpoint: `${old.origin}/hook`, payload } });
    await subscribe(otherLa, { channel: { type: 'rest-hook', endpoint: `${next.origin}/hook`, payload } });
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    old.behave({ kind: 'answer', status: 503 });
    t.equal((await epr.request('GET', `Flag?patient=${plan.nhsNumber}`)).status, 200);
    await waitUntil('the endpoint was tried', () => old.received.length > 0);

    clock.travelTo(midnightMs - 30_000);
    const early = await requestTransfer(operator, ownId, otherId);
    t.equal(early.status, 422, 'the last minute of the old authority');
    t.match(early.body as unknown as OperationOutcome, {
      issue: [{ diagnostics: /on 2027-04-01 at 00:00 in London/ }],
    });
    await submit(la, { ...plan, start: '2025-02-01' });

    clock.travelTo(midnightMs);
    await t.rejects(submit(la, { ...plan, start: '2025-02-02' }), /403/);
    await t.rejects(transferPlans(operator, ownId, otherId), /50[03]/, 'the plan passes, and the hand-over fails');
    const passed = await otherLa.request<Flag>('GET', `Flag/${id}`);
    t.match(passed, { status: 200, body: { author: { reference: `Organization/${otherId}` } } });
    const lookUps = () => next.received.filter(({ body }) => body.includes('"search-type"'));
    t.equal(lookUps().length, 0);
    cut = false;
    clock.travelTo(midnightMs + 120_000);
    await waitUntil('the successor has the look-up', () => lookUps().length === 1);
    await submit(otherLa, { ...plan, start: '2025-02-02' });
  });
}
