import t from 'tap';
import { backport } from '../../../src/fhir/subscription/backport.ts';
import { leeds } from '../../support/authorities.ts';
import { receiver } from '../../support/test-receiver.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { type DeliveryWorld, openDeliveryWorld, world } from '../delivery-world.ts';

const accessTopic = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/access-to-record';
const topical = (endpoint: string) => ({
  criteria: accessTopic,
  channel: {
    ...{ type: 'rest-hook', endpoint, payload: 'application/fhir+json' },
    _payload: { extension: [{ url: backport.payloadContent, valueCode: 'id-only' }] },
  },
});
/** Does not wait for the activation. */
async function begin(opened: DeliveryWorld, endpoint: string, more?: Record<string, unknown>): Promise<string> {
  const begun = Promise.withResolvers<string>();
  opened.subscriptions.onChange(() => {
    const requested = opened.subscriptions.usable(leeds).find((usable) => usable.channel.endpoint === endpoint);
    if (requested !== undefined) begun.resolve(requested.id);
  });
  void opened.subscribe(leeds, endpoint, more);
  return begun.promise;
}
const numbersIn = (body: string): string[] => body.match(/"event-number","valueString":"\d+"/g) ?? [];

t.test('a Subscription being activated delays no other one and misses no event', async (t) => {
  const [healthy, silent] = [await receiver(t), await receiver(t)];
  const name = Promise.withResolvers<void>();
  let asked = 0;
  const opened = await world(t, {
    deadlineMs: 30_000,
    resolve: async (hostname) => {
      if (hostname === 'slow.localhost') {
        asked += 1;
        await name.promise;
      }
      return [{ address: '127.0.0.1', family: 4 }];
    },
  });
  const { owe, update, subscriptions, statusOf, drained, subscribe, backlogOf } = opened;
  const plain = await subscribe(leeds, `${healthy.origin}/plain`);
  silent.behave({ kind: 'hang' });
  const shaking = await begin(opened, `${silent.origin}/shaking`, topical(`${silent.origin}/shaking`));
  await silent.waitFor(1);
  const slow = `http://slow.localhost:${silent.port}/slow`;
  const resolving = await begin(opened, slow);
  t.equal(asked, 1);
  t.same([(await statusOf(shaking)).status, (await statusOf(resolving)).status], ['requested', 'requested']);

  const ids = await owe(leeds, 5);
  await healthy.waitFor(5);
  t.pass('delivered while the neighbours neither answer nor resolve');
  await update(plain, { reason: 'changed once more' });
  void subscriptions.changed(leeds);
  ids.push(...(await owe(leeds, 5)));
  await healthy.waitFor(10);
  t.pass('and after a change of its own, which waits for none of them');
  t.equal(silent.received.length, 1, 'one handshake, and nothing else');
  t.match(await backlogOf(leeds), { undelivered: 10 }, 'they wait for the others');

  silent.behave({ kind: 'answer', status: 200 });
  name.resolve();
  await silent.waitFor(11);
  t.same(
    new Set(silent.received.filter(({ path }) => path.startsWith('/slow')).map(({ path }) => path.split('/').at(-1))),
    new Set(ids),
    'what was recorded while the name was looked up',
  );
  await update(shaking, { status: 'requested' });
  void subscriptions.changed(leeds);
  await waitUntil('the Subscription is active', async () => (await statusOf(shaking)).status === 'active');
  t.pass('it asks again, and is not kept waiting by its first handshake');
  await drained(leeds);
  const numbers = silent.received.filter(({ path }) => path === '/shaking').flatMap(({ body }) => numbersIn(body));
  t.equal(new Set(numbers).size, 10);
  t.equal(healthy.received.length, 10, 'each once');
});

t.test('the result of a handshake of an older version changes nothing', async (t) => {
  const [before, after] = [await receiver(t), await receiver(t)];
  const opened = await world(t, { deadlineMs: 3_000 });
  const { update, subscriptions, statusOf, owe, drained } = opened;
  before.behave({ kind: 'slow', delayMs: 1_000, status: 500 });
  const id = await begin(opened, `${before.origin}/t`, topical(`${before.origin}/t`));
  await before.waitFor(1);
  opened.origins.add(after.origin);
  await update(id, topical(`${after.origin}/t`));
  const late = subscriptions.changed(leeds);
  await after.waitFor(1);
  await waitUntil('the Subscription is active', async () => (await statusOf(id)).status === 'active');
  await owe(leeds, 3);
  await late;
  t.match(await statusOf(id), { status: 'active', version: 3 });
  await drained(leeds);
  t.equal(before.received.length, 1);
  t.equal(new Set(after.received.flatMap(({ body }) => numbersIn(body))).size, 3);
});

t.test('after many changes few versions are verified in parallel, and the last one counts', async (t) => {
  const endpoint = await receiver(t);
  const opened = await world(t, { deadlineMs: 600 });
  const { update, subscriptions, statusOf } = opened;
  endpoint.behave({ kind: 'hang' });
  const id = await begin(opened, `${endpoint.origin}/0`, topical(`${endpoint.origin}/0`));
  const changes: Promise<void>[] = [];
  for (let version = 1; version <= 10; version += 1) {
    await update(id, topical(`${endpoint.origin}/${version}`));
    changes.push(subscriptions.changed(leeds));
    await subscriptions.changed('E10000016');
  }
  await endpoint.waitFor(3);
  endpoint.behave({ kind: 'answer', status: 200 });
  await Promise.all(changes);
  t.match(await statusOf(id), { status: 'active' });
  t.ok(endpoint.mostConnections <= 4, `${endpoint.mostConnections} connections`);
  t.equal(endpoint.received.at(-1)?.path, '/10');
});

t.test('a handshake cut by a stop is ignored and repeated at the next start', async (t) => {
  const endpoint = await receiver(t);
  const first = await openDeliveryWorld({ deadlineMs: 30_000 });
  endpoint.behave({ kind: 'hang' });
  const id = await begin(first, `${endpoint.origin}/t`, topical(`${endpoint.origin}/t`));
  await endpoint.waitFor(1);
  await first.stop();
  endpoint.behave({ kind: 'answer', status: 200 });
  const second = await world(t, { folder: first.folder, origins: [endpoint.origin] });
  await endpoint.waitFor(2);
  await second.subscriptions.changed(leeds);
  t.match(await second.statusOf(id), { status: 'active', version: 2 });
});
