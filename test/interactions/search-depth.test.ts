import { join } from 'node:path';
import type { Bundle, Flag, OperationOutcome } from 'fhir/r4.js';
import t from 'tap';
import { openSigningKey } from '../../src/auth/signing-key.ts';
import type { Caller } from '../../src/cpis/caller.ts';
import { renderPageLinks } from '../../src/interactions/resource/page-links.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import {
  freshNhsNumber,
  freshPlan,
  kindCodes,
  kindOf,
  referenceSystem,
  resourcesOf,
  submit,
} from '../support/submissions.ts';

const world = await openWorld(t, { settings: { CPIS_SEARCH_MAX_COUNT: '1000' } });
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, thirdLa: emptyLa, epr, ownId, otherId } = world;
const nhs = 'https://fhir.nhs.uk/Id/nhs-number';

const search = (client: FhirClient, path: string, headers?: Record<string, string>) =>
  client.request<Bundle>('GET', path, undefined, headers);
const strict = { prefer: 'handling=strict' };
const idsOf = (answer: { readonly body: Bundle }): string[] =>
  resourcesOf(answer as Parameters<typeof resourcesOf>[0]).map((resource) => resource.id ?? '');
const includedOf = (answer: { readonly body: Bundle }): string[] =>
  resourcesOf(answer as Parameters<typeof resourcesOf>[0], 'include')
    .map((resource) => `${resource.resourceType}/${resource.id}`)
    .sort();
const linkOf = ({ body }: { readonly body: Bundle }, relation: string): string | undefined =>
  body.link?.find((link) => link.relation === relation)?.url;
const pathOf = (url: string | undefined): string => (url ?? '').slice(baseUrl.length + 1);

const shared = freshNhsNumber();
const ada = freshPlan({ nhsNumber: shared, family: 'Ångström', given: 'Ada', birthDate: '2016-02-29' });
const bea = freshPlan({ family: 'Ångelsberg', given: 'Bea', birthDate: '2018-05-06', kind: kindOf('LAC') });
const cy = freshPlan({ family: 'Zinc', given: 'Cy', birthDate: '2018-05-07', start: '2025-03-01', end: '2025-06-30' });
const [adaId = '', beaId = '', cyId = ''] = await submit(la, ada, bea, cy);
const [theirAdaId = ''] = await submit(otherLa, { ...ada, kind: kindOf('LAC') });
const hidden = freshPlan({ family: 'Hiddenchild', given: 'Eve', birthDate: '2017-01-01' });
const [hiddenId = ''] = await submit(otherLa, hidden);
const mine = [adaId, beaId, cyId].sort();

t.test('every form of a token, a date, a string and a reference', async (t) => {
  const flags = async (query: string): Promise<string[]> => idsOf(await search(la, `Flag?${query}`, strict)).sort();
  const enc = encodeURIComponent;
  const rows: readonly (readonly [query: string, expected: readonly string[]])[] = [
    [`code=${enc(`http://snomed.info/sct|${kindCodes.LAC}`)}`, [beaId]],
    [`code=${enc('http://snomed.info/sct|')}`, mine],
    [`code=${enc(`|${kindCodes.LAC}`)}`, []],
    [`code:not=${kindCodes.LAC}`, [adaId, cyId]],
    [`code:text=${enc('LOOKED')}`, [beaId]],
    ['code:text=after', []],
    ['code:missing=false', mine],
    ['code:missing=true', []],
    [`identifier:of-type=${enc('http://terminology.hl7.org/CodeSystem/v2-0203|MR|x')}`, []],
    [`identifier=${enc(`${referenceSystem}|${ada.reference},${referenceSystem}|${cy.reference}`)}`, [adaId, cyId]],
    [`identifier=${enc(`${referenceSystem}|`)}&status=inactive`, [cyId]],
    [`identifier=${enc(`${referenceSystem}|${ada.reference}\\,x`)}`, []],
    ['date=2025-03', []],
    ['date=eq2025', [cyId]],
    ['date=ne2025', [adaId, beaId]],
    ['date=gt2025-06-30', [adaId, beaId]],
    ['date=ge2025-06-30', mine],
    ['date=lt2025-03-01', [adaId, beaId]],
    ['date=le2025-03-01', mine],
    ['date=sa2025-02-28', [cyId]],
    ['date=eb2025-07-01', [cyId]],
    ['date=ap2025-04', mine],
    ['date=eb2025-07-01T00:00:00%2B01:00', []],
    ['date=eb2025-07-01T01:00:00%2B01:00', [cyId]],
    ['date=sa2025-02-28T23:59:59.999Z', [cyId]],
    ['date=gt2025-06-30&date=lt2099', [adaId, beaId]],
    ['date=eb2025-07-01,sa2099', [cyId]],
    [`author=${ownId}`, mine],
    [`author:Organization=${ownId}`, mine],
    [`author=${enc(`${baseUrl}/Organization/${ownId}`)}`, mine],
    [`author=Organization/${otherId}`, []],
    [`patient:missing=false`, mine],
    [`_lastUpdated=ap${new Date().toISOString().slice(0, 10)}`, mine],
    [`_id=${adaId},${theirAdaId}`, [adaId]],
  ];
  for (const [query, expected] of rows) t.strictSame(await flags(query), [...expected].sort(), query);
  const patients = async (query: string): Promise<string[]> =>
    idsOf(await search(la, `Patient?${query}`, strict)).sort();
  for (const [query, expected] of [
    ['family=ang', [shared, bea.nhsNumber]],
    [`family=${enc('ÅNGSTRÖM')}`, [shared]],
    ['family:contains=gst', [shared]],
    [`family:exact=${enc('Ångström')}`, [shared]],
    ['family:exact=Angstrom', []],
    ['given=ad', [shared]],
    ['name=be', [bea.nhsNumber]],
    ['name:exact=Cy', [cy.nhsNumber]],
    ['gender:missing=true', [shared, bea.nhsNumber, cy.nhsNumber]],
    ['birthdate=2018-05', [bea.nhsNumber, cy.nhsNumber]],
  ] as const) {
    t.strictSame(await patients(query), [...expected].sort(), query);
  }
  for (const path of [
    `Flag?patient=Patient/${shared}/_history/1`,
    'Flag?code:in=http://x',
    'Flag?status:text=active',
    'Flag?identifier=a\\b',
    'AuditEvent?type:text=rest',
    'AuditEvent?agent-name:exact=x',
    'AuditEvent?agent-name:contains=x',
    'AuditEvent?address=x',
    'AuditEvent?entity:identifier=x',
    'AuditEvent?_sort=agent',
  ]) {
    t.equal((await search(la, path, strict)).status, 400, path);
  }
});

t.test('chains and _has: on what the authority may see at the other end', async (t) => {
  const identifier = encodeURIComponent(`${nhs}|${shared}`);
  const organisation = await la.request<{ identifier: { system: string; value: string }[] }>(
    'GET',
    `Organization/${ownId}`,
  );
  const [code] = organisation.body.identifier;
  const rows: readonly (readonly [query: string, expected: readonly string[]])[] = [
    [`Flag?patient:Patient.identifier=${identifier}`, [adaId]],
    [`Flag?patient.identifier=${identifier}`, [adaId]],
    [`Flag?author.identifier=${encodeURIComponent(`${code?.system}|${code?.value}`)}`, mine],
    ['Flag?author.name=northm', mine],
    ['Flag?author:Organization.name=eastv', []],
    ['Flag?patient.birthdate=2018-05', [beaId, cyId]],
    ['Flag?patient.family=ang&patient.given=bea', [beaId]],
    ['Flag?subject:Patient.family:exact=Zinc', [cyId]],
    ['Flag?patient.family=ang&status=inactive', []],
    [`Flag?patient._id=${shared}`, [adaId]],
    ['Flag?patient.family=hiddenchild', []],
    [`Flag?patient._id=${hidden.nhsNumber}`, []],
    ['Patient?_has:Flag:patient:status=inactive', [cy.nhsNumber]],
    [`Patient?_has:Flag:subject:code=${kindCodes.LAC}`, [bea.nhsNumber]],
    [`Patient?_has:Flag:patient:author=${otherId}`, []],
    [`Patient?_has:Flag:patient:_id=${hiddenId},${theirAdaId}`, []],
    ['Patient?_has:Flag:patient:status=active&family=angs', [shared]],
  ];
  for (const [path, expected] of rows) {
    const { id, headers } = namedRequest();
    const answer = await search(la, path, { ...headers, ...strict });
    t.strictSame([answer.status, idsOf(answer).sort()], [200, [...expected].sort()], path);
    const audited = trail.of(id);
    t.equal(audited.length, 1, 'one access, one AuditEvent');
    t.equal(new Set(audited[0]?.patients).size, new Set(expected).size || (path.includes('identifier') ? 1 : 0), path);
  }
  for (const path of [
    `Flag?patient=${shared}&patient.family=ang`,
    `Flag?patient=${shared}&_revinclude:iterate=Flag:patient`,
    `Flag?patient=${shared}&_has:Flag:patient:status=active`,
    `Flag?patient.birthdate=2016`,
    `Flag?patient=${shared}&author.name=north`,
  ]) {
    t.equal((await search(epr, path)).status, 400, `care provider: ${path}`);
  }
  const conditional = await la.request<OperationOutcome>('PUT', 'Flag?patient.family=ang', { resourceType: 'Flag' });
  t.equal(conditional.status, 400, 'no chain in a conditional interaction');
});

t.test('_include and _revinclude, with :iterate, each resource once', async (t) => {
  const rows: readonly (readonly [client: FhirClient, path: string, included: readonly string[]])[] = [
    [la, `Flag?_id=${adaId}&_include=Flag:subject`, [`Patient/${shared}`]],
    [la, `Flag?_id=${adaId}&_include=Flag:patient&_include=Flag:subject:Patient`, [`Patient/${shared}`]],
    [la, `Flag?_id=${adaId}&_include=Flag:author:Practitioner`, []],
    [la, `Patient?_id=${shared}&_revinclude=Flag:patient`, [`Flag/${adaId}`]],
    [
      la,
      `Patient?_id=${shared}&_revinclude=Flag:patient&_include:iterate=Flag:author`,
      [`Flag/${adaId}`, `Organization/${ownId}`],
    ],
    [
      otherLa,
      `Patient?_id=${shared}&_revinclude=Flag:subject&_include:iterate=Flag:author`,
      [`Flag/${theirAdaId}`, `Organization/${otherId}`],
    ],
    [la, `Patient?_id=${shared}&_include:iterate=Flag:author`, []],
    [la, `Flag?_id=${adaId}&_include=Flag:patient&_revinclude:iterate=Flag:patient`, [`Patient/${shared}`]],
    [emptyLa, `Patient?_id=${shared}&_revinclude=Flag:patient`, []],
    [
      epr,
      `Flag?patient=${shared}&_include=Flag:patient`,
      [`Organization/${otherId}`, `Organization/${ownId}`, `Patient/${shared}`],
    ],
  ];
  for (const [client, path, included] of rows) {
    const { id, headers } = namedRequest();
    const answer = await search(client, path, headers);
    t.strictSame([answer.status, includedOf(answer)], [200, [...included].sort()], path);
    if (included.length > 0) t.strictSame(trail.of(id)[0]?.patients, [shared], 'whose record was disclosed is audited');
  }
  const [second] = await submit(la, freshPlan({ ...ada, reference: 'second', kind: kindOf('LAC') }));
  const siblings = await search(la, `Flag?_id=${adaId}&_include=Flag:patient&_revinclude:iterate=Flag:patient`);
  t.strictSame(includedOf(siblings), [`Flag/${second}`, `Patient/${shared}`].sort(), 'back from what was included');
  t.equal((await la.request('DELETE', `Flag/${second}`)).status, 204);
  const events = await search(
    la,
    `AuditEvent?entity=Flag/${adaId}&_include=AuditEvent:entity&_include=AuditEvent:agent`,
  );
  t.strictSame(includedOf(events), [`Flag/${adaId}`, `Organization/${ownId}`, `Patient/${shared}`].sort());
  const theirs = await search(la, `AuditEvent?patient=${shared}&_count=250&_include=AuditEvent:entity`);
  t.notOk(
    includedOf(theirs).includes(`Flag/${theirAdaId}`),
    "another authority's Flag is not included by way of an event",
  );
});

t.test('a withdrawn plan leads to its child no more: no include, no chain, no _has', async (t) => {
  const plan = freshPlan({ nhsNumber: shared, family: 'Ångström', birthDate: '2016-02-29', start: '2025-02-01' });
  const [id = ''] = await submit(emptyLa, plan);
  const finds = async (path: string) => {
    const answer = await search(emptyLa, path, strict);
    return [...idsOf(answer), ...includedOf(answer)];
  };
  const include = `Flag?_id=${id}&_include=Flag:patient`;
  const paths = [`Flag?patient.family=angs`, `Patient?_has:Flag:patient:_id=${id}`, `Patient?_id=${shared}`];
  t.strictSame(await finds(include), [id, `Patient/${shared}`]);
  for (const path of paths) t.equal((await finds(path)).length, 1, path);
  const { body } = await emptyLa.request<Flag>('GET', `Flag/${id}`);
  const withdrawn = await emptyLa.request('PUT', `Flag/${id}`, { ...body, status: 'entered-in-error' });
  t.equal(withdrawn.status, 200);
  t.strictSame(await finds(include), [id], 'its own Flag, without the child');
  for (const path of paths) t.strictSame(await finds(path), [], path);
});

t.test('_sort by any parameter, several keys, and _total', async (t) => {
  const sorted = async (type: string, sort: string): Promise<string[]> =>
    idsOf(await search(la, `${type}?_sort=${sort}`, strict));
  t.strictSame(await sorted('Patient', 'family'), [bea.nhsNumber, shared, cy.nhsNumber]);
  t.strictSame(await sorted('Patient', '-birthdate'), [cy.nhsNumber, bea.nhsNumber, shared]);
  t.strictSame(await sorted('Patient', 'gender,-given'), [cy.nhsNumber, bea.nhsNumber, shared]);
  t.strictSame(await sorted('Flag', '-status,code,patient'), [cyId, adaId, beaId]);
  t.strictSame(await sorted('Flag', 'patient'), [adaId, beaId, cyId].sort(byPatient));
  const pages: string[] = [];
  let path = 'Flag?_sort=-author,status,-patient&_count=1';
  while (path !== '') {
    const page = await search(la, path, strict);
    pages.push(...idsOf(page));
    path = pathOf(linkOf(page, 'next'));
  }
  t.strictSame(pages, [...[adaId, beaId].sort(byPatient).reverse(), cyId]);
  const totalOf = async (query: string) => (await search(la, query, strict)).body.total;
  t.equal(await totalOf('Flag?_count=1'), 3);
  t.equal(await totalOf('Flag?_count=1&_total=none'), undefined);
  t.equal(await totalOf('Flag?_count=1&_total=accurate'), 3);
  t.equal(await totalOf('Flag?_count=1&_total=estimate'), 3);
  t.equal(await totalOf('AuditEvent?_count=1'), undefined);
  const events = await search(la, 'AuditEvent?_count=1&_total=accurate', strict);
  const counted = await search(la, 'AuditEvent?_summary=count', strict);
  t.equal((counted.body.total ?? 0) - (events.body.total ?? 0), 1, 'one search lies between the two counts');
  const count = await search(la, 'Flag?_count=0&_total=none', strict);
  t.strictSame([count.body.total, count.body.entry], [3, undefined], '_count=0 asks for the number');
});

function byPatient(a: string, b: string): number {
  const numberOf = (id: string): string =>
    ({ [adaId]: shared, [beaId]: bea.nhsNumber, [cyId]: cy.nhsNumber })[id] ?? '';
  return numberOf(a) < numberOf(b) ? -1 : 1;
}

t.test('links: self says what was done, first begins again, next ends', async (t) => {
  const clamped = await search(la, 'Flag?_count=999999&nonsense=1');
  t.equal(linkOf(clamped, 'self'), `${baseUrl}/Flag?_count=1000`);
  t.equal(linkOf(clamped, 'first'), undefined, 'one page');
  const first = await search(la, 'Flag?_sort=patient&_count=2');
  t.equal(linkOf(first, 'self'), linkOf(first, 'first'));
  const second = await search(la, pathOf(linkOf(first, 'next')));
  t.equal(linkOf(second, 'first'), linkOf(first, 'self'));
  t.equal(linkOf(second, 'self'), linkOf(first, 'next'));
  t.equal(linkOf(second, 'next'), undefined);
  t.equal(second.body.total, 3);
  t.strictSame(idsOf(await search(la, pathOf(linkOf(second, 'self')))), idsOf(second), 'self gives the same page');
});

t.test('links: previous goes back, as far as a cursor remembers', async (t) => {
  const [client, system] = [emptyLa, 'https://la.example.org/previous'];
  await submit(client, ...Array.from({ length: 8 }, () => freshPlan({ referenceSystem: system })));
  const query = `Flag?identifier=${encodeURIComponent(`${system}|`)}&_sort=patient&_count=1`;
  const pages = [await search(client, query)];
  for (let next = linkOf(pages[0] as never, 'next'); next !== undefined; ) {
    const page = await search(client, pathOf(next));
    pages.push(page);
    next = linkOf(page, 'next');
  }
  t.equal(pages.length, 8);
  t.equal(linkOf(pages[0] as never, 'previous'), undefined);
  t.equal(linkOf(pages[1] as never, 'previous'), linkOf(pages[0] as never, 'first'));
  let page = pages[7] as (typeof pages)[0];
  for (const expected of [6, 5, 4, 3, 2]) {
    page = await search(client, pathOf(linkOf(page, 'previous')));
    t.strictSame(idsOf(page), idsOf(pages[expected] as never));
    t.strictSame(idsOf(await search(client, pathOf(linkOf(page, 'next')))), idsOf(pages[expected + 1] as never));
  }
  t.equal(linkOf(page, 'previous'), undefined, 'no further');
  t.equal((await search(otherLa, pathOf(linkOf(pages[7] as never, 'previous')))).status, 403, "another client's");
});

t.test('a cursor expires', async (t) => {
  const [client] = world.registry.authorities;
  if (client === undefined) throw new Error('no client');
  const { cursorKey } = await openSigningKey(join(world.folder, 'data', 'signing-key.json'));
  const asker = { clientId: client.clientId, role: 'authority', organisation: { id: ownId } } as Caller;
  const query = { type: 'Flag', applied: [['_count', '1']] as const, cursor: undefined };
  const nextIssued = (minutesAgo: number): string | undefined => {
    const ports = { baseUrl, cursorKeys: () => [cursorKey] as const, clock: () => Date.now() - minutesAgo * 60_000 };
    return renderPageLinks(query, [''], asker, ports).find(({ relation }) => relation === 'next')?.url;
  };
  t.equal((await search(la, pathOf(nextIssued(59)))).status, 200);
  const expired = await search(la, pathOf(nextIssued(61)));
  t.match(expired, { status: 410, body: { issue: [{ code: 'expired', expression: ['_cursor'] }] } });
});

t.test('no oracle: what is hidden and what is absent answer alike', async (t) => {
  const absent = freshPlan({ family: 'Absentchild' });
  const nowhere = '00000000-0000-4000-8000-000000000000';
  const raw = async (method: string, path: string, swaps: readonly string[], headers: Record<string, string> = {}) => {
    const response = await fetch(`${baseUrl}/${path}`, {
      method,
      headers: { authorization: `Bearer ${await la.token()}`, ...headers },
    });
    const shown = [...response.headers].filter(([name]) => !/^(date|x-request-id)$/.test(name));
    let text = `${response.status} ${JSON.stringify(shown)} ${await response.text()}`;
    for (const swap of swaps) text = text.replaceAll(encodeURIComponent(swap), '<>').replaceAll(swap, '<>');
    return text.replace(/"content-length","\d+"/, '');
  };
  const inHidden = [hidden.nhsNumber, hidden.family, hidden.birthDate, hidden.reference, hiddenId];
  const inAbsent = [absent.nhsNumber, absent.family, '1999-01-01', absent.reference, nowhere];
  const paths: readonly ((number: string, family: string, born: string, reference: string, id: string) => string)[] = [
    (number) => `Flag?patient=${number}`,
    (number) => `Flag?patient=${number}&_total=accurate&_sort=-date,author`,
    (number) => `Flag?patient=${number}&_summary=count`,
    (number) => `Flag?patient.identifier=${encodeURIComponent(`${nhs}|${number}`)}`,
    (number) => `Flag?patient._id=${number}`,
    (_, family) => `Flag?patient.family=${family}&_count=1`,
    (_, _family, born) => `Flag?patient.birthdate=${born}`,
    (_, _family, _born, reference) => `Flag?identifier=${encodeURIComponent(`${referenceSystem}|${reference}`)}`,
    (...parts) => `Flag?_id=${parts[4]}&_include=Flag:patient&_include=Flag:author`,
    (number) => `Patient?_id=${number}&_revinclude=Flag:patient`,
    (number) => `Patient?identifier=${number}&_sort=family`,
    (_, family) => `Patient?family=${family}&_total=accurate`,
    (_, family) => `Patient?family:contains=${family}`,
    (...parts) => `Patient?_has:Flag:patient:_id=${parts[4]}`,
    (_, _family, _born, reference) => `Patient?_has:Flag:patient:identifier=${reference}`,
    (...parts) => `AuditEvent?entity=Flag/${parts[4]}&_total=accurate`,
    (number) => `AuditEvent?patient=${number}&subtype:not=search-type&_include=AuditEvent:entity&_total=accurate`,
    (...parts) => `Flag/${parts[4]}`,
    (number) => `Patient/${number}`,
  ];
  for (const path of paths) {
    const [here, there] = [inHidden, inAbsent] as const;
    const ofHidden = path(...(here as [string, string, string, string, string]));
    const ofAbsent = path(...(there as [string, string, string, string, string]));
    t.equal(await raw('GET', ofHidden, here), await raw('GET', ofAbsent, there), path.toString());
  }
  for (const [method, path] of [
    ['PUT', (reference: string) => `Flag?identifier=${encodeURIComponent(`${referenceSystem}|${reference}`)}`],
    ['DELETE', (_: string, id: string) => `Flag/${id}`],
  ] as const) {
    const answer = (reference: string, id: string, parts: readonly string[]) =>
      raw(method, path(reference, id), parts, { 'content-type': 'application/fhir+json' });
    t.equal(
      await answer(hidden.reference, hiddenId, inHidden),
      await answer(absent.reference, nowhere, inAbsent),
      `${method} ${path.toString()}`,
    );
  }
});

t.test('pages hold what was there all the time, once and in order, while others insert and delete', async (t) => {
  const count = 60;
  const stays = Array.from({ length: count }, (_, i) =>
    freshPlan({
      family: 'Pagechild',
      given: `N${String(i).padStart(2, '0')}`,
      start: `2025-04-${String(1 + (i % 28)).padStart(2, '0')}`,
    }),
  );
  const kept = new Set(await submit(la, ...stays));
  let writing = true;
  let writes = 0;
  const write = async (): Promise<void> => {
    while (writing) {
      const plans = Array.from({ length: 10 }, (_, i) =>
        freshPlan({
          family: 'Pagechild',
          given: `N${i}`,
          start: `2025-04-${String(1 + ((writes + i) % 28)).padStart(2, '0')}`,
        }),
      );
      const ids = await submit(la, ...plans);
      await Promise.all(ids.map((id) => la.request('DELETE', `Flag/${id}`)));
      writes += 20;
    }
  };
  const writers = [write(), write()];
  try {
    for (const sort of ['', '&_sort=date', '&_sort=-date,patient', '&_sort=-_lastUpdated']) {
      const seen: string[] = [];
      let path = `Flag?patient.family=pagech&_count=7${sort}`;
      if (sort === '' || sort === '&_sort=date') path = `Flag?date=sa2025-03-31&_count=7${sort}`;
      while (path !== '') {
        const page = await search(la, path);
        t.equal(page.status, 200);
        seen.push(...idsOf(page));
        path = pathOf(linkOf(page, 'next'));
      }
      t.equal(new Set(seen).size, seen.length, `${sort}: nothing twice`);
      t.strictSame(new Set(seen.filter((id) => kept.has(id))), kept, `${sort}: nothing left out`);
    }
  } finally {
    writing = false;
    await Promise.all(writers);
  }
  t.ok(writes > 40, `${writes} inserts and deletes meanwhile`);
});
