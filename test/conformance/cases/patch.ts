/** https://hl7.org/fhir/R4/http.html#patch and https://hl7.org/fhir/R4/fhirpatch.html */
import { freshPlan, kindOf, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld, openKitClient, openMedplumClient } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { la, asLa, asOtherLa } = world;
const jsonPatch = { 'content-type': 'application/json-patch+json' };
type Plan = ReturnType<typeof freshPlan>;

async function submitted(): Promise<[id: string, plan: Plan]> {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  return [id, plan];
}
const operation = (type: string, path: string, value?: object, name?: string) => ({
  name: 'operation',
  part: [
    { name: 'type', valueCode: type },
    { name: 'path', valueString: path },
    ...(name === undefined ? [] : [{ name: 'name', valueString: name }]),
    ...(value === undefined ? [] : [{ name: 'value', ...value }]),
  ],
});
const parameters = (...parameter: readonly object[]) => ({ resourceType: 'Parameters', parameter });

conforms(`${spec}/http.html#patch`, 'JSON Patch: applied whole, as the next version', async (t) => {
  const [id] = await submitted();
  const body = [
    { op: 'test', path: '/status', value: 'active' },
    { op: 'replace', path: '/period/start', value: '2025-02-01' },
    { op: 'add', path: '/period/end', value: '2025-03-01' },
    { op: 'replace', path: '/status', value: 'inactive' },
  ];
  const patched = await asLa('PATCH', `Flag/${id}`, { body, headers: jsonPatch });
  t.match(patched, {
    status: 200,
    json: { status: 'inactive', period: { start: '2025-02-01', end: '2025-03-01' }, meta: { versionId: '2' } },
  });
  t.equal(patched.headers.get('etag'), 'W/"2"');
});

conforms(`${spec}/http.html#patch`, 'JSON Patch: a test that fails is 422 and nothing is applied', async (t) => {
  const [id] = await submitted();
  const body = [
    { op: 'replace', path: '/period/start', value: '2025-02-01' },
    { op: 'test', path: '/status', value: 'inactive' },
  ];
  t.match(await asLa('PATCH', `Flag/${id}`, { body, headers: jsonPatch }), {
    status: 422,
    json: { resourceType: 'OperationOutcome' },
  });
  t.match((await asLa('GET', `Flag/${id}`)).json, { meta: { versionId: '1' } });
});

conforms(`${spec}/fhirpatch.html`, 'FHIRPath Patch: add, insert, delete, replace, move', async (t) => {
  const [id] = await submitted();
  const patch = (...operations: readonly object[]) => asLa('PATCH', `Flag/${id}`, { body: parameters(...operations) });
  t.match(await patch(operation('replace', 'Flag.period.start', { valueDateTime: '2025-02-01' })), {
    status: 200,
    json: { period: { start: '2025-02-01' } },
  });
  const identifier = (value: string) => ({ valueIdentifier: { system: 'https://la.example.org/other', value } });
  t.match(await patch(operation('add', 'Flag', identifier('b'), 'identifier')), {
    json: { identifier: [{}, { value: 'b' }] },
  });
  const insert = operation('insert', 'Flag.identifier', identifier('a'));
  insert.part.push({ name: 'index', valueInteger: 0 } as never);
  t.match(await patch(insert), { json: { identifier: [{ value: 'a' }, {}, { value: 'b' }] } });
  const move = operation('move', 'Flag.identifier');
  move.part.push({ name: 'source', valueInteger: 0 } as never, { name: 'destination', valueInteger: 2 } as never);
  t.match(await patch(move), { json: { identifier: [{}, { value: 'b' }, { value: 'a' }] } });
  t.match(await patch(operation('delete', "Flag.identifier.where(value = 'b')")), {
    json: { identifier: [{}, { value: 'a' }] },
  });
});

conforms(
  `${spec}/http.html#patch`,
  'a patch keeps identity and rules, and is refused as an update would be',
  async (t) => {
    const [id] = await submitted();
    const patch = (body: unknown, headers = {}) =>
      asLa('PATCH', `Flag/${id}`, { body, headers: { ...jsonPatch, ...headers } });
    const refused = [
      await patch([{ op: 'replace', path: '/subject/reference', value: 'Patient/9990000018' }]),
      await patch([{ op: 'replace', path: '/author/reference', value: 'Organization/other' }]),
      await patch([{ op: 'replace', path: '/status', value: 'bad' }]),
      await patch([{ op: 'replace', path: '/status', value: 'active' }], { 'if-match': 'W/"9"' }),
      await patch({ not: 'a patch' }),
      await patch([{ op: 'nothing', path: '/status' }]),
    ];
    for (const { status, json } of refused) {
      t.ok(status >= 400 && status < 500, String(status));
      t.equal(json.resourceType, 'OperationOutcome');
    }
    t.equal(refused[3]?.status, 412);
    t.match((await asLa('GET', `Flag/${id}`)).json, { meta: { versionId: '1' } });
    t.equal((await asOtherLa('PATCH', `Flag/${id}`, { body: [], headers: jsonPatch })).status, 404);
    t.equal(
      (await asLa('PATCH', `Flag/${id}`, { body: '<x/>', headers: { 'content-type': 'application/xml' } })).status,
      415,
    );
  },
);

conforms(
  `${spec}/http.html#patch`,
  'conditional patch: the one match is patched, none is 404, several 412',
  async (t) => {
    const [id, plan] = await submitted();
    const body = [{ op: 'replace', path: '/period/start', value: '2025-02-01' }];
    const patch = (query: string) => asLa('PATCH', `Flag?${query}`, { body, headers: jsonPatch });
    const criteria = `identifier=${encodeURIComponent(`${plan.referenceSystem}|${plan.reference}`)}`;
    t.match(await patch(criteria), { status: 200, json: { id, meta: { versionId: '2' } } });
    t.equal((await patch('identifier=nobody|nothing')).status, 404);
    await submit(la, freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') }));
    t.equal((await patch(`patient=${plan.nhsNumber}`)).status, 412);
  },
);

conforms(`${spec}/http.html#patch`, 'fhir-kit-client and MedplumClient patch', async (t) => {
  const [id] = await submitted();
  const kit = await openKitClient(world, la);
  const replace = (value: string) => [{ op: 'replace' as const, path: '/period/start', value }];
  const options = { headers: { 'Content-Type': 'application/json-patch+json' } };
  t.match(await kit.patch({ resourceType: 'Flag', id, jsonPatch: replace('2025-02-01'), options }), {
    meta: { versionId: '2' },
  });
  const medplum = await openMedplumClient(world, la);
  t.match(await medplum.patchResource('Flag', id, replace('2025-02-02')), { meta: { versionId: '3' } });
});
