/** https://hl7.org/fhir/R4/http.html#create, #update, #delete and their conditional forms. */
import { buildFlag, buildPatient } from '../../../src/synthetic/synthetic-plan.ts';
import { freshPlan, idIn, kindOf, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { la, asLa, asEpr } = world;

/** A plan on a child that this authority has submitted already. */
async function planOnKnownChild(): Promise<ReturnType<typeof freshPlan>> {
  const plan = freshPlan();
  await submit(la, plan);
  return freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') });
}
const criteriaOf = ({ referenceSystem, reference }: ReturnType<typeof freshPlan>) =>
  `identifier=${encodeURIComponent(`${referenceSystem}|${reference}`)}`;

conforms(
  `${spec}/http.html#create`,
  'create answers 201 with Location, ETag, Last-Modified and the resource',
  async (t) => {
    const plan = await planOnKnownChild();
    const { status, headers, json } = await asLa('POST', 'Flag', { body: buildFlag(plan) });
    t.equal(status, 201);
    t.equal(headers.get('location'), `${world.server.baseUrl}/Flag/${json.id}/_history/1`);
    t.equal(headers.get('etag'), 'W/"1"');
    t.equal(headers.get('last-modified'), new Date(json.meta.lastUpdated).toUTCString());
    t.strictSame((await asLa('GET', `Flag/${json.id}`)).json, json);
  },
);

conforms(
  `${spec}/http.html#create`,
  'the id, versionId and lastUpdated of a create are those of the server',
  async (t) => {
    const plan = await planOnKnownChild();
    const meta = { versionId: '77', lastUpdated: '2001-01-01T00:00:00Z' };
    const { status, json } = await asLa('POST', 'Flag', { body: { ...buildFlag(plan), id: 'mine', meta } });
    t.equal(status, 201);
    t.not(json.id, 'mine');
    t.equal(json.meta.versionId, '1');
    t.not(json.meta.lastUpdated, meta.lastUpdated);
  },
);

conforms(`${spec}/http.html#create`, 'a body that cannot be parsed is 400, one that breaks a rule 422', async (t) => {
  const plan = await planOnKnownChild();
  t.match(await asLa('POST', 'Flag', { body: '{"resourceType":"Flag"' }), { status: 400 });
  t.match(await asLa('POST', 'Flag', { body: buildPatient(plan) }), { status: 400 }, 'the type of another endpoint');
  t.match(await asLa('POST', 'Flag', { body: { ...buildFlag(plan), status: 'bad' } }), {
    status: 422,
    json: { issue: [{ code: 'code-invalid', expression: ['Flag.status'] }] },
  });
  t.equal((await asLa('POST', 'Flag')).status, 400, 'no body');
  t.match(await asEpr('POST', 'Flag', { body: buildFlag(plan) }), { status: 403 });
});

conforms(`${spec}/http.html#ccreate`, 'If-None-Exist: none 201, one 200 with where it is, several 412', async (t) => {
  const plan = await planOnKnownChild();
  const create = (query: string) =>
    asLa('POST', 'Flag', { body: buildFlag(plan), headers: { 'if-none-exist': query } });
  const created = await create(criteriaOf(plan));
  t.equal(created.status, 201);
  const again = await create(criteriaOf(plan));
  t.equal(again.status, 200);
  t.equal(again.headers.get('location'), created.headers.get('location'));
  const several = await create(`patient=${plan.nhsNumber}`);
  t.match(several, { status: 412, json: { issue: [{ code: 'multiple-matches' }] } });
});

conforms(
  `${spec}/http.html#update`,
  'update answers 200 with the next version; 400 where id or type are of another',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    const body = { ...buildFlag({ ...plan, start: '2025-02-01' }), id };
    const updated = await asLa('PUT', `Flag/${id}`, { body });
    t.match(updated, { status: 200, json: { id, meta: { versionId: '2' }, period: { start: '2025-02-01' } } });
    t.equal(updated.headers.get('etag'), 'W/"2"');
    t.match(await asLa('PUT', `Flag/${id}`, { body: { ...body, id: 'other' } }), { status: 400 });
    t.match(await asLa('PUT', `Flag/${id}`, { body: buildPatient(plan) }), { status: 400 });
  },
);

conforms(
  `${spec}/http.html#upsert`,
  'a Patient is created by update under its NHS number; a Flag is not',
  async (t) => {
    const plan = freshPlan();
    const created = await asLa('PUT', `Patient/${plan.nhsNumber}`, { body: buildPatient(plan) });
    t.equal(created.status, 201);
    t.match(created.headers.get('location'), `/Patient/${plan.nhsNumber}/_history/1`);
    const flag = await asLa('PUT', 'Flag/chosen-by-client', { body: { ...buildFlag(plan), id: 'chosen-by-client' } });
    t.match(
      flag,
      { status: 405, json: { issue: [{ code: 'not-supported' }] } },
      'ids of Flags are those of the server',
    );
    t.match(flag.headers.get('allow'), /^GET, HEAD/);
  },
);

conforms(
  `${spec}/http.html#concurrency`,
  'If-Match of the current version writes, of another is 412, a garbage one 400',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    const body = { ...buildFlag({ ...plan, start: '2025-02-01' }), id };
    const put = (ifMatch: string) => asLa('PUT', `Flag/${id}`, { body, headers: { 'if-match': ifMatch } });
    t.match(await put('W/"7"'), { status: 412, json: { resourceType: 'OperationOutcome' } });
    for (const garbage of ['1', '"', 'W/1', 'W/"1" x']) t.equal((await put(garbage)).status, 400, garbage);
    t.match(await put('W/"1"'), { status: 200, json: { meta: { versionId: '2' } } });
    t.equal((await put('W/"1"')).status, 412, 'no longer');
    t.equal((await asLa('DELETE', `Flag/${id}`, { headers: { 'if-match': 'W/"1"' } })).status, 412);
    t.equal((await asLa('DELETE', `Flag/${id}`, { headers: { 'if-match': 'W/"2"' } })).status, 204);
  },
);

conforms(`${spec}/http.html#cond-update`, 'conditional update: none 201, one 200, several 412', async (t) => {
  const plan = await planOnKnownChild();
  const put = (query: string, start: string) => asLa('PUT', `Flag?${query}`, { body: buildFlag({ ...plan, start }) });
  const created = await put(criteriaOf(plan), '2025-02-01');
  t.equal(created.status, 201);
  const updated = await put(criteriaOf(plan), '2025-02-02');
  t.match(updated, { status: 200, json: { meta: { versionId: '2' }, period: { start: '2025-02-02' } } });
  t.equal(idIn(updated.headers.get('location')), idIn(created.headers.get('location')));
  t.match(await put(`patient=${plan.nhsNumber}`, '2025-02-03'), { status: 412 });
});

conforms(`${spec}/http.html#delete`, 'delete is 204, and again the same; of what never was 404', async (t) => {
  const [id = ''] = await submit(la, freshPlan());
  t.match(await asLa('DELETE', `Flag/${id}`), { status: 204, text: '' });
  t.match(await asLa('DELETE', `Flag/${id}`), { status: 204 }, 'deleted already');
  t.match(await asLa('DELETE', 'Flag/no-such-flag'), { status: 404 });
  const found = await asLa('GET', `Flag?_id=${id}`);
  t.match(found.json, { total: 0 });
});

conforms(
  `${spec}/http.html#3.1.0.7.1`,
  'conditional delete: the one match is deleted, none is 204 as well, several 412',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    await submit(la, freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') }));
    t.match(await asLa('DELETE', `Flag?patient=${plan.nhsNumber}`), { status: 412 });
    t.equal((await asLa('DELETE', `Flag?${criteriaOf(plan)}`)).status, 204);
    t.equal((await asLa('GET', `Flag/${id}`)).status, 410);
    t.equal((await asLa('DELETE', `Flag?${criteriaOf(plan)}`)).status, 204);
    t.equal((await asLa('DELETE', 'Flag')).status, 400, 'without criteria nothing is deleted');
  },
);
