import type { Bundle, Flag, OperationOutcome, Organization, Patient } from 'fhir/r4.js';
import t from 'tap';
import { addMonths, londonDate } from '../../src/cpis/london-date.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import {
  endedPlan,
  freshNhsNumber,
  freshPlan,
  kindCodes,
  kindOf,
  referenceSystem,
  resourcesOf,
  submit,
} from '../support/submissions.ts';

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, epr, otherEpr, ownId, otherId } = world;
const nhs = 'https://fhir.nhs.uk/Id/nhs-number';

const search = (client: FhirClient, path: string, headers?: Record<string, string>) =>
  client.request<Bundle>('GET', path, undefined, headers);
const idsOf = (answer: { readonly body: Bundle }): string[] =>
  resourcesOf(answer as Parameters<typeof resourcesOf>[0]).map((resource) => resource.id ?? '');
const linkOf = ({ body }: { readonly body: Bundle }, relation: string): string | undefined =>
  body.link?.find((link) => link.relation === relation)?.url;
const pathOf = (url: string | undefined): string => (url ?? '').slice(baseUrl.length + 1);

t.test('every form of naming the patient finds the same', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  const number = plan.nhsNumber;
  const identifier = encodeURIComponent(`${nhs}|${number}`);
  const forms = [
    `patient=${number}`,
    `patient=Patient/${number}`,
    `patient=${encodeURIComponent(`${baseUrl}/Patient/${number}`)}`,
    `patient:Patient=${number}`,
    `patient:identifier=${identifier}`,
    `patient.identifier=${identifier}`,
    `patient:Patient.identifier=${identifier}`,
    `subject=${number}`,
    `subject=Patient/${number}`,
    `subject:Patient=${number}`,
    `subject:identifier=${identifier}`,
    `subject.identifier=${identifier}`,
    `patient=${number}&_format=json`,
    `patient=${number}&code=${kindCodes.CPP}`,
  ];
  for (const form of forms) {
    for (const client of [epr, la]) {
      const { id: requestId, headers } = namedRequest();
      const answer = await search(client, `Flag?${form}`, headers);
      t.strictSame([answer.status, idsOf(answer), answer.body.total], [200, [id], 1], form);
      t.match(
        trail.of(requestId),
        [{ patients: [number], outcome: '0', custodians: [ownId] }],
        'audited on the patient',
      );
    }
  }
  const form = await fetch(`${baseUrl}/Flag/_search`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await epr.token()}` },
    body: new URLSearchParams({ patient: number }),
  });
  t.match(await form.json(), { type: 'searchset', total: 1, entry: [{ resource: { id } }, {}] });
});

t.test('the eleven data items are in the one answer', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const [lacId] = await submit(otherLa, { ...plan, kind: kindOf('LAC'), start: '2025-04-01', end: '2026-05-02' });
  const answer = await search(epr, `Flag?patient=${plan.nhsNumber}`);
  t.strictSame(new Set(idsOf(answer)), new Set([id, lacId]));
  const flags = resourcesOf<Flag>(answer);
  t.match(flags.find((flag) => flag.id === lacId)?.period, { start: '2025-04-01', end: '2026-05-02' });
  t.ok(flags.every((flag) => flag.subject.reference === `Patient/${plan.nhsNumber}`));
  const organizations = resourcesOf<Organization>(answer, 'include');
  t.strictSame(organizations.map((organization) => organization.id).sort(), [ownId, otherId]);
  for (const organization of organizations) {
    t.match(organization, { name: /synthetic/, identifier: [{}], telecom: [{}, {}], contact: [{}, {}] });
    const telephones = new Set(
      organization.contact?.flatMap((contact) => contact.telecom ?? []).map((point) => point.value),
    );
    t.equal(telephones.size, 2, 'office hours and emergency duty team');
  }
  t.match(answer.body.entry?.[0], { fullUrl: new RegExp(`^${baseUrl}/Flag/`), search: { mode: 'match' } });
  t.equal(answer.body.total, 2, 'includes do not count');
  t.equal(linkOf(answer, 'self'), `${baseUrl}/Flag?patient=${plan.nhsNumber}`);
});

t.test('no plan, and a number that nobody knows: the same bytes', async (t) => {
  const submitted = freshPlan();
  await la.request('POST', 'Patient', buildPatient(submitted));
  const ended = freshPlan();
  const today = londonDate(Date.now());
  await submit(la, { ...ended, start: '2020-01-01', end: addMonths(today, -14) });
  const unknown = freshNhsNumber();
  const raw = async (path: string, number: string): Promise<string> => {
    const response = await fetch(`${baseUrl}/${path}`, { headers: { authorization: `Bearer ${await epr.token()}` } });
    const headers = [...response.headers].filter(([name]) => !/^(date|x-request-id)$/.test(name));
    return `${response.status} ${JSON.stringify(headers)} ${await response.text()}`.replaceAll(number, '<number>');
  };
  for (const [name, number] of [
    ['submitted without a plan', submitted.nhsNumber],
    ['ended long ago', ended.nhsNumber],
  ] as const) {
    for (const query of [
      'Flag?patient=N',
      'Flag?patient=N&_summary=count',
      'Flag?patient=N&_include=Flag:patient',
      'Patient/N',
    ]) {
      const path = (of: string): string => query.replace('N', of);
      t.equal(await raw(path(number), number), await raw(path(unknown), unknown), `${name}: ${query}`);
    }
  }
  const { id, headers } = namedRequest();
  const empty = await search(epr, `Flag?patient=${unknown}`, headers);
  t.strictSame(empty.body, {
    resourceType: 'Bundle',
    type: 'searchset',
    total: 0,
    link: [{ relation: 'self', url: `${baseUrl}/Flag?patient=${unknown}` }],
  });
  t.match(trail.of(id), [{ patients: [unknown], custodians: [], owed: [], outcome: '0' }], 'and audited');
});

t.test('an ended plan: visible to the day', async (t) => {
  const today = londonDate(Date.now());
  const edge = addMonths(today, -12);
  const dayBefore = new Date(Date.parse(edge) - 86_400_000).toISOString().slice(0, 10);
  const [kept, past] = [
    freshPlan({ start: '2020-01-01', end: edge }),
    freshPlan({ start: '2020-01-01', end: dayBefore }),
  ];
  const [keptId, pastId] = await submit(la, kept, past);
  t.strictSame(idsOf(await search(epr, `Flag?patient=${kept.nhsNumber}`)), [keptId]);
  t.equal((await epr.request('GET', `Flag/${keptId}`)).status, 200);
  t.equal((await epr.request('GET', `Patient/${kept.nhsNumber}`)).status, 200);
  t.strictSame(idsOf(await search(epr, `Flag?patient=${past.nhsNumber}`)), []);
  t.equal((await epr.request('GET', `Flag/${pastId}`)).status, 404);
  t.equal((await epr.request('GET', `Patient/${past.nhsNumber}`)).status, 404);
  t.strictSame(idsOf(await search(la, `Flag?patient=${past.nhsNumber}`)), [pastId], 'its authority sees it');
});

t.test('a care provider names exactly one patient', async (t) => {
  const [plan, other] = [freshPlan(), freshPlan()];
  const [id] = await submit(la, plan, other);
  const [a, b] = [plan.nhsNumber, other.nhsNumber];
  const refused = [
    'Flag',
    'Flag?status=active',
    `Flag?_id=${id}`,
    'Flag?patient:missing=false',
    'Flag?patient=',
    `Flag?patient=${a},${b}`,
    `Flag?patient=${a}&patient=${b}`,
    `Flag?patient=${a}&subject=${a}`,
    `Flag?patient=${a},${a}`,
    `Flag?patient:identifier=${encodeURIComponent(`https://elsewhere.example.org|${a}`)}`,
    `Flag?patient=${encodeURIComponent(`https://elsewhere.example.org/Patient/${a}`)}`,
    `Flag?author=Organization/${ownId}`,
    `Flag?identifier=${referenceSystem}|${plan.reference}`,
    'AuditEvent',
    'AuditEvent?date=ge2026-01-01',
  ];
  for (const path of refused) {
    const { id: requestId, headers } = namedRequest();
    const answer = await search(epr, path, headers);
    t.equal(answer.status, 400, path);
    t.match(answer.body, { resourceType: 'OperationOutcome' });
    t.match(trail.of(requestId), [{ outcome: '4', owed: [], patients: [] }]);
  }
  for (const number of ['9990000019', '999000001', '99900000180', 'abc', '٩٩٩٠٠٠٠٠١٨', "9990000018'--"]) {
    for (const client of [epr, la]) {
      const answer = await search(client, `Flag?patient=${encodeURIComponent(number)}`);
      t.equal(answer.status, 400, number);
      t.notOk(JSON.stringify(answer.body).includes(number), 'not repeated');
    }
  }
  const bad = await search(epr, 'Flag?patient=9990000019');
  t.match(bad.body, {
    issue: [{ code: 'value', expression: ['patient'], details: { coding: [{ code: 'INVALID_NHS_NUMBER' }] } }],
  });
});

t.test('unknown parameters: refused for care providers and under strict, told of otherwise', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  const number = plan.nhsNumber;
  for (const handling of [undefined, 'handling=lenient', 'handling=strict']) {
    const headers: Record<string, string> = handling === undefined ? {} : { prefer: handling };
    const byEpr = await search(epr, `Flag?patient=${number}&nonsense=1`, headers);
    t.equal(byEpr.status, 400, `care provider, ${handling}`);
    const byLa = await search(la, `Flag?patient=${number}&nonsense=1`, headers);
    if (handling === 'handling=strict') {
      t.match(byLa, { status: 400, body: { issue: [{ code: 'not-supported', expression: ['nonsense'] }] } });
      continue;
    }
    t.strictSame(idsOf(byLa), [id]);
    t.match(resourcesOf<never>(byLa, 'outcome'), [{ issue: [{ severity: 'warning', expression: ['nonsense'] }] }]);
    t.equal(linkOf(byLa, 'self'), `${baseUrl}/Flag?patient=${number}`, 'self is what was understood');
  }
  for (const handling of ['handling=lenient', 'handling=strict']) {
    const { body } = await search(la, `Flag?patient=${number}&N${number}=1`, { prefer: handling });
    const outcome = body.resourceType === 'Bundle' ? (body.entry ?? []).map((entry) => entry.resource) : body;
    t.match(JSON.stringify(outcome), /"expression":\["http.parameter"\]/, handling);
    t.notMatch(JSON.stringify(outcome), new RegExp(`N${number}`), 'a name that may hold an NHS number is not repeated');
  }
  t.strictSame(idsOf(await search(la, `Flag?patient=${number}&_summary=false`)), [id]);
  const always400 = [
    `Flag?patient:nonsense=${number}`,
    `Flag?patient:exact=${number}`,
    `Flag?patient.nonsense=Testchild`,
    'Flag?_text=x',
    'Flag?_content=x',
    'Flag?_query=x',
    'Flag?_filter=status eq active',
    'Flag?_list=x',
    'Flag?_total=all',
    'Flag?status:contains=act',
    'Flag?date=yesterday',
    'Flag?date=ge2025-13-01',
    'Flag?_sort=nonsense',
    'Flag?_count=-1',
    'Flag?_count=abc',
    'Flag?_summary=nonsense',
    'Flag?_include=Flag:nonsense',
    'Flag?_include=*',
    'Flag?_include:recurse=Flag:patient',
    'Flag?_revinclude=Flag:patient',
    'Flag?_cursor=abc',
  ];
  for (const path of always400) t.equal((await search(la, path)).status, 400, path);
  const oracles = [
    '_has:Flag:patient:code=1',
    '_revinclude=Flag:patient',
    '_filter=status eq active',
    '_text=x',
    '_content=x',
    '_query=x',
    '_security=x',
    '_contained=true',
    '_list=x',
  ];
  for (const oracle of oracles) {
    const [name = '', value = ''] = oracle.split('=');
    const query = `${name}=${encodeURIComponent(value)}`;
    t.equal((await search(epr, `Flag?patient=${number}&${query}`)).status, 400, oracle);
    t.equal((await search(la, `Flag?patient=${number}&${query}`, { prefer: 'handling=strict' })).status, 400, oracle);
  }
});

t.test('each parameter narrows', async (t) => {
  const nhsNumber = freshNhsNumber();
  const open = freshPlan({ nhsNumber, start: '2024-02-29' });
  const ended = freshPlan({ nhsNumber, kind: kindOf('LAC'), start: '2025-05-01', end: '2026-06-01' });
  const [openId, endedId] = await submit(la, open, ended);
  const finds = async (query: string): Promise<(string | undefined)[]> =>
    idsOf(await search(la, `Flag?patient=${nhsNumber}&${query}&_sort=date`));
  t.strictSame(await finds('status=active'), [openId]);
  t.strictSame(await finds('status:not=active'), [endedId]);
  t.strictSame(await finds('status=active,inactive'), [openId, endedId]);
  t.strictSame(await finds(`code=http://snomed.info/sct|${kindCodes.LAC}`), [endedId]);
  t.strictSame(await finds(`code=${kindCodes.CPP}`), [openId]);
  t.strictSame(await finds('date=lt2024-12-31'), [openId]);
  t.strictSame(await finds('date=ge2026-07-01'), [openId], 'an open period goes on');
  t.strictSame(await finds(`identifier=${referenceSystem}|${open.reference}`), [openId]);
  t.strictSame(await finds(`identifier=${ended.reference}`), [endedId]);
  t.strictSame(await finds(`_id=${openId}`), [openId]);
  t.strictSame(await finds(`author=Organization/${ownId}`), [openId, endedId]);
  t.strictSame(await finds(`author=${otherId}`), []);
  t.strictSame(await finds('_lastUpdated=lt2026-01-01'), []);
  t.strictSame(await finds('_lastUpdated=ge2026-01-01'), [openId, endedId]);
  t.strictSame(
    idsOf(await search(la, `Flag?patient=${nhsNumber}&_sort=-date`)),
    [openId, endedId],
    'by the end of the period',
  );
  t.strictSame(idsOf(await search(la, `Flag?patient=${nhsNumber}&_sort=status`)), [openId, endedId]);

  const { id, headers } = namedRequest();
  const included = await search(la, `Flag?patient=${nhsNumber}&_include=Flag:patient&_include=Flag:author`, headers);
  t.strictSame(
    resourcesOf<Patient>(included, 'include')
      .map((resource) => `${resource.resourceType}/${resource.id}`)
      .sort(),
    [`Organization/${ownId}`, `Patient/${nhsNumber}`],
  );
  t.match(trail.of(id), [{ patients: [nhsNumber] }]);
  const byEpr = await search(epr, `Flag?patient=${nhsNumber}&_include=Flag:patient`);
  t.strictSame(
    resourcesOf<Patient>(byEpr, 'include').map((resource) => resource.resourceType),
    ['Organization', 'Patient'],
  );
});

t.test('_summary=count and _count=0: a number, no resource, audited and notified', async (t) => {
  const plan = freshPlan();
  await submit(la, plan, freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') }));
  for (const query of ['_summary=count', '_count=0']) {
    const { id, headers } = namedRequest();
    const answer = await search(epr, `Flag?patient=${plan.nhsNumber}&${query}`, headers);
    t.match(answer.body, { total: 2 }, query);
    t.strictSame([answer.body.entry, linkOf(answer, 'next')], [undefined, undefined]);
    t.match(trail.of(id), [{ patients: [plan.nhsNumber], owed: [ownId] }], 'a count tells of a plan');
  }
  const filtered = namedRequest();
  await search(epr, `Flag?patient=${plan.nhsNumber}&code=${kindCodes.UCPP}`, filtered.headers);
  t.match(trail.of(filtered.id), [{ owed: [ownId] }], 'and so does a search that finds nothing of what is there');
});

t.test('paging: stable under inserts, audited page by page, cursors bound to their client', async (t) => {
  const nhsNumber = freshNhsNumber();
  const plans = Array.from({ length: 7 }, (_, index) => endedPlan(index + 1, { nhsNumber }));
  const ids = await submit(la, ...plans);
  const first = await search(epr, `Flag?patient=${nhsNumber}&_sort=date&_count=3`);
  t.strictSame([idsOf(first), first.body.total], [ids.slice(0, 3), 7]);
  const [early = '', late = ''] = await submit(la, endedPlan(0, { nhsNumber }), endedPlan(8, { nhsNumber }));
  const next = pathOf(linkOf(first, 'next'));
  const page = namedRequest();
  const second = await search(epr, next, page.headers);
  t.strictSame(idsOf(second), ids.slice(3, 6), 'neither repeated nor skipped');
  t.match(trail.of(page.id), [{ subtype: 'search-type', patients: [nhsNumber], owed: [ownId] }], 'a page is a search');
  const third = await search(epr, pathOf(linkOf(second, 'next')));
  t.strictSame([idsOf(third), linkOf(third, 'next')], [[ids[6], late], undefined]);
  t.notOk([...ids, late].includes(early));
  t.strictSame(
    resourcesOf<Organization>(second, 'include').map((organization) => organization.id),
    [ownId],
  );

  t.equal((await search(otherEpr, next)).status, 403, "another client's cursor");
  t.equal((await search(la, next)).status, 403);
  const url = new URL(`${baseUrl}/${next}`);
  const cursor = url.searchParams.get('_cursor') ?? '';
  const withCursor = (text: string, sort = 'date'): string =>
    `Flag?patient=${nhsNumber}&_sort=${sort}&_count=3&_cursor=${encodeURIComponent(text)}`;
  t.equal((await search(epr, withCursor(cursor))).status, 200);
  const flip = (text: string, at: number): string =>
    text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
  for (const tampered of [
    flip(cursor, 0),
    flip(cursor, 20),
    flip(cursor, cursor.length >> 1),
    cursor.slice(0, -4),
    `${cursor}AAAA`,
    '',
    'A',
    '!',
  ]) {
    const answer = await search(epr, withCursor(tampered));
    t.equal(answer.status, 400, `tampered: ${answer.status}`);
  }
  t.not((await search(epr, withCursor(cursor, '-date'))).status, 200, 'another order');
  const elsewhere = await search(
    epr,
    `Flag?patient=${freshNhsNumber()}&_sort=date&_count=3&_cursor=${encodeURIComponent(cursor)}`,
  );
  t.not(elsewhere.status, 200, 'another patient');
  t.equal((await search(epr, `${withCursor(cursor)}&_cursor=x`)).status, 400);
});

t.test('Patient: by identifier, family, birth date, for its authority', async (t) => {
  const plan = freshPlan({ family: 'Péñafiel', birthDate: '2016-07-08' });
  await submit(la, plan);
  const number = plan.nhsNumber;
  const queries = [
    `identifier=${encodeURIComponent(`${nhs}|${number}`)}`,
    `identifier=${number}`,
    `_id=${number}`,
    'family=penaf',
    `family:exact=${encodeURIComponent('Péñafiel')}`,
    'family:contains=afi',
    'birthdate=2016-07-08',
    'birthdate=ge2016-07&birthdate=lt2016-08&_sort=birthdate',
  ];
  for (const query of queries) {
    const { id, headers } = namedRequest();
    t.strictSame(idsOf(await search(la, `Patient?${query}`, headers)), [number], query);
    t.match(trail.of(id), [{ patients: [number], custodians: [ownId], owed: [] }], 'names who was disclosed');
    t.strictSame(idsOf(await search(otherLa, `Patient?${query}`)), [], `${query}: not for another authority`);
  }
  t.equal((await search(la, `Patient?identifier=${encodeURIComponent(`${nhs}|9990000019`)}`)).status, 400);
  t.equal((await search(epr, `Patient?identifier=${number}`)).status, 403, 'a care provider reads by number only');
});

t.test('Organization: the registry, for everybody', async (t) => {
  for (const client of [la, epr, world.operator]) {
    const { id, headers } = namedRequest();
    const read = await client.request<Organization>('GET', `Organization/${ownId}`, undefined, headers);
    t.match(read, { status: 200, body: { resourceType: 'Organization', id: ownId, name: 'Northmoor (synthetic)' } });
    t.match(trail.of(id), [{ subtype: 'read', outcome: '0', patients: [], owed: [] }]);
    t.strictSame(
      idsOf(await search(client, 'Organization?name=eastv')),
      [otherId, 'ZZH02'].filter((found) => found !== ''),
    );
    const [code] = read.body.identifier ?? [];
    const byCode = await search(
      client,
      `Organization?identifier=${encodeURIComponent(`${code?.system}|${code?.value}`)}`,
    );
    t.strictSame(idsOf(byCode), [ownId]);
    t.equal((await client.request('GET', 'Organization/E99999999')).status, 404);
  }
  const pages: string[] = [];
  let path = 'Organization?_count=2&_sort=name';
  while (path !== '') {
    const page = await search(la, path);
    pages.push(...idsOf(page));
    path = pathOf(linkOf(page, 'next'));
  }
  t.equal(new Set(pages).size, 6, 'all pages, each once');
  t.equal(pages.length, 6);
});

t.test('an authority sees its own plans only, by whatever criterion', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  const [theirs] = await submit(otherLa, { ...plan, reference: plan.reference });
  for (const query of [
    `patient=${plan.nhsNumber}`,
    `identifier=${referenceSystem}|${plan.reference}`,
    `_id=${id},${theirs}`,
    `patient=${plan.nhsNumber}&author=${ownId},${otherId}`,
    `patient=${plan.nhsNumber}&_summary=count`,
  ]) {
    const answer = await search(la, `Flag?${query}`);
    t.equal(answer.body.total, 1, query);
    if (!query.includes('count')) t.strictSame(idsOf(answer), [id], query);
  }
  t.strictSame(idsOf(await search(la, `Flag?_id=${theirs}`)), []);
  t.equal((await search(la, `Flag?patient=${plan.nhsNumber}&author=${otherId}`)).body.total, 0);
  const everything = await search(otherLa, 'Flag?_count=250');
  t.ok(resourcesOf<Flag>(everything).every((flag) => flag.author?.reference === `Organization/${otherId}`));
});

t.test('HEAD, conditional reads and caches', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  for (const headers of [{ 'if-none-match': 'W/"1"' }, { 'if-modified-since': new Date().toUTCString() }]) {
    const named = namedRequest();
    const answer = await la.request<Flag>('GET', `Flag/${id}`, undefined, { ...named.headers, ...headers });
    t.strictSame([answer.status, answer.headers.get('cache-control')], [304, 'no-store']);
    t.equal(trail.of(named.id).length, 1, 'no unaudited replay');
  }
  const named = namedRequest();
  const head = await fetch(`${baseUrl}/Flag?patient=${plan.nhsNumber}`, {
    method: 'HEAD',
    headers: { ...named.headers, authorization: `Bearer ${await epr.token()}` },
  });
  t.strictSame([head.status, await head.text()], [200, '']);
  t.match(trail.of(named.id), [{ owed: [ownId] }], 'HEAD tells of a plan by its length');
  const outcome = await la.request<OperationOutcome>('GET', 'Flag/00000000-0000-4000-8000-000000000000');
  t.match(outcome, { status: 404, body: { issue: [{ code: 'not-found' }] } });
});
