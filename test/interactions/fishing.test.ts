/** Seen: the token of one nurse looked up 4,000 numbers in order, silently, and nobody could see it. */
import type { AuditEvent, Bundle } from 'fhir/r4.js';
import t from 'tap';
import { systemClock } from '../../src/clock/clock.ts';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { syntheticNhsNumbers } from '../../src/synthetic/synthetic-plan.ts';
import { openReceiver } from '../support/receiver.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, postBundle, resourcesOf, statusesOf, submit } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

const receiver = await openReceiver();
t.teardown(() => receiver.close());
// Time stands still, so that all of it happens in one minute.
const nowMs = Date.now();
const world = await openWorld(t, {
  clock: { ...systemClock, now: () => nowMs },
  settings: {
    CPIS_PROFESSIONAL_LOOK_UPS_PER_MINUTE: '300',
    CPIS_ALARM_WEBHOOK_URL: `${receiver.origin}/alarms`,
    CPIS_METRICS_TOKEN: 'metrics-token-of-this-test',
  },
});
const { la, epr, auditor, registry, server } = world;
const silent = { isunscheduledaccessevent: 'false' };

const [client] = registry.careProviders;
if (client?.iua === undefined) throw new Error('no care provider');
const iua = {
  ...client.iua,
  subject_name: 'Pat Angler',
  subject_id: 'https://fhir.nhs.uk/Id/sds-user-id|555000000009',
};
const angler = openFhirClient(server.baseUrl, { ...client, iua });

t.test('4,000 numbers in order: alarms, a limit, and a trail; others of the trust are not affected', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const numbers = syntheticNhsNumbers();
  const statuses = new Map<number, number>();
  let retryAfter: string | null = null;
  for (let batch = 0; batch < 80; batch += 1) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () =>
        angler.request('GET', `Flag?patient=${numbers.next().value}`, undefined, silent),
      ),
    );
    for (const { status, headers } of answers) {
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status === 429) retryAfter = headers.get('retry-after');
    }
  }
  const performed = statuses.get(200) ?? 0;
  // Those under way at the same time are counted once they are done.
  t.ok(performed >= 300 && performed <= 350, `${performed} were performed`);
  t.equal(statuses.get(429), 4_000 - performed);
  t.ok(Number(retryAfter) > 0);
  for (const text of [
    '"kind":"sequence"',
    '"kind":"silent","window":"minute"',
    '"kind":"without-plan","window":"minute"',
  ])
    t.ok(world.log().includes(text), text);
  t.notMatch(world.log(), /Pat Angler|555000000009/);
  await waitUntil('the webhook has them', () => receiver.received.length >= 3);
  t.notMatch(receiver.received.map(({ body }) => body).join(), /Angler|999\d{7}/);
  const metrics = await fetch(`${server.origin}/metrics`, {
    headers: { authorization: 'Bearer metrics-token-of-this-test' },
  });
  const text = await metrics.text();
  t.match(text, /cpis_look_up_alarms_total\{scope="professional",kind="sequence"\} 1/);
  t.match(text, new RegExp(`cpis_look_ups_refused_total ${4_000 - performed}`));

  t.equal((await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`)).body.total, 1, 'another professional');
  const batch = await postBundle(angler, 'batch', [
    { request: { method: 'GET', url: `Flag?patient=${plan.nhsNumber}` } },
  ]);
  t.match(statusesOf(batch)[0], /^429/, 'also in a Bundle');
  t.equal((await angler.request('GET', `Patient/${plan.nhsNumber}`)).status, 429, 'and by read');
  const trail = await auditor.request<Bundle>('GET', 'AuditEvent?agent:identifier=555000000009&_summary=count');
  t.equal(trail.body.total, performed, 'an auditor finds each look-up that was performed');
  const [event] = resourcesOf<AuditEvent>(await auditor.request<Bundle>('GET', 'AuditEvent?agent-name=pat&_count=1'));
  t.match(JSON.stringify(event?.agent), 'Pat Angler');
});
