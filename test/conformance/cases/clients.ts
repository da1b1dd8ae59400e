import type { Bundle, Flag } from 'fhir/r4.js';
import { buildFlag, buildPatient, buildRecord } from '../../../src/synthetic/synthetic-plan.ts';
import { freshPlan, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld, openKitClient, openMedplumClient, openSmartClient } from '../conformance.ts';

/** A Flag with what it refers to in the place of its references. */
type SmartResolved = { readonly id: string; readonly subject: unknown; readonly author: unknown };

const world = await openConformanceWorld();
const { la, epr } = world;
const refusalOf = (request: Promise<unknown>): Promise<unknown> =>
  request.then(
    () => undefined,
    (error: unknown) => error,
  );

conforms('https://hl7.org/fhir/R4/http.html', 'fhir-kit-client submits, reads, amends, withdraws', async (t) => {
  const kit = await openKitClient(world, la);
  const plan = freshPlan();
  const statement = await kit.capabilityStatement();
  t.equal(statement.resourceType, 'CapabilityStatement');
  const patient = await kit.update({
    resourceType: 'Patient',
    id: plan.nhsNumber,
    body: { ...buildPatient(plan), id: plan.nhsNumber },
  });
  t.equal(patient['id'], plan.nhsNumber);
  const created = (await kit.create({ resourceType: 'Flag', body: { ...buildFlag(plan) } })) as unknown as Flag;
  t.match(created, { resourceType: 'Flag', meta: { versionId: '1' } });
  const id = created.id ?? '';
  t.strictSame(await kit.read({ resourceType: 'Flag', id }), created);
  const body = { ...created, period: { start: '2025-02-01' } };
  t.match(await kit.update({ resourceType: 'Flag', id, body }), { meta: { versionId: '2' } });
  t.strictSame(await kit.vread({ resourceType: 'Flag', id, version: '1' }), created);
  const searchParams = { identifier: `${plan.referenceSystem}|${plan.reference}` };
  t.match(await kit.search({ resourceType: 'Flag', searchParams }), { type: 'searchset', total: 1 });
  await kit.delete({ resourceType: 'Flag', id });
  t.match(await refusalOf(kit.read({ resourceType: 'Flag', id })), { response: { status: 410 } });
  const next = buildFlag({ ...plan, reference: `${plan.reference}-2` });
  const nextParams = { identifier: `${searchParams.identifier}-2` };
  const conditional = await kit.update({ resourceType: 'Flag', searchParams: nextParams, body: { ...next } });
  t.match(conditional, { meta: { versionId: '1' } });
});

conforms(
  'https://hl7.org/fhir/R4/http.html#transaction',
  'fhir-kit-client sends batches and transactions',
  async (t) => {
    const kit = await openKitClient(world, la);
    for (const type of ['batch', 'transaction'] as const) {
      const body = { resourceType: 'Bundle', type, entry: buildRecord(freshPlan()) };
      t.match(await kit[type]({ body }), { type: `${type}-response`, entry: [{}, {}] });
    }
  },
);

conforms('https://hl7.org/fhir/R4/http.html#paging', 'fhir-kit-client follows the pages to their end', async (t) => {
  const kit = await openKitClient(world, la);
  const ids = await submit(la, ...Array.from({ length: 5 }, () => freshPlan({ family: 'Pageturner' })));
  const found = new Set<string>();
  let page: Awaited<ReturnType<typeof kit.search>> | undefined = await kit.search({
    resourceType: 'Flag',
    searchParams: { _id: ids.join(','), _count: 2 },
  });
  for (
    ;
    page !== undefined;
    page = await kit.nextPage({ bundle: page as Parameters<typeof kit.nextPage>[0]['bundle'] })
  ) {
    for (const entry of (page as unknown as Bundle).entry ?? []) found.add(entry.resource?.id ?? '');
  }
  t.strictSame([...found].sort(), [...ids].sort());
});

conforms('https://hl7.org/fhir/R4/search.html', 'fhir-kit-client looks a child up as a care provider', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const kit = await openKitClient(world, epr);
  const found = await kit.search({ resourceType: 'Flag', searchParams: { patient: plan.nhsNumber } });
  t.match(found, { total: 1, entry: [{ search: { mode: 'match' } }, { search: { mode: 'include' } }] });
  t.match(await refusalOf(kit.search({ resourceType: 'Flag' })), { response: { status: 400 } });
});

conforms('https://hl7.org/fhir/R4/http.html', 'MedplumClient submits, reads, amends, withdraws', async (t) => {
  const medplum = await openMedplumClient(world, la);
  const plan = freshPlan();
  await medplum.updateResource({ ...buildPatient(plan), id: plan.nhsNumber } as Parameters<
    typeof medplum.updateResource
  >[0]);
  const created = await medplum.createResource(buildFlag(plan) as Parameters<typeof medplum.createResource>[0]);
  const id = created.id ?? '';
  t.match(created, { resourceType: 'Flag', meta: { versionId: '1' } });
  t.strictSame(await medplum.readResource('Flag', id, { cache: 'reload' }), created);
  t.match(await medplum.updateResource({ ...created, period: { start: '2025-02-01' } } as typeof created), {
    meta: { versionId: '2' },
  });
  t.match(await medplum.readVersion('Flag', id, '1'), { meta: { versionId: '1' } });
  const query = new URLSearchParams({ identifier: `${plan.referenceSystem}|${plan.reference}` });
  t.match(await medplum.searchResources('Flag', query), [{ id }]);
  t.match(await medplum.searchOne('Organization', { name: 'Northmoor' }), { resourceType: 'Organization' });
  await medplum.deleteResource('Flag', id);
  t.match(await refusalOf(medplum.readResource('Flag', id, { cache: 'reload' })), {
    outcome: { issue: [{ code: 'deleted' }] },
  });
});

conforms('https://hl7.org/fhir/R4/http.html#transaction', 'MedplumClient sends a batch', async (t) => {
  const medplum = await openMedplumClient(world, la);
  const bundle = { resourceType: 'Bundle', type: 'batch', entry: buildRecord(freshPlan()) };
  const answer = await medplum.executeBatch(bundle as Parameters<typeof medplum.executeBatch>[0]);
  t.match(answer, {
    type: 'batch-response',
    entry: [{ response: { status: /^201/ } }, { response: { status: /^201/ } }],
  });
});

conforms('https://hl7.org/fhir/R4/http.html', 'fhirclient submits, reads, patches, withdraws', async (t) => {
  const smart = await openSmartClient(world, la);
  const plan = freshPlan();
  const patient = { ...buildPatient(plan), id: plan.nhsNumber };
  t.match(await smart.update(patient), { resourceType: 'Patient', id: plan.nhsNumber });
  const created = (await smart.create(buildFlag(plan))) as Flag;
  t.match(created, { resourceType: 'Flag', meta: { versionId: '1' } });
  t.strictSame(await smart.request(`Flag/${created.id}`), created);
  const replace = { op: 'replace', path: '/period/start', value: '2025-02-01' } as const;
  t.match(await smart.patch(`Flag/${created.id}`, [replace]), { meta: { versionId: '2' } });
  t.strictSame(await smart.request(`Flag/${created.id}/_history/1`), created);
  await smart.delete(`Flag/${created.id}`);
  t.match(await refusalOf(smart.request(`Flag/${created.id}`)), { status: 410 });
});

conforms('https://hl7.org/fhir/R4/http.html#paging', 'fhirclient follows pages and references', async (t) => {
  const ids = await submit(la, ...Array.from({ length: 5 }, () => freshPlan({ family: 'Pagefollower' })));
  const smart = await openSmartClient(world, la);
  const path = `Flag?_id=${ids.join(',')}&_count=2`;
  const options = { pageLimit: 0, flat: true, resolveReferences: ['subject', 'author'] };
  const flags = (await smart.request(path, options)) as SmartResolved[];
  t.strictSame(flags.map(({ id }) => id).sort(), [...ids].sort());
  for (const { subject, author } of flags) {
    t.match(subject, { resourceType: 'Patient', name: [{ family: 'Pagefollower' }] });
    t.match(author, { resourceType: 'Organization' });
  }
});

conforms('https://hl7.org/fhir/R4/search.html', 'fhirclient looks a child up as a care provider', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const smart = await openSmartClient(world, epr);
  const found = await smart.request(`Flag?patient=${plan.nhsNumber}`);
  t.match(found, { total: 1, entry: [{ search: { mode: 'match' } }, { search: { mode: 'include' } }] });
  t.match(await refusalOf(smart.request('Flag')), { status: 400 });
});
