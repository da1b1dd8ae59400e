/** The whole server starts on 200,000 undelivered events, reports them and works them off. */
import { MongoClient } from 'mongodb';
import t from 'tap';
import { openCollections } from '../../../../src/store/mongo/encoding/documents.ts';
import { encodeAudit } from '../../../../src/store/mongo/encoding/encode-unit.ts';
import { openMongoStore } from '../../../../src/store/mongo/open-mongo-store.ts';
import { openFhirClient } from '../../../../src/synthetic/fhir-client.ts';
import { audit } from '../../../contract/fixtures.ts';
import { openMongoServer } from '../../../support/mongo-server.ts';
import { openReceiver } from '../../../support/receiver.ts';
import { makeServerHome, startServerProcess } from '../../../support/server-process.ts';
import { waitUntil } from '../../../support/wait-until.ts';

const events = 200_000;
const pageEvents = 5_000;
const metricsToken = 'a-token-for-the-metrics-of-this-test';

/** Returns the text of an AuditEvent that can be notified. */
function bodyOf(id: string): string {
  const observer = { identifier: { value: 'E08000035' } };
  const agent = [{ requestor: true, who: observer }];
  const about = { type: { code: 'rest' }, action: 'E', outcome: '0', recorded: '2026-12-01T09:00:00Z' };
  return JSON.stringify({ resourceType: 'AuditEvent', id, ...about, agent, source: { observer }, entity: [] });
}

await t.test('200,000 events of 20 hours ago: ready, alarmed, in the metrics, and worked off', async (test) => {
  const mongo = await openMongoServer(test);
  const url = mongo.newDatabaseUrl();
  const receiver = await openReceiver();
  test.teardown(() => receiver.close());
  const settings = {
    CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
    CPIS_MONGODB_URL: url,
    CPIS_MONGODB_TIMEOUT_MS: '5000',
    CPIS_METRICS_TOKEN: metricsToken,
  };
  const home = await makeServerHome({ settings, subscriptionOrigins: [receiver.origin] });
  test.teardown(() => home.remove());
  const authority = home.registry.authorities[0]?.organisationId ?? '';
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  await (await openMongoStore({ url, timeoutMs: 60_000, onError: (error) => test.error(error) })).close();
  const { audit: audits } = openCollections(client.db());
  const firstMs = Date.now() - 20 * 3_600_000;
  for (let first = 0; first < events; first += pageEvents) {
    const page = Array.from({ length: pageEvents }, (_, index) => {
      const id = `seed${first + index}`;
      const recordedMs = firstMs + first + index;
      return encodeAudit(audit(id, { recordedMs, deliverTo: [authority], body: bodyOf(id) }), id, recordedMs);
    });
    await audits.insertMany(page, { ordered: false });
  }
  const server = await startServerProcess(home);
  test.teardown(() => server.kill());

  const read = async (metric: string): Promise<number> => {
    const options = { headers: { authorization: `Bearer ${metricsToken}` } };
    const response = await fetch(`${home.origin}/metrics`, options);
    if (response.status !== 200) throw new Error(`the metrics answer ${response.status}`);
    const line = (await response.text()).split('\n').find((each) => each.startsWith(metric));
    return Number(line?.split(' ').at(-1));
  };
  const inState = (state: string) => read(`cpis_deliveries{authority="${authority}",state="${state}"}`);
  await waitUntil('all are counted', async () => (await inState('pending')) === events);
  const ageS = await read(`cpis_delivery_oldest_undelivered_seconds{authority="${authority}"}`);
  test.ok(ageS > 19 * 3_600 && ageS < 24 * 3_600, `${ageS} s`);
  await waitUntil('the alarm', () => server.output().includes('"event":"delivery-alarm"'));
  test.equal(await read(`cpis_delivery_alarm_hours{authority="${authority}",kind="overdue"}`), 20);

  const [of] = home.registry.authorities;
  if (of === undefined) throw new Error('the registry has an authority');
  const { status } = await openFhirClient(home.baseUrl, of).request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'access to own plans',
    criteria: 'AuditEvent?',
    channel: { type: 'rest-hook', endpoint: `${receiver.origin}/events`, payload: 'application/fhir+json' },
  });
  test.equal(status, 201);
  await waitUntil(
    'they are delivered',
    async () => receiver.received.length > 100 && (await inState('delivered')) > 100,
  );
  test.match(
    receiver.received.find(({ body }) => body.includes('seed'))?.body,
    /"id":"seed\d{1,4}"/,
    'the oldest first',
  );
  test.equal(await server.stop(), 0);
});
