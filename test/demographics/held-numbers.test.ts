/** The trace of held numbers in the background, by two servers on one store; time is the test's. */
import { randomUUID } from 'node:crypto';
import type { AuditEvent, Bundle } from 'fhir/r4.js';
import t from 'tap';
import { systemClock } from '../../src/clock/clock.ts';
import { londonDate } from '../../src/cpis/london-date.ts';
import { tracedOn } from '../../src/cpis/number-labels.ts';
import { childType } from '../../src/cpis/statement.ts';
import { startTraceHeldNumbers } from '../../src/demographics/background/trace-held-numbers.ts';
import { openPds } from '../../src/demographics/pds/open-pds.ts';
import { storeView } from '../../src/interactions/resource/view.ts';
import { visibilityRule } from '../../src/interactions/resource/visibility-rule.ts';
import { buildChild } from '../../src/interactions/write/child-record.ts';
import { reviewRecord } from '../../src/interactions/write/review-children.ts';
import { buildHostResolver } from '../../src/notification/outbound-http/resolve-host.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { openPdsWorld } from '../support/pds-world.ts';
import { freshNhsNumber, freshPlan, kindOf, resourcesOf, submit } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

const world = await openPdsWorld(t);
const { la, otherLa, store, pds, know } = world;
const dayMs = 86_400_000;

function readSettings() {
  const { pds: settings } = loadSettings({ ...pds.settings, CPIS_PDS_RATE: '1000', CPIS_PDS_TIMEOUT_MS: '5000' });
  if (settings === undefined) throw new Error('no settings of PDS');
  return settings;
}

interface Server {
  readonly clock: ManualClock;
  passes: number;
  overdue: number;
}

/** Starts the background trace of one more server. */
function startServer(startMs: number): Server {
  const clock = manualClock(startMs);
  const server: Server = { clock, passes: 0, overdue: 0 };
  const demographics = openPds({
    ...readSettings(),
    cacheAgeMs: 0,
    ...{ resolve: buildHostResolver(), allowLoopback: true, store, clock: systemClock, random: Math.random },
    onRequest: () => undefined,
    onAvailability: () => undefined,
  });
  const ports = {
    newAuditId: randomUUID,
    baseUrl: world.server.baseUrl,
    clock: clock.now,
    endedPlanVisibleDays: 365,
  };
  const tracer = startTraceHeldNumbers({
    ...{ demographics, store, clock, now: clock.now, paceMs: 0 },
    buildChild: (number) => buildChild(number, { clock: clock.now, extract: () => [] }),
    ...{ newAuditId: ports.newAuditId, baseUrl: ports.baseUrl },
    rule: () => visibilityRule(ports),
    review: async (number, labels) => ({
      ...(await reviewRecord(number, labels, storeView(store), ports)),
      settled: () => undefined,
    }),
    committed: () => undefined,
    onFinding: () => undefined,
    onPass(overdue) {
      server.passes += 1;
      server.overdue = overdue;
    },
    onError: (error) => t.error(error),
  });
  t.teardown(async () => {
    await tracer.stop();
    await demographics.close();
  });
  return server;
}

/** Lets time pass on both servers until each has gone over all numbers once more. */
async function passAgain(servers: readonly Server[], byMs: number): Promise<void> {
  const before = servers.map(({ passes }) => passes);
  for (const { clock } of servers) clock.step(byMs);
  await waitUntil('both servers have gone over all numbers', async () => {
    await Promise.all(
      servers.map(({ clock }) => clock.advance(60_000, () => new Promise((done) => setImmediate(done)))),
    );
    return servers.every(({ passes }, index) => passes > (before[index] ?? 0));
  });
}

const [same, replaced, gone, withdrawn] = [freshPlan(), freshPlan(), freshPlan(), freshPlan()];
const requests = async ({ nhsNumber }: { nhsNumber: string }) =>
  (await pds.requests()).filter(({ number }) => number === nhsNumber).length;
const events = async (client: typeof la) =>
  resourcesOf<AuditEvent>(await client.request<Bundle>('GET', 'AuditEvent?type=nhs-number-change&_count=100'))
    .map(({ subtype }) => subtype?.[0]?.code)
    .sort();

t.test('each held number is traced once by two servers, and each holder is notified once', async (t) => {
  await know(same, replaced, gone, withdrawn);
  const [, , , id] = await submit(la, same, replaced, gone, withdrawn);
  await submit(otherLa, { ...replaced, kind: kindOf('LAC'), reference: randomUUID() });
  await la.request('DELETE', `Flag/${id}`);
  const to = freshNhsNumber();
  await know({ ...replaced, nhsNumber: to });
  await pds.put([
    { number: replaced.nhsNumber, supersededBy: to },
    { number: gone.nhsNumber, invalidated: true },
  ]);
  const before = await Promise.all([same, replaced, gone, withdrawn].map(requests));
  const servers = [startServer(Date.now()), startServer(Date.now())];
  await passAgain(servers, 0);
  const after = await Promise.all([same, replaced, gone, withdrawn].map(requests));
  t.strictSame(
    after.map((count, index) => count - (before[index] ?? 0)),
    [1, 1, 1, 0],
    'a child without plans is not traced',
  );
  t.strictSame(await events(la), ['inactive', 'replaced']);
  t.strictSame(await events(otherLa), ['replaced']);

  await passAgain(servers, 20 * dayMs);
  t.strictSame(
    await Promise.all([same, replaced, gone].map(requests)),
    after.slice(0, 3),
    'not again within four weeks',
  );
  await passAgain(servers, 7 * dayMs);
  t.strictSame(
    await Promise.all([same, replaced, gone].map(requests)),
    after.slice(0, 3).map((count) => count + 1),
    'again before 30 days have passed',
  );
  t.strictSame(await events(la), ['inactive', 'replaced'], 'nothing is new');
  const child = await store.read(childType, same.nhsNumber);
  const today = londonDate(servers[0]?.clock.now() ?? 0);
  t.equal(child.kind === 'found' && tracedOn(child.resource.labels), today);

  await pds.setOutage({ status: 503 });
  await passAgain(servers, 31 * dayMs);
  t.equal(servers[0]?.overdue, 3, 'an outage is counted, and is no answer');
  t.strictSame(await events(la), ['inactive', 'replaced']);
  await pds.setOutage({});
  await know(gone);
  await waitUntil('the end of the outage', async () => {
    await passAgain(servers, 0);
    return servers.every(({ overdue }) => overdue === 0);
  });
});

t.test('what PDS says of a birth date decides a conflict, whoever submits nothing', async (t) => {
  const plan = freshPlan();
  await know(plan);
  const [mine = ''] = await submit(la, plan);
  const [theirs = ''] = await submit(otherLa, { ...plan, kind: kindOf('LAC'), reference: randomUUID() });
  const detailsOf = async (client: typeof la, flag: string) =>
    resourcesOf<AuditEvent>(
      await client.request<Bundle>('GET', `AuditEvent?type=plan-life-cycle&entity=Flag/${flag}&_sort=date`),
    ).map(({ subtype }) => subtype?.[0]?.code);
  const servers = [startServer(Date.now()), startServer(Date.now())];
  await passAgain(servers, 0);
  await know({ ...plan, birthDate: '2018-05-06' });
  await passAgain(servers, 28 * dayMs);
  t.strictSame([await detailsOf(la, mine), await detailsOf(otherLa, theirs)], [['details-differ'], ['details-differ']]);
  await know(plan);
  await passAgain(servers, 28 * dayMs);
  const both = ['details-differ', 'details-agree'];
  t.strictSame(
    [await detailsOf(la, mine), await detailsOf(otherLa, theirs)],
    [both, both],
    'each once, by two servers',
  );
});

t.test('a record that cannot be read does not stop the trace of the others', async (t) => {
  const plans = [freshPlan(), freshPlan(), freshPlan()].sort((a, b) => (a.nhsNumber < b.nhsNumber ? -1 : 1));
  await know(...plans);
  await submit(la, ...plans);
  const [odd, ...others] = plans;
  if (odd === undefined) throw new Error('no plan');
  await know({ ...odd, birthDate: '2019-02-30' });
  const before = await Promise.all(plans.map(requests));
  const server = startServer(Date.now());
  await passAgain([server], 0);
  const asked = (await Promise.all(plans.map(requests))).map((count, index) => count - (before[index] ?? 0));
  t.strictSame(asked, [1, 1, 1]);
  const today = londonDate(server.clock.now());
  for (const { nhsNumber } of others) {
    const child = await store.read(childType, nhsNumber);
    t.equal(child.kind === 'found' && tracedOn(child.resource.labels), today);
  }
});
