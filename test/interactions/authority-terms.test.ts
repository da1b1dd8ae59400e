import type { Bundle, Flag, Organization } from 'fhir/r4.js';
import t from 'tap';
import { addDays, londonDate } from '../../src/cpis/london-date.ts';
import { buildFlag, buildPatient, buildRecord } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, outcomeOf, postBundle, resourcesOf, statusesOf, submit } from '../support/submissions.ts';
import { setTerms } from '../support/terms.ts';

const world = await openWorld(t);
const { la, otherLa, epr, ownId, otherId, server } = world;
const today = londonDate(Date.now());
const health = async () => (await fetch(`${server.origin}/health/ready`)).json() as Promise<{ notes?: string[] }>;

t.test('an authority past its last day reads its records and submits nothing', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  await setTerms(world, { [ownId]: { validTo: today } });
  t.match(statusesOf(await postBundle(la, 'batch', buildRecord(freshPlan()))), [/^201/, /^201/], 'its last day');
  await setTerms(world, { [ownId]: { validTo: addDays(today, -1), replacedBy: [otherId] } });
  const refused = await postBundle(la, 'batch', buildRecord({ ...plan, end: addDays(today, -1) }));
  t.match(statusesOf(refused), [/^403/, /^403/]);
  t.match(outcomeOf(refused.body.entry?.[1]).issue, [
    { code: 'business-rule', diagnostics: new RegExp(`last day was ${addDays(today, -1)}.*${otherId}`) },
  ]);
  for (const [method, path, body] of [
    ['POST', 'Patient', buildPatient(freshPlan())],
    ['POST', 'Flag', buildFlag(freshPlan())],
    ['PUT', `Flag/${id}`, { ...buildFlag(plan), id }],
    ['PUT', `Flag?identifier=${plan.referenceSystem}|${plan.reference}`, buildFlag(plan)],
    ['PATCH', `Flag/${id}`, [{ op: 'replace', path: '/status', value: 'entered-in-error' }]],
    ['DELETE', `Flag/${id}`, undefined],
  ] as const) {
    const headers = method === 'PATCH' ? { 'content-type': 'application/json-patch+json' } : {};
    t.equal((await la.request(method, path, body, headers)).status, 403, `${method} ${path}`);
  }
  t.equal((await postBundle(la, 'transaction', buildRecord(freshPlan()))).status, 403, 'a transaction');
  t.equal((await la.request('GET', `Flag/${id}`)).status, 200, 'it reads its plan');
  t.equal((await la.request('GET', `Flag/${id}/_history`)).status, 200);
  t.equal((await la.request('GET', 'AuditEvent')).status, 200);
  t.equal((await otherLa.request('GET', `Flag/${id}`)).status, 404, 'nothing has passed to the successor yet');
});

t.test('NHS staff see the plan with the telephones of the only successor from the vesting day on', async (t) => {
  await setTerms(world, {});
  const plan = freshPlan();
  await submit(la, plan);
  const shown = async () => {
    const answer = await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`);
    return { plans: resourcesOf<Flag>(answer), holders: resourcesOf<Organization>(answer, 'include') };
  };
  const telephonesOf = ({ holders }: Awaited<ReturnType<typeof shown>>) =>
    holders.map(({ telecom }) => telecom?.map(({ value }) => value));
  const before = await shown();
  t.strictSame(telephonesOf(before), [['01632 960019', '01632 960010']]);
  await setTerms(world, { [ownId]: { validTo: today, replacedBy: [otherId] } });
  t.strictSame(telephonesOf(await shown()), telephonesOf(before), 'not before the day');
  await setTerms(world, { [ownId]: { validTo: addDays(today, -1), replacedBy: [otherId] } });
  const after = await shown();
  t.strictSame(after.plans, before.plans, 'the plan itself is the same');
  t.strictSame(telephonesOf(after), [['01632 960029', '01632 960020']]);
  t.equal(after.holders[0]?.name, 'Eastvale (synthetic)');
});

t.test('an authority that has not begun prepares Subscriptions and submits nothing', async (t) => {
  await setTerms(world, { [otherId]: { validFrom: addDays(today, 1) } });
  const refused = await postBundle(otherLa, 'batch', buildRecord(freshPlan()));
  t.match(statusesOf(refused), [/^403/, /^403/]);
  t.match(outcomeOf(refused.body.entry?.[0]).issue?.[0]?.diagnostics, new RegExp(`from ${addDays(today, 1)} on`));
  const created = await otherLa.request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'Prepared',
    criteria: 'AuditEvent?action=E',
    channel: { type: 'rest-hook', endpoint: 'http://127.0.0.1:1/' },
  });
  t.not(created.status, 403, 'its endpoint can be prepared');
  await setTerms(world, { [otherId]: { validFrom: today } });
  t.match(statusesOf(await postBundle(otherLa, 'batch', buildRecord(freshPlan()))), [/^201/, /^201/]);
});

t.test('announced changes are in the log and in the notes of /health/ready', async (t) => {
  await setTerms(world, {});
  t.strictSame(await health(), { status: 'pass' });
  const lastDay = addDays(today, 30);
  await setTerms(world, { [ownId]: { validTo: lastDay, replacedBy: [otherId] } });
  const note = `the last day of ${ownId} is ${lastDay}; ${otherId} takes over on ${addDays(lastDay, 1)}`;
  t.strictSame(await health(), { status: 'pass', notes: [note] });
  t.match(world.log(), note);
});
