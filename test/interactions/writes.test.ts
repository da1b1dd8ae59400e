import type { Bundle, Flag, OperationOutcome, Patient } from 'fhir/r4.js';
import t from 'tap';
import { londonDate } from '../../src/cpis/london-date.ts';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import {
  codesOf,
  daysFromNow,
  freshPlan,
  idIn,
  kindOf,
  referenceSystem,
  resourcesOf,
  submit,
} from '../support/submissions.ts';

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, epr, ownId, otherId } = world;

const criteria = (reference: string, system = referenceSystem): string =>
  `identifier=${encodeURIComponent(`${system}|${reference}`)}`;
const seenByNhs = async (nhsNumber: string): Promise<Flag[]> =>
  resourcesOf(await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`));
const amended = (plan: SyntheticPlan, over: Partial<Flag>): Flag => ({ ...buildFlag(plan), ...over });

t.test('create: Location, ETag, author from the token, meta of the server', async (t) => {
  const plan = freshPlan();
  const startMs = Date.now();
  const patient = await la.request<Patient>('POST', 'Patient', buildPatient(plan));
  t.equal(patient.status, 201);
  t.equal(patient.headers.get('location'), `${baseUrl}/Patient/${plan.nhsNumber}/_history/1`);
  const { id, headers } = namedRequest();
  const body = { ...buildFlag(plan), id: 'mine', meta: { versionId: '9', lastUpdated: '2001-01-01T00:00:00Z' } };
  const flag = await la.request<Flag>('POST', 'Flag', body, headers);
  t.equal(flag.status, 201, JSON.stringify(flag.body));
  const flagId = idIn(flag.headers.get('location'));
  t.not(flagId, 'mine', 'the server chooses the id');
  t.equal(flag.headers.get('etag'), 'W/"1"');
  t.equal(flag.headers.get('cache-control'), 'no-store');
  t.match(flag.body, { id: flagId, meta: { versionId: '1' }, author: { reference: `Organization/${ownId}` } });
  t.ok(Date.parse(flag.body.meta?.lastUpdated ?? '') >= startMs);
  t.match(trail.of(id), [
    { subtype: 'create', outcome: '0', patients: [plan.nhsNumber], custodians: [ownId], owed: [] },
  ]);
  const read = await la.request<Flag>('GET', `Flag/${flagId}`);
  t.strictSame(read.body, flag.body, 'what was answered is what is read');
  t.strictSame(
    (await seenByNhs(plan.nhsNumber)).map((seen) => seen.id),
    [flagId],
  );
});

t.test('Prefer: return', async (t) => {
  const plan = freshPlan();
  const minimal = await la.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan), {
    prefer: 'return=minimal',
  });
  t.strictSame([minimal.status, minimal.body], [201, undefined]);
  const outcome = await la.request<OperationOutcome>('POST', 'Flag', buildFlag(plan), {
    prefer: 'return=OperationOutcome',
  });
  t.equal(outcome.status, 201);
  t.match(outcome.body, { resourceType: 'OperationOutcome', issue: [{ severity: 'information' }] });
  const again = await la.request<Patient>('PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan));
  t.strictSame([again.status, again.headers.get('etag')], [200, 'W/"1"'], 'unchanged content makes no version');
});

t.test('create: what is refused, with its reason', async (t) => {
  const plan = freshPlan();
  await la.request('POST', 'Patient', buildPatient(plan));
  const tomorrow = daysFromNow(2);
  const today = londonDate(Date.now());
  const cases: [string, object, number, RegExp][] = [
    ['another author', amended(plan, { author: { reference: `Organization/${otherId}` } }), 403, /Flag\.author/],
    [
      'an author by identifier only',
      amended(plan, { author: { identifier: { system: 'urn:x', value: otherId } } }),
      403,
      /Flag\.author/,
    ],
    [
      'an author elsewhere',
      amended(plan, { author: { reference: `https://elsewhere.example.org/Organization/${ownId}` } }),
      403,
      /author/,
    ],
    [
      'an end in the future',
      amended(plan, { status: 'inactive', period: { start: plan.start, end: tomorrow } }),
      422,
      /Flag\.period\.end/,
    ],
    [
      'an end before the start',
      amended(plan, { status: 'inactive', period: { start: plan.start, end: '2025-01-30' } }),
      422,
      /Flag\.period/,
    ],
    ['active and ended', amended(plan, { period: { start: plan.start, end: '2025-02-01' } }), 422, /Flag/],
    ['inactive and open', amended(plan, { status: 'inactive' }), 422, /Flag/],
    ['a time in a date', amended(plan, { period: { start: '2025-01-31T10:00:00Z' } }), 422, /Flag\.period\.start/],
    ['a month for a date', amended(plan, { period: { start: '2025-01' } }), 422, /Flag\.period\.start/],
    ['no start', amended(plan, { period: {} }), 422, /Flag\.period/],
    ['no identifier', amended(plan, { identifier: [] }), 422, /Flag\.identifier/],
    [
      'a narrative',
      amended(plan, {
        text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">secret-note</div>' },
      }),
      422,
      /Flag\.text/,
    ],
    [
      'a note in an extension',
      amended(plan, { extension: [{ url: 'urn:x', valueString: 'secret-note' }] }),
      422,
      /Flag\.extension/,
    ],
    ['an encounter', amended(plan, { encounter: { reference: 'Encounter/1' } }), 422, /Flag\.encounter/],
    [
      'another code',
      amended(plan, { code: { coding: [{ system: 'http://snomed.info/sct', code: '73211009' }] } }),
      422,
      /Flag\.code/,
    ],
    [
      'a subject that is a Group',
      amended(plan, { subject: { reference: `Group/${plan.nhsNumber}` } }),
      422,
      /Flag\.subject/,
    ],
    [
      'a subject elsewhere',
      amended(plan, { subject: { reference: `https://elsewhere.example.org/Patient/${plan.nhsNumber}` } }),
      422,
      /Flag\.subject/,
    ],
    [
      'a version of a subject',
      amended(plan, { subject: { reference: `Patient/${plan.nhsNumber}/_history/1` } }),
      422,
      /Flag\.subject/,
    ],
    [
      'a subject without a valid number',
      amended(plan, { subject: { reference: 'Patient/9990000019' } }),
      400,
      /INVALID_NHS_NUMBER/,
    ],
    ['a child nobody submitted', buildFlag(freshPlan()), 422, /Flag\.subject/],
    ['another type in the body', buildPatient(plan), 400, /Flag\.resourceType/],
  ];
  for (const [name, body, status, expected] of cases) {
    const answer = await la.request('POST', 'Flag', body);
    t.equal(answer.status, status, `${name}: ${JSON.stringify(answer.body)}`);
    t.match(JSON.stringify(answer.body), expected, name);
    t.notMatch(
      JSON.stringify(answer.body),
      new RegExp(`secret-note|9990000019|${plan.nhsNumber}|${otherId}`),
      'no value is repeated',
    );
  }
  t.equal((await seenByNhs(plan.nhsNumber)).length, 0, 'nothing was stored');
  const two = { ...buildFlag(plan), status: 'nonsense', period: { start: '31/01/2025' } };
  const { body } = await la.request<OperationOutcome>('POST', 'Flag', two);
  t.ok(body.issue.length >= 2, 'all issues at once');
  const endedToday = amended(plan, { status: 'inactive', period: { start: plan.start, end: today } });
  t.equal((await la.request('POST', 'Flag', endedToday)).status, 201, 'ended today is not the future');
});

t.test('an adult: no child protection plan, but a plan for an unborn child', async (t) => {
  const adult = freshPlan({ birthDate: '1990-02-03' });
  await la.request('POST', 'Patient', buildPatient(adult));
  for (const short of ['CPP', 'LAC'] as const) {
    const refused = await la.request('POST', 'Flag', buildFlag({ ...adult, kind: kindOf(short) }));
    t.equal(refused.status, 422);
    t.match(refused.body, { issue: [{ code: 'business-rule', expression: ['Flag.subject'] }] });
  }
  const unborn = await la.request('POST', 'Flag', buildFlag({ ...adult, kind: kindOf('UCPP') }));
  t.equal(unborn.status, 201);
});

t.test('identifiers: unique for one authority, free for another, kept after withdrawal', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  const twice = await la.request('POST', 'Flag', buildFlag(plan));
  t.strictSame([twice.status, codesOf(twice)], [409, ['duplicate']]);
  await submit(otherLa, plan);
  t.equal((await seenByNhs(plan.nhsNumber)).length, 2, 'two authorities, the same reference');
  const second = freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') });
  const [secondId] = await submit(la, second);
  const stolen = await la.request('PUT', `Flag/${secondId}`, {
    ...buildFlag(second),
    id: secondId,
    identifier: buildFlag(plan).identifier,
  });
  t.equal(stolen.status, 409, 'an amendment cannot take it either');
  t.equal((await la.request('DELETE', `Flag/${id}`)).status, 204);
  t.equal((await la.request('DELETE', `Flag/${id}`)).status, 204, 'again is as good as once');
  t.equal((await la.request('POST', 'Flag', buildFlag(plan))).status, 422);
});

t.test('conditional update and create: none, one, several, and a match that is hidden', async (t) => {
  const plan = freshPlan();
  await la.request('POST', 'Patient', buildPatient(plan));
  const none = await la.request('PUT', `Flag?${criteria(plan.reference)}`, buildFlag(plan));
  t.equal(none.status, 201);
  const id = idIn(none.headers.get('location'));
  const ended = amended(plan, { status: 'inactive', period: { start: plan.start, end: '2026-01-05' } });
  const one = await la.request<Flag>('PUT', `Flag?${criteria(plan.reference)}`, ended);
  t.match(one, { status: 200, body: { id, status: 'inactive', meta: { versionId: '2' } } });
  await submit(la, freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') }));
  const several = await la.request('PUT', `Flag?patient=${plan.nhsNumber}`, ended);
  t.strictSame([several.status, codesOf(several)], [412, ['multiple-matches']]);
  const created = await la.request('POST', 'Flag', ended, { 'if-none-exist': criteria(plan.reference) });
  t.match(created, { status: 200, body: { id } }, 'one match: nothing is created');
  const manyExist = await la.request('POST', 'Flag', buildFlag(freshPlan({ nhsNumber: plan.nhsNumber })), {
    'if-none-exist': `patient=${plan.nhsNumber}`,
  });
  t.equal(manyExist.status, 412);

  const hidden = await otherLa.request('POST', 'Patient', buildPatient(plan));
  t.equal(hidden.status, 201, "another authority's Patient is no match");
  const theirs = await otherLa.request('PUT', `Flag?${criteria(plan.reference)}`, buildFlag(plan));
  t.equal(theirs.status, 201, "another authority's plan is no match");
  t.not(idIn(theirs.headers.get('location')), id);
  const third = { ...buildFlag(freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') })) };
  const byId = await otherLa.request('POST', 'Flag', third, { 'if-none-exist': `_id=${id}` });
  t.equal(byId.status, 201, 'not even by its id');

  const refused: [string, string, number][] = [
    ['', 'no criteria', 400],
    ['?_count=5', 'only a result parameter', 400],
    ['?nonsense=1', 'an unknown criterion', 400],
    [`?${criteria(plan.reference)}&_sort=date`, 'an order', 200],
    [`?${criteria(plan.reference)}&_summary=count`, 'a summary', 400],
    ['?patient=9990000019', 'an invalid number', 400],
    ['?_has:Flag:x:y=1', 'a reverse chain', 400],
  ];
  for (const [query, name, status] of refused) {
    t.equal((await la.request('PUT', `Flag${query}`, ended)).status, status, name);
    if (query === '') continue;
    const viaCreate = await la.request('POST', 'Flag', ended, { 'if-none-exist': query.slice(1) });
    t.equal(viaCreate.status, status, `If-None-Exist: ${name}`);
  }
  const withId = { ...buildFlag(freshPlan({ nhsNumber: plan.nhsNumber })), id: 'chosen-by-client' };
  t.equal((await la.request('PUT', `Flag?${criteria('nobody-has-this')}`, withId)).status, 405);
  const otherBodyId = await la.request('PUT', `Flag?${criteria(plan.reference)}`, { ...ended, id: 'other' });
  t.equal(otherBodyId.status, 400);
});

t.test('If-Match', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  for (const garbage of ['1', '"1"', 'W/1', 'W/"0"', 'W/"01"', 'W/"1", W/"2"', '*', 'W/"x"', 'W/"99999999999999999"']) {
    const answer = await la.request('PUT', `Flag/${id}`, { ...buildFlag(plan), id }, { 'if-match': garbage });
    t.equal(answer.status, 400, garbage);
    t.match(answer.body, { issue: [{ expression: ['http.If-Match'] }] });
  }
  t.equal((await la.request('PUT', `Flag/${id}`, { ...buildFlag(plan), id }, { 'if-match': 'W/"2"' })).status, 412);
  t.equal((await la.request('DELETE', `Flag/${id}`, undefined, { 'if-match': 'W/"2"' })).status, 412);
  const missing = await la.request('PUT', 'Flag/00000000-0000-4000-8000-000000000000', buildFlag(plan), {
    'if-match': 'W/"1"',
  });
  t.equal(missing.status, 405, 'what is not there is not created');
  t.equal(
    (await la.request('PUT', `Flag?${criteria('absent')}`, buildFlag(plan), { 'if-match': 'W/"1"' })).status,
    412,
  );

  const ends = Array.from({ length: 50 }, (_, index) => `2025-03-${String((index % 28) + 1).padStart(2, '0')}`);
  const answers = await Promise.all(
    ends.map((end) => {
      const body = amended(plan, { status: 'inactive', period: { start: plan.start, end } });
      return la.request<Flag>('PUT', `Flag/${id}`, { ...body, id }, { 'if-match': 'W/"1"' });
    }),
  );
  const tally = (status: number): number => answers.filter((answer) => answer.status === status).length;
  t.strictSame([tally(200), tally(412)], [1, 49], 'one wins, 49 are told');
  t.match((await la.request('GET', `Flag/${id}`)).body, { meta: { versionId: '2' } });
});

t.test('without If-Match: versions are contiguous, nothing is lost', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, index) =>
      la.request<Flag>('PUT', `Flag/${id}`, { ...amended(plan, { period: { start: `2025-01-${10 + index}` } }), id }),
    ),
  );
  t.strictSame(new Set(answers.map((answer) => answer.status)), new Set([200]));
  const versions = answers.map((answer) => Number(answer.body.meta?.versionId)).sort((a, b) => a - b);
  t.strictSame(
    versions,
    Array.from({ length: 12 }, (_, index) => index + 2),
  );
  const history = await Promise.all(
    versions.map((version) => la.request<Flag>('GET', `Flag/${id}/_history/${version}`)),
  );
  t.strictSame(
    new Set(history.map((read) => read.body.period?.start)),
    new Set(answers.map((answer) => answer.body.period?.start)),
  );
});

t.test('20 parallel conditional creates make one plan', async (t) => {
  const plan = freshPlan();
  await la.request('POST', 'Patient', buildPatient(plan));
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      index % 2 === 0
        ? la.request<Flag>('POST', 'Flag', buildFlag(plan), { 'if-none-exist': criteria(plan.reference) })
        : la.request<Flag>('PUT', `Flag?${criteria(plan.reference)}`, buildFlag(plan)),
    ),
  );
  t.strictSame(answers.map((answer) => answer.status).sort(), [...new Array(19).fill(200), 201]);
  t.equal(new Set(answers.map((answer) => answer.body.id)).size, 1);
  t.equal((await seenByNhs(plan.nhsNumber)).length, 1);
});

t.test('a plan does not move to where the authority holds another; its id does not change', async (t) => {
  const [plan, other] = [freshPlan(), freshPlan()];
  const [id] = await submit(la, plan, other);
  const moved = { ...buildFlag(plan), subject: { reference: `Patient/${other.nhsNumber}` } };
  const answer = await la.request('PUT', `Flag/${id}`, { ...moved, id });
  t.equal(answer.status, 409);
  t.match(answer.body, { issue: [{ expression: ['Flag.period'] }] });
  t.equal((await la.request('PUT', `Flag/${id}`, { ...buildFlag(plan), id: 'other' })).status, 400);
});

t.test('Patient: the id is the NHS number, everywhere', async (t) => {
  const [plan, other] = [freshPlan(), freshPlan()];
  const cases: [string, string, object, number][] = [
    ['PUT', `Patient/${other.nhsNumber}`, buildPatient(plan), 400],
    ['PUT', `Patient/${plan.nhsNumber}`, { ...buildPatient(plan), id: other.nhsNumber }, 400],
    ['POST', 'Patient', { ...buildPatient(plan), id: other.nhsNumber }, 400],
    ['PUT', 'Patient/9990000019', buildPatient({ ...plan, nhsNumber: '9990000019' }), 400],
    ['POST', 'Patient', buildPatient({ ...plan, nhsNumber: '9990000019' }), 400],
    ['PUT', 'Patient/abc', buildPatient(plan), 400],
    ['PUT', `Patient/${plan.nhsNumber}`, { ...buildPatient(plan), id: undefined }, 400],
    ['POST', 'Patient', { ...buildPatient(plan), birthDate: '2999-01-01' }, 422],
    ['POST', 'Patient', { ...buildPatient(plan), birthDate: '2019' }, 422],
    ['POST', 'Patient', { ...buildPatient(plan), birthDate: undefined }, 422],
    ['POST', 'Patient', { ...buildPatient(plan), identifier: [] }, 422],
    ['POST', 'Patient', { ...buildPatient(plan), address: [{ text: 'secret-note' }] }, 422],
    ['POST', 'Patient', { ...buildPatient(plan), contact: [{ name: { text: 'secret-note' } }] }, 422],
  ];
  for (const [method, path, body, status] of cases) {
    const answer = await la.request(method, path, body);
    t.equal(answer.status, status, `${method} ${path} ${JSON.stringify(answer.body)}`);
    t.notMatch(JSON.stringify(answer.body), /99900|secret-note|Testchild/);
  }
  t.equal((await la.request('GET', `Patient/${plan.nhsNumber}`)).status, 404);
});

t.test('Patient: corrected by its own authority, whatever others state', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const born = (birthDate: string, family = plan.family) => buildPatient({ ...plan, birthDate, family });
  const differing = await otherLa.request('PUT', `Patient/${plan.nhsNumber}`, born('2018-01-01', 'Elsewhere'));
  t.strictSame(
    [differing.status, differing.headers.get('etag')],
    [201, 'W/"1"'],
    'as for a child that nobody submitted',
  );
  t.equal((await otherLa.request('GET', `Patient/${plan.nhsNumber}`)).status, 404, 'a submission shows nothing');
  const corrected = await la.request<Patient>('PUT', `Patient/${plan.nhsNumber}`, born('2019-04-03'));
  t.match(corrected, { status: 200, body: { issue: [{ severity: 'warning', expression: ['Patient.birthDate'] }] } });
  const now = await la.request<Patient>('GET', `Patient/${plan.nhsNumber}`);
  t.match(now.body, { birthDate: '2019-04-03', meta: { versionId: '2' } }, 'alone: corrected');
  const another = born('2010-01-01', 'Somebody');
  const replaced = await la.request('PUT', `Patient/${plan.nhsNumber}`, another);
  t.strictSame([replaced.status, codesOf(replaced)], [409, ['conflict']], 'another name and birth date: another child');
  const tooOld = await la.request('PUT', `Patient/${plan.nhsNumber}`, born('1990-01-01'));
  t.strictSame([tooOld.status, codesOf(tooOld)], [422, ['business-rule']], 'the plan needs a subject under 18');
  await submit(otherLa, { ...plan, birthDate: '2018-01-01', family: 'Elsewhere', reference: 'theirs' });
  t.equal((await otherLa.request('PUT', `Patient/${plan.nhsNumber}`, born('2018-01-02', 'Elsewhere'))).status, 200);
  const renamed = await la.request('PUT', `Patient/${plan.nhsNumber}`, born('2019-04-03', 'Renamed'));
  t.equal(renamed.status, 200);
  t.match(renamed.body, {
    resourceType: 'OperationOutcome',
    issue: [{ severity: 'warning', expression: ['Patient.name'] }],
  });
  t.notMatch(JSON.stringify(renamed.body), /Renamed|Testchild|Elsewhere/);
  t.match((await la.request('GET', `Patient/${plan.nhsNumber}`)).body, { name: [{ family: 'Renamed' }] });
  t.match((await otherLa.request('GET', `Patient/${plan.nhsNumber}`)).body, {
    birthDate: '2018-01-02',
    name: [{ family: 'Elsewhere' }],
  });
});

t.test('the birth date of one authority does not end the plans of another', async (t) => {
  const plan = freshPlan();
  await submit(otherLa, plan);
  const adult = { ...plan, birthDate: '2000-01-01' };
  t.equal((await la.request('POST', 'Patient', buildPatient(adult))).status, 201);
  const refused = await la.request('POST', 'Flag', buildFlag({ ...adult, reference: 'adult' }));
  t.match(refused, { status: 422, body: { issue: [{ expression: ['Flag.subject'] }] } });
  t.match(await seenByNhs(plan.nhsNumber), [{ status: 'active' }]);
  await submit(la, {
    ...plan,
    birthDate: '2008-01-01',
    kind: kindOf('LAC'),
    end: '2025-12-31',
    reference: 'ended-by-age',
  });
  const seen = (await seenByNhs(plan.nhsNumber)).map((flag) => [flag.code.coding?.[0]?.code, flag.status]);
  t.strictSame(new Set(seen.map(String)), new Set([`${plan.kind.code},active`, `${kindOf('LAC').code},inactive`]));
});

t.test('withdrawal, by deletion and as entered in error', async (t) => {
  const unknown = freshPlan();
  const comparable = async (nhsNumber: string): Promise<string> => {
    const answer = await epr.request('GET', `Flag?patient=${nhsNumber}`);
    return JSON.stringify([answer.status, answer.body]).replaceAll(nhsNumber, 'N');
  };
  const read = async (client: FhirClient, path: string): Promise<string> => {
    const answer = await client.request('GET', path);
    const headers = [...answer.headers].filter(([name]) => !/^(x-request-id|date)$/.test(name));
    return JSON.stringify([answer.status, headers, answer.body]);
  };
  const deleted = freshPlan();
  const [deletedId] = await submit(la, deleted);
  const { id, headers } = namedRequest();
  const gone = await la.request('DELETE', `Flag/${deletedId}`, undefined, headers);
  t.strictSame([gone.status, gone.headers.get('etag'), gone.body], [204, 'W/"2"', undefined]);
  t.match(trail.of(id), [{ subtype: 'delete', patients: [deleted.nhsNumber], custodians: [ownId] }]);
  t.equal((await la.request('GET', `Flag/${deletedId}`)).status, 410);
  t.equal((await la.request('PUT', `Flag/${deletedId}`, { ...buildFlag(deleted), id: deletedId })).status, 410);
  t.match(await la.request('GET', `Flag/${deletedId}/_history/1`), { status: 200, body: { status: 'active' } });
  t.equal((await la.request('GET', `Flag/${deletedId}/_history/2`)).status, 410);
  t.equal((await la.request('GET', `Flag/${deletedId}/_history/3`)).status, 404);
  t.match(resourcesOf(await la.request<Bundle>('GET', `Flag?patient=${deleted.nhsNumber}`)), []);

  const mistaken = freshPlan();
  const [mistakenId] = await submit(la, mistaken);
  const withdrawn = amended(mistaken, { status: 'entered-in-error' });
  t.equal((await la.request('PUT', `Flag/${mistakenId}`, { ...withdrawn, id: mistakenId })).status, 200);
  t.match((await la.request('GET', `Flag/${mistakenId}`)).body, { status: 'entered-in-error' });
  t.match((await la.request('GET', `Flag/${mistakenId}/_history/1`)).body, { status: 'active' });

  for (const [name, plan, flagId] of [
    ['deleted', deleted, deletedId],
    ['entered in error', mistaken, mistakenId],
  ] as const) {
    t.equal(
      await comparable(plan.nhsNumber),
      await comparable(unknown.nhsNumber),
      `${name}: search as for an unknown number`,
    );
    t.equal(
      await read(epr, `Patient/${plan.nhsNumber}`),
      await read(epr, `Patient/${unknown.nhsNumber}`),
      `${name}: Patient`,
    );
    const absent = '00000000-0000-4000-8000-000000000000';
    t.equal(await read(epr, `Flag/${flagId}`), await read(epr, `Flag/${absent}`), `${name}: the Flag itself`);
    t.equal(
      await read(otherLa, `Flag/${flagId}`),
      await read(otherLa, `Flag/${absent}`),
      `${name}: for another authority`,
    );
    t.equal((await la.request('GET', `Patient/${plan.nhsNumber}`)).status, 404, 'no plan, no Patient');
  }
  const revived = { ...buildFlag(mistaken), id: mistakenId };
  t.equal((await la.request('PUT', `Flag/${mistakenId}`, revived)).status, 422, 'not without If-Match');
  const again = await la.request('PUT', `Flag/${mistakenId}`, revived, { 'if-match': 'W/"2"' });
  t.equal(again.status, 200, 'a withdrawal by mistake is put right');
  t.equal((await seenByNhs(mistaken.nhsNumber)).length, 1);
});

t.test(
  'scopes on writes: a match is read only with the scope to read, a submission creates only with the scope to create',
  async (t) => {
    const plan = freshPlan();
    await submit(la, plan);
    const [authority] = world.registry.authorities;
    if (authority === undefined) throw new Error('there is an authority');
    const withScope = (scope: string) => openFhirClient(baseUrl, { ...authority, scope });
    const ifNoneExist = { 'if-none-exist': `identifier=https://fhir.nhs.uk/Id/nhs-number|${plan.nhsNumber}` };
    const { id, headers } = namedRequest();
    const hit = await withScope('system/Patient.c').request('POST', 'Patient', buildPatient(plan), {
      ...ifNoneExist,
      ...headers,
    });
    t.strictSame([hit.status, hit.body], [200, undefined], 'no body without the scope to read');
    t.match(trail.of(id), [{ subtype: 'read', outcome: '0' }], 'nothing was created');
    const other = freshPlan();
    const put = await withScope('system/Patient.u').request('PUT', `Patient/${other.nhsNumber}`, buildPatient(other));
    t.equal(put.status, 403, 'an update that would create');
    const renamed = buildPatient({ ...plan, family: 'Renamed' });
    t.equal(
      (await withScope('system/Patient.c').request('POST', 'Patient', renamed)).status,
      403,
      'a create that would update',
    );
  },
);

t.test("meta is the server's own", async (t) => {
  const plan = freshPlan();
  const meta = { profile: ['https://example.org/what-a-plan-says'] };
  await la.request('POST', 'Patient', buildPatient(plan));
  const created = await la.request<Flag>('POST', 'Flag', { ...buildFlag(plan), meta });
  t.equal(created.status, 201);
  t.strictSame(Object.keys(created.body.meta ?? {}), ['versionId', 'lastUpdated']);
});
