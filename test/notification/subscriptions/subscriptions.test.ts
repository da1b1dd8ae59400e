import t from 'tap';
import { leeds } from '../../support/authorities.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { receiver } from '../../support/test-receiver.ts';
import { openDeliveryWorld, world } from '../delivery-world.ts';

const startMs = Date.parse('2026-11-20T09:00:00Z');
const minuteMs = 60_000;

t.test('requested becomes active in a version that the server writes, searchable and audited', async (t) => {
  const audited: string[] = [];
  const { subscribe, store, statusOf, subscriptions } = await world(t, {
    clock: manualClock(startMs),
    auditOf: ({ before, status, atMs }) => {
      audited.push(`${before.id} ${status}`);
      return {
        ...{ id: `audit-${audited.length}`, recordedMs: atMs, body: '{}', patients: [], agents: [], entities: [] },
        ...{ type: 'rest', subtype: 'update', action: 'U', outcome: '0', labels: [], deliverTo: [] },
      };
    },
  });
  const id = await subscribe(leeds, 'http://127.0.0.1:9000/hook', { header: ['Authorization: Bearer abc'] });
  t.same(await statusOf(id), { status: 'active', version: 2 });
  const clauses = [{ kind: 'token', param: 'status', negated: false, any: [{ code: 'active' }] }] as const;
  const { matches } = await store.search({ type: 'Subscription', clauses, sort: [], limit: 5, total: false });
  t.match(matches, [{ id, version: 2, labels: [`owner:${leeds}`, 'client:la'] }]);
  const body = JSON.parse(matches[0]?.body ?? '');
  t.same(body.meta, { versionId: '2', lastUpdated: '2026-11-20T09:00:00.000Z' });
  t.notMatch(matches[0]?.body, 'Bearer');
  t.same(audited, [`${id} active`]);
  t.equal((await store.read('AuditEvent', 'audit-1')).kind, 'found');
  await subscriptions.changed(leeds);
  t.match(await statusOf(id), { version: 2 }, 'nothing more to write');
});

t.test(
  'an endpoint with a blocked address is set to error, never connected to, and recovers automatically',
  async (t) => {
    const clock = manualClock(startMs);
    const endpoint = await receiver(t);
    let address = '10.0.0.1';
    const { subscribe, owe, pass, statusOf, backlogOf } = await world(t, {
      clock,
      resolve: async () => [{ address, family: 4 }],
    });
    const id = await subscribe(leeds, `http://localhost:${endpoint.port}/`);
    t.same(await statusOf(id), { status: 'error', error: 'refused-address', version: 2 });
    await owe(leeds, 2);
    await pass(clock, 30 * minuteMs);
    t.equal(endpoint.received.length, 0);
    t.match(await backlogOf(leeds), { undelivered: 2 });
    address = '127.0.0.1';
    await pass(clock, 15 * minuteMs);
    t.match(await backlogOf(leeds), { undelivered: 0, delivered: 2 });
    t.same(await statusOf(id), { status: 'active', version: 3 });
  },
);

t.test('a name that is public at creation and local at connection is not connected to', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const answers = ['93.184.215.14'];
  const { subscribe, owe, pass, statusOf, backlogOf } = await world(t, {
    clock,
    allowLoopback: false,
    resolve: async () => [{ address: answers.shift() ?? '127.0.0.1', family: 4 }],
  });
  const id = await subscribe(leeds, `https://rebinding.test:${endpoint.port}/`);
  t.match(await statusOf(id), { status: 'active' });
  await owe(leeds, 1);
  await pass(clock, 5 * minuteMs);
  t.equal(endpoint.received.length, 0);
  t.match(await statusOf(id), { status: 'error', error: 'refused-address' });
  t.match(await backlogOf(leeds), { undelivered: 1 });
});

t.test('an origin that is no longer registered is not sent to until it is registered again', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { subscribe, subscriptions, owe, pass, statusOf, backlogOf, origins } = await world(t, { clock });
  const id = await subscribe(leeds, endpoint.origin);
  origins.clear();
  t.same(await subscriptions.reload(), [{ authority: leeds, id }]);
  t.match(await statusOf(id), { status: 'error', version: 3 });
  t.notMatch((await statusOf(id)).error, endpoint.port.toString());
  t.same(subscriptions.usable(leeds), []);
  await owe(leeds, 1);
  await pass(clock, 60 * minuteMs);
  t.equal(endpoint.received.length, 0);
  origins.add(endpoint.origin);
  await subscriptions.reload();
  await pass(clock, 1000);
  t.match(await backlogOf(leeds), { undelivered: 0 });
  t.match(await statusOf(id), { status: 'active' });
});

t.test('two servers with different registries do not overwrite a Subscription for ever', async (t) => {
  const clock = manualClock(startMs);
  const contested: string[] = [];
  const opened = await world(t, { clock, onContested: ({ id }) => contested.push(id) });
  const { subscribe, subscriptions, update, statusOf, pass, origins } = opened;
  const id = await subscribe(leeds, 'http://127.0.0.1:9000/hook');
  origins.clear();
  await subscriptions.reload();
  t.match(await statusOf(id), { status: 'error', version: 3 });
  /** The write of the other server, each time that the endpoint accepts something. */
  const recovered = async (): Promise<void> => {
    await update(id, { status: 'active', error: undefined });
    await subscriptions.changed(leeds);
  };
  for (let round = 0; round < 5; round += 1) await recovered();
  t.match(await statusOf(id), { status: 'active', version: 8 }, 'its word stands');
  t.same(subscriptions.usable(leeds), [], 'this one does not use it');
  t.same(contested, [id], 'and says so once');
  await pass(clock, 15 * minuteMs);
  await recovered();
  t.match(await statusOf(id), { status: 'error', version: 10 }, 'said again after a while');
  await update(id, { status: 'requested' });
  await subscriptions.changed(leeds);
  t.match(await statusOf(id), { status: 'error', version: 12 }, 'a client is answered at once');
  await recovered();
  await subscriptions.reload();
  t.match(await statusOf(id), { status: 'error', version: 14 }, 'a registry that was read anew is the newer one');
});

t.test('a Subscription that is off, deleted or ended is not sent to; one that ends is set to off', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { subscribe, subscriptions, update, owe, pass, statusOf, backlogOf } = await world(t, { clock });
  const off = await subscribe(leeds, `${endpoint.origin}/off`);
  const deleted = await subscribe(leeds, `${endpoint.origin}/deleted`);
  const ending = await subscribe(leeds, `${endpoint.origin}/ending`, { end: '2026-11-20T09:30:00Z' });
  await update(off, { status: 'off' });
  await update(deleted, null);
  await subscriptions.changed(leeds);
  t.same(
    subscriptions.usable(leeds).map(({ id }) => id),
    [ending],
  );
  await pass(clock, 30 * minuteMs + 10);
  await subscriptions.changed(leeds);
  t.match(await statusOf(ending), { status: 'off', version: 3 });
  await owe(leeds, 1);
  await pass(clock, minuteMs);
  t.equal(endpoint.received.length, 0);
  t.match(await backlogOf(leeds), { undelivered: 1 });
});

t.test('changes during a read are read together, once', async (t) => {
  let judged = 0;
  const { subscribe, update, subscriptions, store, statusOf } = await world(t, {
    resolve: async () => {
      judged += 1;
      return [{ address: '127.0.0.1', family: 4 }];
    },
  });
  const id = await subscribe(leeds, 'http://localhost:9000/hook');
  await update(id, { status: 'requested' });
  let notified = 0;
  subscriptions.onChange(() => {
    notified += 1;
  });
  judged = 0;
  await Promise.all(Array.from({ length: 200 }, () => subscriptions.changed(leeds)));
  t.strictSame([notified, judged], [2, 1], 'read, and then activated');
  const first = subscriptions.changed(leeds);
  await store.read('Subscription', id);
  await update(id, { status: 'off' });
  await Promise.all([first, subscriptions.changed(leeds), subscriptions.changed(leeds)]);
  t.ok(notified <= 4);
  t.match(await statusOf(id), { status: 'off' });
  t.strictSame(subscriptions.usable(leeds), [], 'what was committed before the call is seen');
});

t.test("a client's update during an activation wins and is then activated itself", async (t) => {
  const endpoint = await receiver(t);
  const late: { run?: () => Promise<void> } = {};
  const opened = await world(t, {
    resolve: async () => {
      const { run } = late;
      delete late.run;
      await run?.();
      return [{ address: '127.0.0.1', family: 4 }];
    },
  });
  const { subscribe, update, subscriptions, statusOf, owe, drained } = opened;
  const id = await subscribe(leeds, `http://localhost:${endpoint.port}/old`);
  await update(id, { status: 'requested' });
  const channel = {
    type: 'rest-hook',
    endpoint: `http://localhost:${endpoint.port}/new`,
    payload: 'application/fhir+json',
  };
  late.run = () => update(id, { status: 'requested', channel });
  await subscriptions.changed(leeds);
  t.match(await statusOf(id), { status: 'active', version: 5 });
  await owe(leeds, 1);
  await drained(leeds);
  t.match(endpoint.received, [{ path: /^\/new\/AuditEvent\// }]);
});

t.test('a Subscription requested before a restart is activated after it; a lost key is an error', async (t) => {
  const endpoint = await receiver(t);
  const first = await openDeliveryWorld();
  const plain = await first.subscribe(leeds, endpoint.origin);
  const sealed = await first.subscribe(leeds, endpoint.origin, { header: ['Authorization: Bearer abc'] });
  await first.update(plain, { status: 'requested' });
  const found = await first.store.read('Subscription', sealed);
  const { channel } = JSON.parse(found.kind === 'found' ? found.resource.body : '');
  await first.update(sealed, { channel: { ...channel, header: ['Authorization: sealed:v1:AAAA'] } });
  await first.owe('E10000016', 1);
  await first.stop();

  const second = await world(t, { folder: first.folder, origins: [endpoint.origin] });
  await second.subscriptions.changed(leeds);
  t.match(await second.statusOf(plain), { status: 'active', version: 4 });
  t.match(await second.statusOf(sealed), { status: 'error', version: 4 });
  t.same(
    second.subscriptions.usable(leeds).map(({ id }) => id),
    [plain],
  );
});

t.test('a change that the store refuses is tried again; a deleted Subscription is out of use at once', async (t) => {
  let refusals = 1;
  const [first, second] = [await receiver(t), await receiver(t)];
  const { subscribe, update, owe, drained, subscriptions } = await world(t, {
    refusedCommits: () => {
      refusals -= 1;
      return refusals >= 0;
    },
  });
  const id = await subscribe(leeds, `${first.origin}/fhir`);
  await owe(leeds, 3);
  await drained(leeds);
  t.equal(first.received.length, 3, 'activated after all');
  refusals = 2;
  await subscribe(leeds, `${second.origin}/fhir`);
  await update(id, null);
  await subscriptions.changed(leeds);
  await owe(leeds, 5);
  await drained(leeds);
  t.equal(first.received.length, 3, 'nothing more for the deleted one');
  t.equal(second.received.length, 5);
});
