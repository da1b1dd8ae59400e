import t, { type Test } from 'tap';
import { openReceiver } from '../support/receiver.ts';
import { openWorld, type World, type WorldOptions } from './delivery-world.ts';

const leeds = 'E08000035';

async function world(test: Test, options?: WorldOptions): Promise<World> {
  const opened = await openWorld(options);
  test.teardown(async () => {
    await opened.stop();
    opened.remove();
  });
  return opened;
}

async function receiver(test: Test) {
  const opened = await openReceiver();
  test.teardown(() => opened.close());
  return opened;
}

t.test('each event arrives once, oldest first, as an update with the payload type', async (t) => {
  const endpoint = await receiver(t);
  const { subscribe, owe, drained, statusOf, errors } = await world(t, { limits: { perAuthority: 1 } });
  const id = await subscribe(leeds, `${endpoint.origin}/hook/`, { header: ['Authorization: Bearer abc', 'X-Box: 7'] });
  t.match(await statusOf(id), { status: 'active', version: 2 });
  const ids = await owe(leeds, 150);
  await drained(leeds);
  t.equal(endpoint.received.length, 150);
  t.same(new Set(endpoint.received.map(({ path }) => path)), new Set(ids.map((audit) => `/hook/AuditEvent/${audit}`)));
  const [first] = endpoint.received;
  t.match(first, {
    method: 'PUT',
    headers: { 'content-type': 'application/fhir+json', authorization: 'Bearer abc', 'x-box': '7' },
  });
  t.equal(JSON.parse(first?.body ?? '').resourceType, 'AuditEvent');
  t.same(errors, []);
});
