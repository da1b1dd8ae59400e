/** NHS numbers that change while plans are held on them. PDS is the stand-in, a process of its own. */
import { randomUUID } from 'node:crypto';
import type { AuditEvent, Bundle, Flag, OperationOutcome } from 'fhir/r4.js';
import t from 'tap';
import { backport } from '../../src/fhir/subscription/backport.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openPdsWorld } from '../support/pds-world.ts';
import { openReceiver } from '../support/receiver.ts';
import {
  codesOf,
  daysFromNow,
  freshNhsNumber,
  freshPlan,
  kindOf,
  outcomeOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
} from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

const receiver = await openReceiver();
t.teardown(() => receiver.close());
const world = await openPdsWorld(t, {}, [receiver.origin]);
const { la, otherLa, thirdLa, epr, pds, know } = world;
const newNumber = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-new-nhs-number';

const lookUp = (nhsNumber: string, rest = '') => epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}${rest}`);
const plansSeen = async (nhsNumber: string): Promise<string[]> =>
  resourcesOf<Flag>(await lookUp(nhsNumber))
    .map(({ id = '' }) => id)
    .sort();
const eventsOf = async (client: FhirClient, nhsNumber: string): Promise<AuditEvent[]> =>
  resourcesOf<AuditEvent>(
    await client.request<Bundle>('GET', `AuditEvent?type=nhs-number-change&patient=${nhsNumber}`),
  );
/** Submits a changed name, so that the server asks PDS about the number. */
const ask = (plan: SyntheticPlan, client = la) =>
  postBundle(client, 'batch', buildRecord({ ...plan, given: `Ada ${randomUUID()}` }));

async function supersede(plan: SyntheticPlan, to: string): Promise<void> {
  await know({ ...plan, nhsNumber: to });
  await pds.put([{ number: plan.nhsNumber, supersededBy: to }]);
}

/** Submits a plan whose number is then replaced, and waits until the server has linked the two. */
async function submitReplaced() {
  const plan = freshPlan();
  const to = freshNhsNumber();
  await know(plan);
  const [id = ''] = await submit(la, plan);
  await supersede(plan, to);
  await ask(plan);
  await waitUntil('the numbers are linked', async () => (await plansSeen(to)).length === 1);
  return { plan, to, id };
}

t.test('a superseded number: both numbers show the same plans, and each holder is notified once', async (t) => {
  const plan = freshPlan();
  const to = freshNhsNumber();
  await know(plan);
  const [first = ''] = await submit(la, plan);
  const [second = ''] = await submit(otherLa, { ...plan, kind: kindOf('LAC'), reference: randomUUID() });
  const both = [first, second].sort();
  t.strictSame(await plansSeen(to), [], 'nothing links the numbers yet');
  await supersede(plan, to);

  const answer = await ask(plan);
  t.strictSame(
    statusesOf(answer).map((status) => status.slice(0, 3)),
    ['422', '422'],
  );
  const [issue] = outcomeOf(answer.body.entry?.[0]).issue;
  t.match(issue, { details: { coding: [{ code: 'CPR05' }, { code: 'INVALIDATED_RESOURCE' }] } });
  t.match(issue?.extension, [{ url: newNumber, valueIdentifier: { value: to } }], 'a holder gets the new number');
  t.notMatch(issue?.diagnostics, /\d{10}/);
  const stranger = await ask({ ...plan, reference: 'theirs' }, thirdLa);
  t.notMatch(JSON.stringify(stranger.body), to, 'nobody else does');

  await waitUntil('the numbers are linked', async () => (await plansSeen(to)).length === 2);
  t.strictSame(await plansSeen(to), both);
  t.strictSame(await plansSeen(plan.nhsNumber), both);
  for (const number of [plan.nhsNumber, to]) {
    const [outcome] = resourcesOf<OperationOutcome>(await lookUp(number), 'outcome');
    t.match(outcome, { issue: [{ severity: 'warning', diagnostics: /has been replaced/ }] });
    const read = await epr.request('GET', `Patient/${number}`);
    t.equal(read.status, 200);
  }
  t.match((await lookUp(plan.nhsNumber, '&_summary=count')).body, { total: 2 });
  const page = await lookUp(plan.nhsNumber, '&_count=1');
  const next = page.body.link?.find(({ relation }) => relation === 'next')?.url ?? '';
  const rest = await epr.request<Bundle>('GET', next.slice(`${world.server.baseUrl}/`.length));
  t.strictSame(
    [page, rest]
      .flatMap((each) => resourcesOf<Flag>(each))
      .map(({ id = '' }) => id)
      .sort(),
    both,
    'in pages too',
  );

  const history = async (number: string) =>
    resourcesOf<AuditEvent>(await epr.request<Bundle>('GET', `AuditEvent?patient=${number}&_count=250`)).map(
      ({ id }) => id,
    );
  t.strictSame(await history(plan.nhsNumber), await history(to), 'one access history');
  const [last] = resourcesOf<AuditEvent>(
    await la.request<Bundle>('GET', `AuditEvent?patient=${to}&subtype=search-type&_sort=-date&_count=1`),
  );
  const named = last?.entity
    ?.map(({ what }) => what?.reference)
    .filter((reference) => reference?.startsWith('Patient/'));
  t.strictSame(named?.sort(), [`Patient/${plan.nhsNumber}`, `Patient/${to}`].sort(), 'audited under both');

  for (const client of [la, otherLa]) {
    const events = await eventsOf(client, plan.nhsNumber);
    t.equal(events.length, 1);
    t.match(events[0], {
      subtype: [{ code: 'replaced' }],
      entity: [{ what: { reference: `Patient/${plan.nhsNumber}` } }, { what: { reference: `Patient/${to}` } }],
    });
  }
  t.equal((await eventsOf(thirdLa, plan.nhsNumber)).length, 0);
  await ask(plan);
  await ask(plan, otherLa);
  t.equal((await eventsOf(la, to)).length, 1, 'exactly once');
  t.strictSame(
    statusesOf(await postBundle(la, 'batch', buildRecord(plan))).map((status) => status.slice(0, 3)),
    ['422', '422'],
    'the old number is refused from now on, changed or not',
  );
});

t.test('the topic nhs-number-changed is delivered', async (t) => {
  const { status } = await la.request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'Numbers that change',
    criteria: 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/nhs-number-changed',
    channel: {
      type: 'rest-hook',
      endpoint: `${receiver.origin}/numbers`,
      payload: 'application/fhir+json',
      _payload: { extension: [{ url: backport.payloadContent, valueCode: 'full-resource' }] },
    },
  });
  t.equal(status, 201);
  const plan = freshPlan();
  const to = freshNhsNumber();
  await know(plan);
  await submit(la, plan);
  await supersede(plan, to);
  await ask(plan);
  await lookUp(plan.nhsNumber);
  const events = () =>
    receiver.received
      .flatMap(({ body }) => (JSON.parse(body) as Bundle).entry ?? [])
      .flatMap(({ resource }) => (resource?.resourceType === 'AuditEvent' ? [resource as AuditEvent] : []));
  await waitUntil('it has arrived', () => JSON.stringify(events()).includes(plan.nhsNumber));
  t.match(events().at(-1), { subtype: [{ code: 'replaced' }], entity: [{}, { what: { reference: `Patient/${to}` } }] });
  t.ok(
    events().every(({ type }) => type.code === 'nhs-number-change'),
    'and nothing else',
  );
});

t.test('A -> B -> C is followed, and a loop is refused', async (t) => {
  const plan = freshPlan();
  const [b, c] = [freshNhsNumber(), freshNhsNumber()];
  await know(plan);
  const [onA = ''] = await submit(la, plan);
  await supersede(plan, b);
  await ask(plan);
  await waitUntil('A and B are linked', async () => (await plansSeen(b)).length === 1);
  const [onB = ''] = await submit(otherLa, { ...plan, nhsNumber: b, kind: kindOf('LAC'), reference: randomUUID() });
  await supersede({ ...plan, nhsNumber: b }, c);
  await ask({ ...plan, nhsNumber: b, kind: kindOf('LAC') }, otherLa);
  await waitUntil('B and C are linked', async () => (await plansSeen(c)).length === 2);
  for (const number of [plan.nhsNumber, b, c]) t.strictSame(await plansSeen(number), [onA, onB].sort());
  // C is held and PDS now says that A replaced it: that contradicts what is known.
  const [onC = ''] = await submit(thirdLa, { ...plan, nhsNumber: c, reference: randomUUID() });
  await know(plan);
  await pds.put([{ number: c, supersededBy: plan.nhsNumber }]);
  await ask({ ...plan, nhsNumber: c }, thirdLa);
  await waitUntil('the loop is reported', () => world.log().includes('"finding":"loop"'));
  for (const number of [plan.nhsNumber, b, c]) t.strictSame(await plansSeen(number), [onA, onB, onC].sort());
  t.equal((await eventsOf(thirdLa, c)).length, 0);
});

t.test(
  'a wrong answer links no two children: a number replaced by that of a person whom nobody describes',
  async (t) => {
    const plan = freshPlan();
    const other = { ...freshPlan(), given: 'Zoe', family: 'Unrelated', birthDate: '2011-01-02' };
    await know(plan, other);
    const [own = ''] = await submit(la, plan);
    const [theirs = ''] = await submit(otherLa, other);
    await pds.put([{ number: plan.nhsNumber, supersededBy: other.nhsNumber }]);
    const answer = await ask(plan);
    t.match(outcomeOf(answer.body.entry?.[0]).issue, [{ details: { coding: [{ code: 'CPR03' }] } }]);
    t.notMatch(JSON.stringify(answer.body), other.nhsNumber);
    await waitUntil('the operator is warned', () => world.log().includes('"finding":"unlike"'));
    t.strictSame([await plansSeen(plan.nhsNumber), await plansSeen(other.nhsNumber)], [[own], [theirs]]);
    const events = await eventsOf(la, plan.nhsNumber);
    t.match(events, [{ subtype: [{ code: 'inactive' }] }]);
    t.notMatch(JSON.stringify(events), other.nhsNumber);
    t.strictSame(await eventsOf(otherLa, other.nhsNumber), []);
    await know(plan);
    t.match(statusesOf(await ask(plan)), [/^200/, /^200/], 'when PDS is right again, so is the record');
  },
);

t.test('an invalidated number is linked to nothing, and earlier links end', async (t) => {
  const { plan, to } = await submitReplaced();
  await pds.put([{ number: plan.nhsNumber, invalidated: true }]);
  const answer = await ask(plan);
  t.match(outcomeOf(answer.body.entry?.[0]).issue, [{ details: { coding: [{ code: 'CPR01' }] } }]);
  await waitUntil('the link has ended', async () => (await plansSeen(to)).length === 0);
  t.equal((await plansSeen(plan.nhsNumber)).length, 1, 'the plan stays until its authority ends it');
  t.match((await eventsOf(la, plan.nhsNumber)).map(({ subtype }) => subtype?.[0]?.code).sort(), [
    'inactive',
    'replaced',
  ]);
  const adopted = freshPlan();
  await know(adopted);
  await submit(la, adopted);
  await pds.put([{ number: adopted.nhsNumber, invalidated: true }]);
  await ask(adopted);
  await waitUntil('notified', async () => (await eventsOf(la, adopted.nhsNumber)).length === 1);
  const [event] = await eventsOf(la, adopted.nhsNumber);
  t.match(event, { subtype: [{ code: 'inactive' }] });
  t.equal(event?.entity?.length, 1, 'no other number is named');
});

t.test('a plan moves to the new number of its child, and never from a number without a successor', async (t) => {
  const { plan, to, id } = await submitReplaced();
  const moved = await postBundle(la, 'batch', buildRecord({ ...plan, nhsNumber: to }));
  t.match(
    JSON.stringify(moved.body),
    'The plan was moved to this NHS number. At the earlier one NHS staff see it only if',
  );
  for (const number of [plan.nhsNumber, to]) t.strictSame(await plansSeen(number), [id]);

  const adopted = freshPlan();
  const after = { ...adopted, nhsNumber: freshNhsNumber() };
  await know(adopted, after);
  const [adoptedId = ''] = await submit(la, adopted);
  await pds.put([{ number: adopted.nhsNumber, invalidated: true }]);
  const refused = await postBundle(la, 'batch', buildRecord(after));
  t.match(statusesOf(refused), [/^201/, /^422/]);
  t.strictSame(await plansSeen(after.nhsNumber), []);
  t.strictSame(await plansSeen(adopted.nhsNumber), [adoptedId]);
});

t.test('after a number was replaced, an end and a withdrawal are accepted under either number', async (t) => {
  for (const [status, isNew] of [
    ['inactive', false],
    ['inactive', true],
    ['entered-in-error', false],
    ['entered-in-error', true],
  ] as const) {
    const { plan, to, id } = await submitReplaced();
    const flag = buildFlag({ ...plan, nhsNumber: isNew ? to : plan.nhsNumber });
    const period = { start: plan.start, ...(status === 'inactive' ? { end: daysFromNow(-1) } : {}) };
    const [, entry] = buildRecord(plan);
    const answer = await postBundle(la, 'batch', [{ ...entry, resource: { ...flag, status, period } }]);
    t.match(statusesOf(answer), [/^200/], `${status} ${isNew}`);
    const { body } = await la.request<Flag>('GET', `Flag/${id}`);
    t.match(body, { status, subject: { reference: `Patient/${plan.nhsNumber}` } });
  }
});

t.test('a conflict of details and a link leave each other alone', async (t) => {
  const plan = freshPlan();
  const to = freshNhsNumber();
  await know(plan);
  const [id = ''] = await submit(la, plan);
  const [other = ''] = await submit(otherLa, { ...plan, kind: kindOf('LAC'), reference: randomUUID() });
  await submit(otherLa, { ...plan, birthDate: '2019-03-15', kind: kindOf('LAC'), reference: randomUUID() }).catch(
    () => undefined,
  );
  await supersede(plan, to);
  await ask(plan);
  const both = [id, other].sort();
  await waitUntil('linked', async () => (await plansSeen(to)).length === 2);
  // A write on the child reviews its record.
  const flag = (await la.request<Flag>('GET', `Flag/${id}`)).body;
  await la.request('PUT', `Flag/${id}`, {
    ...flag,
    status: 'inactive',
    period: { ...flag.period, end: daysFromNow(-1) },
  });
  t.strictSame(await plansSeen(to), both);
  t.strictSame(await plansSeen(plan.nhsNumber), both);
});

t.test('the number of a sensitive record is told to nobody', async (t) => {
  const plan = freshPlan();
  const to = freshNhsNumber();
  await know(plan);
  await submit(la, plan);
  await pds.put([
    { number: to, family: plan.family, given: [plan.given], birthDate: plan.birthDate, confidentiality: 'R' },
    { number: plan.nhsNumber, supersededBy: to },
  ]);
  const answer = await ask(plan);
  t.match(outcomeOf(answer.body.entry?.[0]).issue, [{ details: { coding: [{ code: 'CPR02' }] } }]);
  t.notMatch(JSON.stringify(answer.body), to);
  await waitUntil('the holder is notified', async () => (await eventsOf(la, plan.nhsNumber)).length === 1);
  t.notMatch(JSON.stringify(await eventsOf(la, plan.nhsNumber)), to);
  t.strictSame(await plansSeen(to), []);
  t.match(world.log(), '"finding":"sensitive"');
});

t.test('numbers without a visible plan are linked for nobody', async (t) => {
  const { plan, to, id } = await submitReplaced();
  await la.request('DELETE', `Flag/${id}`);
  const shape = async (number: string) => {
    const { body } = await lookUp(number);
    return { total: body.total, entry: body.entry };
  };
  const history = await epr.request<Bundle>('GET', `AuditEvent?patient=${to}`);
  t.notMatch(JSON.stringify(history.body.entry), plan.nhsNumber, 'the access history names the asked number only');
  const unknown = await shape(freshNhsNumber());
  t.strictSame(await shape(to), unknown);
  t.strictSame(await shape(plan.nhsNumber), unknown);
  t.strictSame(codesOf(await epr.request('GET', `Patient/${to}`)), ['not-found']);
});

t.test('a child that moves: an authority that holds the new number only gets it too', async (t) => {
  const plan = freshPlan();
  const to = freshNhsNumber();
  await supersede(plan, to);
  await submit(la, { ...plan, nhsNumber: to });
  t.match(JSON.stringify((await ask({ ...plan, reference: randomUUID() })).body), to);
  await waitUntil('linked by what a submission showed', async () => (await plansSeen(plan.nhsNumber)).length === 1);
});
