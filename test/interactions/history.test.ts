import type { Bundle, BundleEntry, Flag, OperationOutcome, Patient } from 'fhir/r4.js';
import t from 'tap';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import { codesOf, freshNhsNumber, freshPlan, idIn, submit } from '../support/submissions.ts';

const origin = 'https://subscriber.example.org';
const world = await openWorld(t, { subscriptionOrigins: [origin, origin, origin] });
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, thirdLa: third, epr, ownId } = world;
const thirdId = world.registry.authorities[2]?.organisationId ?? '';

const history = (client: FhirClient, path: string, headers?: Record<string, string>) =>
  client.request<Bundle>('GET', path, undefined, headers);
const told = ({ body }: { readonly body: Bundle }): string[] =>
  (body.entry ?? []).map(({ fullUrl, response }) => `${fullUrl?.slice(baseUrl.length + 1)} ${response?.etag}`);
const linkOf = ({ body }: { readonly body: Bundle }, relation: string): string | undefined =>
  body.link?.find((link) => link.relation === relation)?.url;
const pathOf = (url: string | undefined): string => (url ?? '').slice(baseUrl.length + 1);

t.test('an instance: newest first, with what made each version, deletions without a resource', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  await la.request('PUT', `Flag/${id}`, { ...buildFlag(plan), id, status: 'entered-in-error' });
  const { id: requestId, headers } = namedRequest();
  await la.request('DELETE', `Flag/${id}`);
  const answer = await history(la, `Flag/${id}/_history`, headers);
  t.equal(answer.status, 200);
  t.match(answer.body, { resourceType: 'Bundle', type: 'history', total: 3 });
  t.strictSame(told(answer), [`Flag/${id} W/"3"`, `Flag/${id} W/"2"`, `Flag/${id} W/"1"`]);
  const [deletion, amendment, creation] = answer.body.entry as [BundleEntry, BundleEntry, BundleEntry];
  t.match(deletion, { request: { method: 'DELETE', url: `Flag/${id}` }, response: { status: '204 No Content' } });
  t.notOk('resource' in deletion, 'a deletion has no resource');
  t.match(amendment, {
    request: { method: 'PUT', url: `Flag/${id}` },
    response: { status: '200 OK', etag: 'W/"2"', lastModified: amendment.resource?.meta?.lastUpdated },
    resource: { resourceType: 'Flag', id, status: 'entered-in-error', meta: { versionId: '2' } },
  });
  t.match(creation, { request: { method: 'POST', url: 'Flag' }, response: { status: '201 Created' } });
  t.strictSame(
    creation.resource,
    (await la.request<Flag>('GET', `Flag/${id}/_history/1`)).body,
    'an entry is what vread gives',
  );
  t.equal(linkOf(answer, 'self'), `${baseUrl}/Flag/${id}/_history`);
  t.match(trail.of(requestId), [
    { subtype: 'history-instance', outcome: '0', patients: [plan.nhsNumber], custodians: [ownId], owed: [] },
  ]);
  const [event] = trail.of(requestId);
  t.equal(event?.event.action, 'R');
  t.ok(
    event?.event.entity?.some(({ what }) => what?.reference === `Flag/${id}`),
    'the resource stands in the event',
  );

  t.equal((await la.request('GET', `Flag/${id}`)).status, 410);
  t.equal((await la.request('GET', `Flag/${id}/_history/3`)).status, 410, 'vread of the deletion');
  t.equal((await la.request('GET', `Flag/${id}/_history/2`)).status, 200, 'vread of what was deleted');
  t.equal((await la.request('GET', `Flag/${id}/_history/4`)).status, 404);
  for (const path of [`Flag/${id}`, `Flag/${id}/_history/3`, `Flag/${id}/_history/2`, `Flag/${id}/_history`]) {
    const hidden = await otherLa.request<OperationOutcome>('GET', path);
    const absent = await otherLa.request<OperationOutcome>('GET', path.replace(id, 'never-there'));
    t.equal(hidden.status, 404, `${path}: deleted and another's`);
    t.strictSame(hidden.body, absent.body, `${path}: as if it had never been`);
  }
  t.equal((await epr.request('GET', `Flag/${id}`)).status, 404, 'deleted is absent for NHS staff');
});

t.test(
  'who gets no history: care providers, operators, tokens without the scope; AuditEvent and Organization',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    for (const client of [epr, world.operator]) {
      for (const path of [`Flag/${id}/_history`, `Patient/${plan.nhsNumber}/_history`, 'Flag/_history', '_history']) {
        t.equal((await history(client, path)).status, 403, path);
      }
    }
    for (const path of ['AuditEvent/_history', `Organization/${ownId}/_history`, 'Organization/_history']) {
      t.strictSame(
        [(await history(la, path)).status, codesOf(await history(la, path))],
        [404, ['not-supported']],
        path,
      );
    }
    const [registered] = world.registry.authorities;
    if (registered === undefined) throw new Error('there is an authority');
    const reader = openFhirClient(baseUrl, { ...registered, scope: 'system/Flag.r' });
    t.equal((await history(reader, `Flag/${id}/_history`)).status, 200, 'r covers the history of one');
    t.equal((await history(reader, 'Flag/_history')).status, 403, 'and not that of all');
    t.equal((await history(reader, `Patient/${plan.nhsNumber}/_history`)).status, 403);
    t.equal((await history(reader, '_history')).status, 403);
    const searcher = openFhirClient(baseUrl, { ...registered, scope: 'system/Flag.rs' });
    const all = await history(searcher, '_history?_count=50');
    t.equal(all.status, 200);
    t.ok(told(all).length > 0);
    t.ok(
      told(all).every((entry) => entry.startsWith('Flag/')),
      'a system history is of the types that the token covers',
    );
  },
);

t.test('a type and all types: the own only, in one order, in pages that hold still', async (t) => {
  const plans = [freshPlan(), freshPlan()];
  const ids = await submit(third, ...plans);
  await submit(otherLa, freshPlan());
  const subscription = await third.request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'off',
    reason: 'access notifications',
    criteria: 'AuditEvent?type=rest',
    channel: {
      type: 'rest-hook',
      endpoint: `${origin}/hook`,
      payload: 'application/fhir+json',
      header: ['Authorization: Bearer canary'],
    },
  });
  const subscriptionId = idIn(subscription.headers.get('location'));
  const { id: requestId, headers } = namedRequest();
  const flags = await history(third, 'Flag/_history', headers);
  t.strictSame(new Set(told(flags)), new Set(ids.map((id) => `Flag/${id} W/"1"`)));
  t.equal(flags.body.total, 2);
  t.match(trail.of(requestId), [{ subtype: 'history-type', custodians: [thirdId], owed: [] }]);
  t.strictSame(new Set(trail.of(requestId)[0]?.patients), new Set(plans.map(({ nhsNumber }) => nhsNumber)));

  const whole = await history(third, '_history');
  const entries = told(whole);
  t.strictSame(
    new Set(entries),
    new Set([
      ...ids.map((id) => `Flag/${id} W/"1"`),
      ...plans.map(({ nhsNumber }) => `Patient/${nhsNumber} W/"1"`),
      `Subscription/${subscriptionId} W/"1"`,
    ]),
  );
  const times = (whole.body.entry ?? []).map(({ response }) => Date.parse(response?.lastModified ?? ''));
  t.strictSame(
    times,
    times.toSorted((a, b) => b - a),
  );
  t.notMatch(JSON.stringify(whole.body), 'canary', 'the secrets of a Subscription are in no history');

  let page = await history(third, '_history?_count=2');
  t.equal(page.body.total, undefined);
  t.equal(page.body.entry?.length, 2);
  const seen = told(page);
  await submit(third, freshPlan());
  while (linkOf(page, 'next') !== undefined) {
    const next = pathOf(linkOf(page, 'next'));
    t.equal((await history(la, next)).status, 403, "another client's cursor");
    t.equal((await history(third, `${next.slice(0, -3)}abc`)).status, 400, 'a tampered cursor');
    t.equal((await history(third, next.replace('_history?', 'Flag/_history?'))).status, 400, 'of another history');
    page = await history(third, next);
    seen.push(...told(page));
  }
  t.strictSame(seen, entries, 'what was written in between changed no page');
});

t.test('_since, _at, _count and what is refused', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const first = await la.request<Flag>('GET', `Flag/${id}`);
  const writtenAt = first.body.meta?.lastUpdated ?? '';
  await la.request('PUT', `Flag/${id}`, { ...buildFlag(plan), id, status: 'entered-in-error' });
  const second = await la.request<Flag>('GET', `Flag/${id}`);
  const amendedAt = second.body.meta?.lastUpdated ?? '';
  const versions = async (query: string): Promise<string[]> => {
    const answer = await history(la, `Flag/${id}/_history?${query}`);
    t.equal(answer.status, 200, query);
    return (answer.body.entry ?? []).map(({ response }) => response?.etag ?? '');
  };
  t.strictSame(await versions(`_since=${amendedAt}`), ['W/"2"']);
  t.strictSame(await versions(`_since=${writtenAt}`), ['W/"2"', 'W/"1"']);
  t.strictSame(await versions('_since=2999-01-01T00:00:00Z'), []);
  t.strictSame(await versions(`_at=${writtenAt}`), ['W/"1"']);
  t.strictSame(await versions(`_at=${amendedAt}`), ['W/"2"']);
  t.strictSame(await versions(`_at=${amendedAt.slice(0, 4)}`), ['W/"2"', 'W/"1"'], 'a year, at its precision');
  t.strictSame(await versions('_count=1'), ['W/"2"']);
  const clamped = await history(la, `Flag/${id}/_history?_count=999999`);
  t.equal(linkOf(clamped, 'self'), `${baseUrl}/Flag/${id}/_history?_count=250`, 'self says what was done');
  for (const count of ['_count=0', '_summary=count']) {
    const counted = await history(la, `Flag/${id}/_history?${count}`);
    t.match(counted.body, { type: 'history', total: 2 });
    t.notOk('entry' in counted.body, count);
  }
  const shaped = await history(la, `Flag/${id}/_history?_elements=status`);
  const [entry] = shaped.body.entry ?? [];
  t.match(entry?.resource, { status: 'entered-in-error', meta: { tag: [{ code: 'SUBSETTED' }] } });
  t.notOk('period' in (entry?.resource ?? {}));
  for (const [query, expression] of [
    ['_since=yesterday', '_since'],
    ['_at=2025-13', '_at'],
    ['_count=-1', '_count'],
    ['_since=2025&_since=2026', '_since'],
    ['_sort=_id', '_sort'],
    ['_list=42', '_list'],
    ['_summary=all', '_summary'],
    ['_elements=', '_elements'],
    ['_summary=true&_elements=status', '_summary'],
  ]) {
    for (const path of [`Flag/${id}/_history`, 'Flag/never-there/_history']) {
      const refused = await la.request<OperationOutcome>('GET', `${path}?${query}`);
      t.strictSame([refused.status, refused.body.issue[0]?.expression], [400, [expression]], `${path}?${query}`);
    }
  }
  t.equal((await history(la, `Flag/${id}/_history?status=active`)).status, 200, 'lenient: ignored');
  t.notMatch(linkOf(await history(la, `Flag/${id}/_history?status=active`), 'self'), 'status', 'and not in self');
  t.equal((await history(la, `Flag/${id}/_history?status=active`, { prefer: 'handling=strict' })).status, 400);
});

t.test('a Patient: each authority has the versions that it stated, in every history', async (t) => {
  const nhsNumber = freshNhsNumber();
  const before = freshPlan({ nhsNumber, given: 'Before' });
  const [first = ''] = await submit(la, before);
  await la.request<Patient>('PUT', `Patient/${nhsNumber}`, buildPatient({ ...before, given: 'Corrected' }));
  const path = `Patient/${nhsNumber}/_history`;
  t.strictSame(told(await history(la, path)), [`Patient/${nhsNumber} W/"2"`, `Patient/${nhsNumber} W/"1"`]);
  t.equal((await history(otherLa, path)).status, 404);
  t.strictSame(
    (await history(otherLa, path)).body,
    (await history(otherLa, `Patient/${freshNhsNumber()}/_history`)).body,
  );

  await submit(otherLa, freshPlan({ nhsNumber, given: 'Corrected' }));
  t.strictSame(told(await history(otherLa, path)), [`Patient/${nhsNumber} W/"1"`], 'its own');
  t.equal((await otherLa.request('GET', `${path}/2`)).status, 404, 'vread says the same');

  const later = await otherLa.request('PUT', `Patient/${nhsNumber}`, buildPatient({ ...before, given: 'Later' }));
  t.equal(later.status, 200, 'it corrects its own');
  t.strictSame(told(await history(la, path)), [`Patient/${nhsNumber} W/"2"`, `Patient/${nhsNumber} W/"1"`]);
  await la.request('DELETE', `Flag/${first}`);
  t.equal((await history(la, path)).status, 404, 'who holds no plan any more has no history');
  t.equal(
    told(await history(la, 'Patient/_history?_count=250')).filter((entry) => entry.includes(nhsNumber)).length,
    0,
  );
  for (const from of [path, 'Patient/_history?_count=250', '_history?_count=250']) {
    const answer = await history(otherLa, from);
    const versions = told(answer).filter((entry) => entry.includes(`Patient/${nhsNumber}`));
    t.strictSame(versions, [`Patient/${nhsNumber} W/"2"`, `Patient/${nhsNumber} W/"1"`], from);
    t.notMatch(JSON.stringify(answer.body), 'Before', from);
    for (const entry of versions) {
      const version = /"(\d+)"/.exec(entry)?.[1];
      t.equal((await otherLa.request('GET', `${path}/${version}`)).status, 200, 'exactly what vread gives');
    }
  }
});
