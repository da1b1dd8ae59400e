/** https://hl7.org/fhir/R4/http.html#history */
import { buildFlag } from '../../../src/synthetic/synthetic-plan.ts';
import { freshPlan, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld, openKitClient, openMedplumClient, type RawResponse } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4/http.html#history';
const world = await openConformanceWorld();
const { la, asLa, asOtherLa, asEpr } = world;

const plan = freshPlan();
const [id = ''] = await submit(la, plan);
const amended = await asLa('PUT', `Flag/${id}`, { body: { ...buildFlag({ ...plan, start: '2025-02-01' }), id } });
const amendedAt: string = amended.json.meta.lastUpdated;
await asLa('DELETE', `Flag/${id}`);

interface Entry {
  readonly resource?: { readonly meta: { readonly versionId: string } };
  readonly request: { readonly method: string; readonly url: string };
  readonly response: { readonly status: string; readonly etag?: string; readonly lastModified: string };
}
const entriesOf = ({ json }: RawResponse): Entry[] => json.entry ?? [];
const methodsOf = (response: RawResponse) => entriesOf(response).map(({ request }) => request.method);

conforms(
  spec,
  'history of an instance: newest first, with request and response; a delete has no resource',
  async (t) => {
    const history = await asLa('GET', `Flag/${id}/_history`);
    t.equal(history.status, 200);
    t.match(history.json, { resourceType: 'Bundle', type: 'history', total: 3 });
    const entries = entriesOf(history);
    t.strictSame(methodsOf(history), ['DELETE', 'PUT', 'POST']);
    t.equal(entries[0]?.resource, undefined);
    t.strictSame(
      entries.slice(1).map(({ resource }) => resource?.meta.versionId),
      ['2', '1'],
    );
    for (const { request, response } of entries) {
      t.match(request.url, 'Flag');
      t.match(response, { status: /^20\d/, lastModified: /Z$/ });
    }
  },
);

conforms(spec, 'history of a type and of the system holds the same versions', async (t) => {
  for (const path of ['Flag/_history', '_history']) {
    const history = await asLa('GET', `${path}?_count=100`);
    t.match(history, { status: 200, json: { type: 'history' } }, path);
    const versions = entriesOf(history).filter(({ request }) => request.url.includes(id));
    t.equal(versions.length >= 2, true, path);
    const times = entriesOf(history).map(({ response }) => response.lastModified);
    t.strictSame(times, times.toSorted().toReversed(), 'newest first');
  }
});

conforms(spec, '_since takes what is not older, _at what was current', async (t) => {
  const since = await asLa('GET', `Flag/${id}/_history?_since=${amendedAt}`);
  t.strictSame(methodsOf(since).slice(0, 2), ['DELETE', 'PUT']);
  const at = await asLa('GET', `Flag/${id}/_history?_at=${amendedAt}`);
  t.equal(at.status, 200);
  t.ok(entriesOf(at).some(({ resource }) => resource?.meta.versionId === '2'));
  t.equal((await asLa('GET', `Flag/${id}/_history?_since=yesterday`)).status, 400);
});

conforms(spec, '_count bounds a page, and next leads on', async (t) => {
  const found: Entry[] = [];
  let path: string | undefined = `Flag/${id}/_history?_count=1`;
  while (path !== undefined) {
    const page: RawResponse = await asLa('GET', path);
    t.equal(entriesOf(page).length <= 1, true);
    found.push(...entriesOf(page));
    const next = page.json.link.find(({ relation }: { relation: string }) => relation === 'next')?.url;
    path = next?.slice(world.server.baseUrl.length + 1);
  }
  t.equal(found.length, 3);
});

conforms(spec, 'history is that of the caller: of others it is 404, for a care provider there is none', async (t) => {
  const [hidden, absent] = [
    await asOtherLa('GET', `Flag/${id}/_history`),
    await asOtherLa('GET', 'Flag/none/_history'),
  ];
  t.equal(hidden.status, 404);
  t.equal(hidden.text, absent.text);
  t.notMatch((await asOtherLa('GET', '_history')).text, id);
  t.equal((await asEpr('GET', `Flag/${id}/_history`)).status, 403);
});

conforms(spec, 'fhir-kit-client and MedplumClient read histories', async (t) => {
  const kit = await openKitClient(world, la);
  t.match(await kit.history({ resourceType: 'Flag', id }), { type: 'history', total: 3 });
  t.match(await kit.history({ resourceType: 'Flag' }), { type: 'history' });
  t.match(await kit.history(), { type: 'history' });
  const medplum = await openMedplumClient(world, la);
  t.match(await medplum.readHistory('Flag', id), { type: 'history', total: 3 });
});
