/** One authority has one child protection plan and one looked-after status on a child at a time. */
import type { Bundle, Flag } from 'fhir/r4.js';
import t from 'tap';
import { addDays, londonDate } from '../../src/cpis/london-date.ts';
import { buildFlag, buildPatient, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { amendRoutes, byReference, createRoutes } from '../support/plan-routes.ts';
import { openWorld } from '../support/running-server.ts';
import {
  endedPlan,
  freshNhsNumber,
  freshPlan,
  kindOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
  unbornPlan,
} from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, epr } = world;
const today = londonDate(Date.now());

const shown = async (nhsNumber: string): Promise<number> =>
  resourcesOf<Flag>(await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`)).length;
const another = (plan: SyntheticPlan, over: Partial<SyntheticPlan> = {}): SyntheticPlan =>
  freshPlan({ nhsNumber: plan.nhsNumber, referenceSystem: 'https://la.example.org/new', ...over });
const names = ({ reference, referenceSystem }: SyntheticPlan) => new RegExp(`${referenceSystem}\\|${reference}`);

t.test(
  'a new plan that overlaps one of the same kind is refused on each route, and the held one is named',
  async (t) => {
    const plan = freshPlan();
    await submit(la, plan);
    await submit(otherLa, freshPlan({ nhsNumber: plan.nhsNumber }));
    for (const { name, send } of createRoutes(la)) {
      const { status, issues } = await send(buildFlag(another(plan)));
      t.equal(status, 409, name);
      t.match(issues, [{ code: 'duplicate', diagnostics: names(plan) }], name);
      t.match(issues[0]?.diagnostics, /add the new reference to it/, name);
    }
    t.equal(await shown(plan.nhsNumber), 2);
    t.equal((await la.request('POST', 'Flag', buildFlag(another(plan, { kind: kindOf('LAC') })))).status, 201, 'LAC');
    const before = another(plan, { start: '2024-01-01', end: addDays(plan.start, -1) });
    t.equal((await la.request('POST', 'Flag', buildFlag(before))).status, 201, 'until the day before');
  },
);

t.test('an amendment into an overlap is refused on each route', async (t) => {
  const held = endedPlan(10);
  await submit(la, held);
  const earlier = another(held, { start: endedPlan(8).start, end: endedPlan(8).end ?? '' });
  const [id = ''] = await submit(la, earlier);
  const flag = buildFlag(earlier);
  const cases: [string, Partial<Flag>][] = [
    ['a later end', { status: 'inactive', period: { start: earlier.start, end: held.start } }],
    ['opened again', { status: 'active', period: { start: earlier.start } }],
  ];
  for (const { name, send } of amendRoutes(la, ['status', 'period'])) {
    for (const [what, over] of cases) {
      const { status, issues } = await send(id, flag, { ...flag, ...over });
      t.equal(status, 409, `${name}, ${what}`);
      t.match(issues, [{ diagnostics: names(held) }], `${name}, ${what}`);
    }
  }
  const { body } = await la.request<Flag>('GET', `Flag/${id}`);
  t.match(body, { meta: { versionId: '1' }, period: { end: earlier.end } });

  const withdrawn = another(held, { start: held.start, end: today });
  const [withdrawnId = ''] = await submit(la, { ...withdrawn, kind: kindOf('LAC') });
  const error = { ...buildFlag(withdrawn), id: withdrawnId, status: 'entered-in-error' };
  t.equal((await la.request('PUT', `Flag/${withdrawnId}`, error)).status, 200, 'withdrawn, and of the same kind');
  const revived = { ...buildFlag(withdrawn), id: withdrawnId };
  const answer = await la.request('PUT', `Flag/${withdrawnId}`, revived, { 'if-match': 'W/"2"' });
  t.equal(answer.status, 409, 'a revived plan overlaps');
});

t.test('in one Bundle: two that overlap, and an end that makes room for the next plan', async (t) => {
  const child = freshPlan();
  const twice = [child, another(child)];
  const whole = await postBundle(la, 'transaction', twice.flatMap(buildRecord).toSpliced(2, 1));
  t.equal(whole.status, 409);
  t.equal(await shown(child.nhsNumber), 0);
  const each = await postBundle(la, 'batch', twice.flatMap(buildRecord));
  t.match(statusesOf(each), [/^201/, /^201/, /^200/, /^409/]);

  const follows = another(child, { start: addDays(today, -3) });
  const ended = { ...child, end: addDays(today, -4) };
  const put = (plan: SyntheticPlan) => buildRecord(plan)[1];
  const post = (plan: SyntheticPlan) => ({ resource: buildFlag(plan), request: { method: 'POST', url: 'Flag' } });
  for (const entries of [
    [put(follows), put(ended)],
    [post(follows), put(ended)],
  ]) {
    t.equal((await postBundle(la, 'transaction', [...entries, put({ ...ended, end: today })])).status, 400);
  }
  const late = await postBundle(la, 'transaction', [post(follows), put({ ...child, end: addDays(today, -3) })]);
  t.equal(late.status, 409, 'the last day of the one is the first of the next');
  const moved = await postBundle(la, 'transaction', [post(follows), put(ended)]);
  t.match(statusesOf(moved), [/^201/, /^200/]);
  t.equal(await shown(child.nhsNumber), 2);
});

t.test('of many submissions at once, one plan is left', async (t) => {
  const nhsNumber = freshNhsNumber();
  const plans = Array.from({ length: 24 }, () => freshPlan({ nhsNumber }));
  await la.request('POST', 'Patient', buildPatient(freshPlan({ nhsNumber })));
  const statuses = await Promise.all(
    plans.map(async (plan, index) => {
      if (index % 3 === 0) return (await la.request('POST', 'Flag', buildFlag(plan))).status;
      if (index % 3 === 1) {
        return (await la.request('PUT', `Flag?${byReference(buildFlag(plan))}`, buildFlag(plan))).status;
      }
      return (await postBundle(la, 'transaction', buildRecord(plan))).status;
    }),
  );
  t.equal(statuses.filter((status) => status < 300).length, 1, statuses.join(' '));
  t.equal(statuses.filter((status) => status === 409).length, 23);
  t.equal(await shown(nhsNumber), 1);
});

t.test("twins are taken; another authority's plans never change the answer", async (t) => {
  const mother = unbornPlan();
  await submit(la, mother, unbornPlan({ nhsNumber: mother.nhsNumber }));
  t.equal(await shown(mother.nhsNumber), 2);
  const plan = freshPlan();
  await submit(otherLa, plan);
  await submit(la, another(plan));
  t.equal(await shown(plan.nhsNumber), 2);
});

t.test('an authority adds its new reference to the held plan, and both find it', async (t) => {
  for (const way of ['by id', 'by the old reference'] as const) {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    const fresh = another(plan);
    const both = {
      ...buildFlag(plan),
      identifier: [buildFlag(plan), buildFlag(fresh)].flatMap((f) => f.identifier ?? []),
    };
    const path = way === 'by id' ? `Flag/${id}` : `Flag?${byReference(buildFlag(plan))}`;
    const added = await la.request('PUT', path, way === 'by id' ? { ...both, id } : both);
    t.equal(added.status, 200, way);
    for (const index of [0, 1]) {
      const found = await la.request<Bundle>('GET', `Flag?${byReference(both, index)}`);
      t.strictSame(
        resourcesOf<Flag>(found).map((flag) => flag.id),
        [id],
        way,
      );
    }
    const ended: Flag = { ...both, status: 'inactive', period: { start: plan.start, end: today } };
    const amended = await la.request<Flag>('PUT', `Flag?${byReference(both, 1)}`, ended);
    t.match(amended, { status: 200, body: { id, status: 'inactive' } }, way);
    const same = await la.request<Flag>('PUT', `Flag?${byReference(both, 0)}`, ended);
    t.match(same, { status: 200, body: { id, meta: { versionId: '3' } } }, way);
  }
});

t.test('a plan overlaps another by the birth date that the same transaction corrects', async (t) => {
  const soonAdult = { birthDate: addDays(today, -6570), start: addDays(today, -100) };
  const held = freshPlan(soonAdult);
  await submit(la, held);
  const younger = { birthDate: addDays(today, -6000), nhsNumber: held.nhsNumber };
  const next = freshPlan({ ...younger, start: addDays(today, 20) });
  for (const type of ['transaction', 'batch'] as const) {
    const answer = await postBundle(la, type, buildRecord(next));
    const status = type === 'batch' ? statusesOf(answer)[1] : String(answer.status);
    t.match(status, /^409/, type);
  }
});
