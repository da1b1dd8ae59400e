/** https://hl7.org/fhir/R4/http.html#read and #vread. */
import { buildFlag } from '../../../src/synthetic/synthetic-plan.ts';
import { freshPlan, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { la, asLa, asOtherLa, asEpr } = world;

conforms(`${spec}/http.html#read`, 'read answers the resource with its id, versionId and lastUpdated', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const { status, json } = await asLa('GET', `Flag/${id}`);
  t.equal(status, 200);
  t.match(json, { resourceType: 'Flag', id, meta: { versionId: '1', lastUpdated: /^\d{4}-.*Z$/ } });
  t.match(await asLa('GET', `Patient/${plan.nhsNumber}`), { status: 200, json: { id: plan.nhsNumber } });
  const organization = json.author.reference;
  t.match(await asEpr('GET', organization), { status: 200, json: { resourceType: 'Organization' } });
});

conforms(`${spec}/http.html#read`, 'an unknown id is 404, an id that is none 400', async (t) => {
  t.match(await asLa('GET', 'Flag/no-such-flag'), { status: 404, json: { issue: [{ code: 'not-found' }] } });
  t.match(await asLa('GET', 'Flag/a_b'), { status: 400 });
  t.match(await asLa('GET', `Flag/${'x'.repeat(65)}`), { status: 400 });
});

conforms(`${spec}/http.html#read`, 'what is hidden answers as what is not there', async (t) => {
  const [id = ''] = await submit(la, freshPlan());
  const [hidden, absent] = [await asOtherLa('GET', `Flag/${id}`), await asOtherLa('GET', 'Flag/no-such-flag')];
  t.equal(hidden.status, 404);
  t.equal(hidden.text, absent.text);
});

conforms(`${spec}/http.html#delete`, 'a deleted resource is 410, its older version can still be read', async (t) => {
  const [id = ''] = await submit(la, freshPlan());
  t.equal((await asLa('DELETE', `Flag/${id}`)).status, 204);
  t.match(await asLa('GET', `Flag/${id}`), { status: 410, json: { issue: [{ code: 'deleted' }] } });
  t.match(await asLa('GET', `Flag/${id}/_history/1`), { status: 200, json: { meta: { versionId: '1' } } });
  t.equal((await asLa('GET', `Flag/${id}/_history/2`)).status, 410, 'the version that is the deletion');
});

conforms(
  `${spec}/http.html#vread`,
  'vread answers each version as it was, and 404 for one that never was',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    const first = (await asLa('GET', `Flag/${id}`)).json;
    await asLa('PUT', `Flag/${id}`, { body: { ...buildFlag({ ...plan, start: '2025-02-01' }), id } });
    const vread = await asLa('GET', `Flag/${id}/_history/1`);
    t.strictSame(vread.json, first);
    t.equal(vread.headers.get('etag'), 'W/"1"');
    t.match(await asLa('GET', `Flag/${id}/_history/2`), { status: 200, json: { period: { start: '2025-02-01' } } });
    t.equal((await asLa('GET', `Flag/${id}/_history/3`)).status, 404);
    t.equal((await asLa('GET', `Flag/${id}/_history/x`)).status, 404);
  },
);

conforms(
  `${spec}/http.html#cread`,
  'conditional read: If-None-Match and If-Modified-Since answer 304 without a body',
  async (t) => {
    const [id = ''] = await submit(la, freshPlan());
    const { headers } = await asLa('GET', `Flag/${id}`);
    const etag = headers.get('etag') ?? '';
    const lastModified = headers.get('last-modified') ?? '';
    const get = (conditions: Record<string, string>) => asLa('GET', `Flag/${id}`, { headers: conditions });
    const unchanged = await get({ 'if-none-match': etag });
    t.match(unchanged, { status: 304, text: '' });
    t.equal(unchanged.headers.get('etag'), etag);
    t.match(await get({ 'if-modified-since': lastModified }), { status: 304, text: '' });
    t.equal((await get({ 'if-none-match': 'W/"7"' })).status, 200);
    t.equal((await get({ 'if-modified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' })).status, 200);
    const hidden = await asOtherLa('GET', `Flag/${id}`, { headers: { 'if-none-match': etag } });
    t.equal(hidden.status, 404, 'what is hidden is not told of by 304');
  },
);

conforms(
  `${spec}/search.html#summary`,
  '_summary and _elements: mandatory elements stay, and the resource is tagged SUBSETTED',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    for (const query of ['_summary=true', '_summary=text', '_summary=data', '_elements=period']) {
      for (const path of [`Flag/${id}?${query}`, `Flag?_id=${id}&${query}`]) {
        const { status, json } = await asLa('GET', path);
        t.equal(status, 200, path);
        const flag = json.resourceType === 'Bundle' ? json.entry[0].resource : json;
        t.match(flag, { resourceType: 'Flag', id, status: 'active', code: Object, subject: Object }, path);
        t.ok(
          flag.meta.tag?.some(({ code }: { code: string }) => code === 'SUBSETTED'),
          `${path}: SUBSETTED`,
        );
      }
    }
    const elements = (await asLa('GET', `Flag/${id}?_elements=period`)).json;
    t.equal(elements.identifier, undefined);
    t.match(elements.period, { start: plan.start });
    const whole = await asLa('GET', `Flag/${id}?_summary=false`);
    t.strictSame(whole.json, (await asLa('GET', `Flag/${id}`)).json);
  },
);
