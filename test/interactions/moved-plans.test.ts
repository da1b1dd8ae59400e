/** A plan follows its child to another NHS number, and nothing connects the two numbers for anybody but its authority. */
import type { AuditEvent, Bundle, Flag, Patient } from 'fhir/r4.js';
import t from 'tap';
import { addDays, londonDate } from '../../src/cpis/london-date.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { byReference } from '../support/plan-routes.ts';
import { openWorld } from '../support/running-server.ts';
import {
  freshNhsNumber,
  freshPlan,
  kindOf,
  outcomeOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
  unbornPlan,
} from '../support/submissions.ts';

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { la, otherLa, thirdLa, epr, ownId, otherId } = world;
const thirdId = world.registry.authorities[2]?.organisationId ?? '';
const today = londonDate(Date.now());

const flagsAt = async (client: FhirClient, nhsNumber: string): Promise<Flag[]> =>
  resourcesOf<Flag>(await client.request<Bundle>('GET', `Flag?patient=${nhsNumber}`));
const eventsOf = async (client: FhirClient, query: string): Promise<AuditEvent[]> =>
  resourcesOf<AuditEvent>(await client.request<Bundle>('GET', `AuditEvent?${query}&_count=100`));
/** The same plan under a number that nobody else has. */
const renumbered = (plan: SyntheticPlan, over: Partial<SyntheticPlan> = {}): SyntheticPlan => ({
  ...plan,
  nhsNumber: freshNhsNumber(),
  ...over,
});
/** Each way to submit the record of a plan again. */
const ways: readonly [string, (plan: SyntheticPlan, id: string) => Promise<[number, unknown]>][] = [
  [
    'alone, by reference',
    async (plan) => {
      await la.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan));
      const { status, body } = await la.request('PUT', `Flag?${byReference(buildFlag(plan))}`, buildFlag(plan));
      return [status, body];
    },
  ],
  [
    'alone, by id',
    async (plan, id) => {
      await la.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan));
      const { status, body } = await la.request('PUT', `Flag/${id}`, { ...buildFlag(plan), id });
      return [status, body];
    },
  ],
  ...(['batch', 'transaction'] as const).map((type): (typeof ways)[number] => [
    type,
    async (plan) => {
      const answer = await postBundle(la, type, buildRecord(plan));
      const entry = answer.body.entry?.[1];
      return entry === undefined
        ? [answer.status, answer.body]
        : [Number(entry.response?.status?.slice(0, 3)), outcomeOf(entry)];
    },
  ]),
];

t.test('the same reference under another number moves the plan, on each route', async (t) => {
  for (const [way, send] of ways) {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
    const next = renumbered(plan);
    t.match(await flagsAt(epr, next.nhsNumber), [], way);
    const [status, outcome] = await send(next, id);
    t.equal(status, 200, way);
    const moved = { severity: 'information', details: { coding: [{ code: 'moved' }] } };
    t.match(outcome, { issue: [moved] }, way);

    t.strictSame(await flagsAt(epr, plan.nhsNumber), [], way);
    const subject = { reference: `Patient/${next.nhsNumber}` };
    t.match(await flagsAt(epr, next.nhsNumber), [{ id, subject, meta: { versionId: '2' } }], way);
    t.equal((await epr.request('GET', `Patient/${plan.nhsNumber}`)).status, 404, way);
    t.equal((await la.request('GET', `Patient/${plan.nhsNumber}`)).status, 404, way);
    t.match((await la.request<Patient>('GET', `Patient/${next.nhsNumber}`)).body, { id: next.nhsNumber }, way);

    const atOld = await eventsOf(la, `patient=${plan.nhsNumber}&subtype=search-type`);
    t.ok(atOld.length > 0, `${way}: the look-ups under the old number`);
    const ofFlag = await eventsOf(la, `entity=Flag/${id}`);
    t.strictSame(new Set(ofFlag.map(({ action }) => action)), new Set(['C', 'U']), way);
    const history = await la.request<Bundle>('GET', `Flag/${id}/_history`);
    const subjects = (history.body.entry ?? []).map(({ resource }) => (resource as Flag).subject.reference);
    t.strictSame(subjects, [subject.reference, `Patient/${plan.nhsNumber}`], way);

    const again = await postBundle(la, 'batch', buildRecord(next));
    t.match(again.body.entry?.[1]?.response, { status: /^200/, etag: 'W/"2"' }, `${way}: again changes nothing`);
    const back = await postBundle(la, 'transaction', buildRecord(plan));
    t.match(statusesOf(back), [/^200/, /^200/], `${way}: and back`);
    t.match(await flagsAt(epr, plan.nhsNumber), [{ id, meta: { versionId: '3' } }], way);
  }
});

t.test('the new number is checked as for a new plan', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const by = `Flag?${byReference(buildFlag(plan))}`;
  const unknown = renumbered(plan);
  t.equal((await la.request('PUT', by, buildFlag(unknown))).status, 422, 'the Patient was not submitted');
  const older = renumbered(plan, { birthDate: '2026-01-01' });
  t.match(statusesOf(await postBundle(la, 'batch', buildRecord(older))), [/^201/, /^422/], 'before the birth');
  const taken = renumbered(plan);
  await submit(la, freshPlan({ nhsNumber: taken.nhsNumber }));
  t.match(statusesOf(await postBundle(la, 'batch', buildRecord(taken))), [/^200/, /^409/], 'overlaps');
  t.match(await flagsAt(epr, plan.nhsNumber), [{ id, meta: { versionId: '1' } }]);
  const patch = [{ op: 'replace', path: '/subject/reference', value: `Patient/${taken.nhsNumber}` }];
  const type = { 'content-type': 'application/json-patch+json' };
  t.ok((await la.request('PATCH', `Flag/${id}`, patch, type)).status >= 400, 'a patch keeps the subject');
});

t.test('an ended plan moves only by its id and version; an end is taken under the recorded number', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const ended = { ...plan, end: addDays(today, -5) };
  const next = renumbered(ended);
  const first = await postBundle(la, 'batch', buildRecord(next));
  t.match(statusesOf(first), [/^201/, /^200/]);
  t.match(outcomeOf(first.body.entry?.[1]).issue, [{ severity: 'warning', diagnostics: /was not moved/ }]);
  t.match(await flagsAt(epr, plan.nhsNumber), [{ id, status: 'inactive' }]);
  for (const [way, send] of ways) {
    for (const submitted of [next, { ...plan, nhsNumber: next.nhsNumber }]) {
      const [status, outcome] = await send(submitted, id);
      t.equal(status, 422, way);
      t.match(outcome, { issue: [{ diagnostics: /adoption.*If-Match/ }] }, way);
    }
  }
  t.strictSame(await flagsAt(epr, next.nhsNumber), []);
  const stated = await la.request('PUT', `Flag/${id}`, { ...buildFlag(next), id }, { 'if-match': 'W/"2"' });
  t.equal(stated.status, 200);
  t.strictSame(await flagsAt(epr, plan.nhsNumber), []);
  t.match(await flagsAt(epr, next.nhsNumber), [{ id, status: 'inactive' }]);

  const wrong = freshPlan();
  const [wrongId = ''] = await submit(la, wrong);
  const error: Flag = { ...buildFlag(renumbered(wrong)), status: 'entered-in-error' };
  const withdrawn = await la.request('PUT', `Flag?${byReference(error)}`, error);
  t.equal(withdrawn.status, 200, 'a withdrawal is taken whatever the number');
  t.strictSame(await flagsAt(epr, wrong.nhsNumber), []);
  const { body } = await la.request<Flag>('GET', `Flag/${wrongId}`);
  t.match(body, { status: 'entered-in-error', subject: { reference: `Patient/${wrong.nhsNumber}` } });
});

t.test("an unborn child's plan is not moved to the child", async (t) => {
  const mother = unbornPlan();
  const [id = ''] = await submit(la, mother);
  const child = freshPlan({ reference: mother.reference, birthDate: addDays(today, -2), start: addDays(today, -2) });
  for (const [way, send] of ways) {
    const [status, outcome] = await send(child, id);
    t.equal(status, 422, way);
    t.match(outcome, { issue: [{ diagnostics: /reference of its own/ }] }, way);
  }
});

t.test(
  'other holders are notified as of an end and of a creation, and learn nothing of the other number',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    const next = renumbered(plan);
    await submit(otherLa, freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') }));
    await submit(thirdLa, freshPlan({ nhsNumber: next.nhsNumber, kind: kindOf('LAC') }));
    const request = namedRequest();
    const answer = await postBundle(la, 'transaction', buildRecord(next), request.headers);
    t.match(statusesOf(answer), [/^201/, /^200/]);
    const writes = trail
      .of(request.id)
      .filter(({ event }) => event.entity?.some(({ what }) => what?.reference === `Flag/${id}`));
    t.match(writes, [
      { subtype: 'update', patients: [plan.nhsNumber], custodians: [ownId, otherId].sort(), owed: [otherId] },
      { subtype: 'create', patients: [next.nhsNumber], custodians: [ownId, thirdId].sort(), owed: [thirdId] },
    ]);
  },
);

t.test('of moves and other submissions at once, one order is left', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const targets = Array.from({ length: 4 }, () => renumbered(plan));
  const rivals = targets.map(({ nhsNumber }) => freshPlan({ nhsNumber }));
  const numbers = [plan, ...targets].map(({ nhsNumber }) => nhsNumber);
  const looks = numbers.map((nhsNumber) => epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`));
  const answers = await Promise.all([
    ...targets.map((target) => postBundle(la, 'transaction', buildRecord(target))),
    ...rivals.map((rival) => postBundle(la, 'transaction', buildRecord(rival))),
  ]);
  t.ok(
    answers.every(({ status }) => status === 200 || status === 409),
    String(answers.map(({ status }) => status)),
  );
  t.ok((await Promise.all(looks)).every(({ status }) => status === 200));
  const shown = await Promise.all(numbers.map((nhsNumber) => flagsAt(epr, nhsNumber)));
  t.equal(shown.flat().filter((flag) => flag.id === id).length, 1, 'the plan is at one number');
  for (const flags of shown) t.ok(flags.length <= 1, 'and overlaps nowhere');
  for (const [index, nhsNumber] of numbers.entries()) {
    const held = (shown[index] ?? []).length > 0;
    t.equal(
      (await la.request('GET', `Patient/${nhsNumber}`)).status,
      held ? 200 : 404,
      'the Patient has the right labels',
    );
  }
});

t.test(
  'birth: one Bundle ends the unborn plan and submits the child, and connects them for its authority alone',
  async (t) => {
    for (const type of ['batch', 'transaction'] as const) {
      const mother = unbornPlan();
      await submit(la, mother);
      const child = freshPlan({ birthDate: addDays(today, -2), start: addDays(today, -1), family: 'Newborn' });
      await submit(otherLa, unbornPlan({ nhsNumber: mother.nhsNumber }));
      await submit(thirdLa, { ...child, reference: `${child.reference}-3` });
      const born = await postBundle(la, type, [...buildRecord({ ...mother, end: today }), ...buildRecord(child)]);
      t.match(statusesOf(born), [/^200/, /^200/, /^20[01]/, /^201/], type);
      t.match((await flagsAt(epr, mother.nhsNumber)).map(({ status }) => status).sort(), ['active', 'inactive'], type);
      t.match(await flagsAt(epr, child.nhsNumber), [{ status: 'active' }, { status: 'active' }], type);
      for (const [client, own, foreign] of [
        [otherLa, mother, child],
        [thirdLa, child, mother],
      ] as const) {
        const seen = JSON.stringify(await eventsOf(client, `patient=${own.nhsNumber}`));
        t.match(seen, own.nhsNumber, type);
        t.notMatch(seen, foreign.nhsNumber, type);
        t.strictSame(await eventsOf(client, `patient=${foreign.nhsNumber}`), [], type);
        t.equal((await client.request('GET', `Patient/${foreign.nhsNumber}`)).status, 404, type);
      }
    }
  },
);
