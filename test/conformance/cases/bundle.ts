/** https://hl7.org/fhir/R4/http.html#transaction and https://hl7.org/fhir/R4/bundle.html */
import { buildFlag, buildPatient } from '../../../src/synthetic/synthetic-plan.ts';
import { freshPlan, submit, unbornPlan } from '../../support/submissions.ts';
import { conforms, openConformanceWorld, type RawResponse } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { la, asLa } = world;
const send = (type: string, entry: readonly unknown[], headers = {}): Promise<RawResponse> =>
  asLa('POST', '', { body: { resourceType: 'Bundle', type, entry }, headers });
const statuses = ({ json }: RawResponse): string[] =>
  json.entry.map((entry: { response: { status: string } }) => entry.response.status.slice(0, 3));
type Plan = ReturnType<typeof freshPlan>;
const putPatient = (plan: Plan) => ({
  resource: buildPatient(plan),
  request: { method: 'PUT', url: `Patient/${plan.nhsNumber}` },
});
const postFlag = (plan: Plan, more = {}) => ({
  resource: { ...buildFlag(plan), ...more },
  request: { method: 'POST', url: 'Flag' },
});

conforms(
  `${spec}/http.html#transaction-response`,
  'each entry is answered in the order of the request, with status, location, etag',
  async (t) => {
    const plan = unbornPlan();
    for (const type of ['batch', 'transaction']) {
      const answer = await send(type, [putPatient(plan), postFlag({ ...plan, reference: type })]);
      t.equal(answer.status, 200);
      t.equal(answer.json.type, `${type}-response`);
      t.match(answer.json.entry[1].response, {
        status: /^201/,
        location: /Flag\/[^/]+\/_history\/1$/,
        etag: 'W/"1"',
        lastModified: /Z$/,
      });
    }
  },
);

conforms(
  `${spec}/http.html#brules`,
  'batch: an entry that fails has its own outcome, the others are done',
  async (t) => {
    const plan = freshPlan();
    const bad = { ...postFlag(plan, { status: 'bad' }) };
    const answer = await send('batch', [putPatient(plan), bad, postFlag(plan)]);
    t.strictSame(statuses(answer), ['201', '422', '201']);
    t.match(answer.json.entry[1].response.outcome, {
      resourceType: 'OperationOutcome',
      issue: [{ code: 'code-invalid', expression: ['Bundle.entry[1].resource.status'] }],
    });
  },
);

conforms(`${spec}/http.html#trules`, 'transaction: all or nothing', async (t) => {
  const plan = freshPlan();
  const refused = await send('transaction', [putPatient(plan), postFlag(plan, { status: 'bad' })]);
  t.match(refused, { status: 422, json: { resourceType: 'OperationOutcome' } });
  t.equal((await asLa('GET', `Patient/${plan.nhsNumber}`)).status, 404, 'nothing was done');
});

conforms(
  `${spec}/http.html#trules`,
  'transaction: references by urn:uuid become the ids that were given',
  async (t) => {
    const plan = freshPlan();
    const fullUrl = 'urn:uuid:0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a62';
    const answer = await send('transaction', [
      postFlag(plan, { subject: { reference: fullUrl } }),
      { ...putPatient(plan), fullUrl },
    ]);
    t.strictSame(statuses(answer), ['201', '201']);
    const { json } = await asLa('GET', `Flag?patient=${plan.nhsNumber}`);
    t.equal(json.entry[0].resource.subject.reference, `Patient/${plan.nhsNumber}`);
  },
);

conforms(
  `${spec}/http.html#trules`,
  'transaction: conditional references become the resource that is found',
  async (t) => {
    const plan = unbornPlan();
    await submit(la, plan);
    const subject = { reference: `Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|${plan.nhsNumber}` };
    const answer = await send('transaction', [postFlag({ ...plan, reference: 'conditional' }, { subject })]);
    t.strictSame(statuses(answer), ['201']);
    const nobody = { reference: `Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|${freshPlan().nhsNumber}` };
    t.match(await send('transaction', [postFlag({ ...plan, reference: 'nobody' }, { subject: nobody })]), {
      status: 422,
      json: { resourceType: 'OperationOutcome' },
    });
  },
);

conforms(
  `${spec}/http.html#trules`,
  'transaction: DELETE, POST, PUT, GET are done in this order, whatever that of the entries',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    const answer = await send('transaction', [
      { request: { method: 'GET', url: `Flag?patient=${plan.nhsNumber}` } },
      postFlag(freshPlan({ nhsNumber: plan.nhsNumber })),
      { request: { method: 'DELETE', url: `Flag/${id}` } },
    ]);
    t.strictSame(statuses(answer), ['200', '201', '204']);
    const [found, created] = answer.json.entry;
    t.match(found.resource, { type: 'searchset', total: 1 }, 'the deleted one is gone, the new one is there');
    t.match(created.response.location, found.resource.entry[0].resource.id);
  },
);

conforms(`${spec}/http.html#trules`, 'transaction: the same resource twice is refused', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const put = { resource: { ...buildFlag(plan), id }, request: { method: 'PUT', url: `Flag/${id}` } };
  t.match(await send('transaction', [put, put]), { status: 400, json: { resourceType: 'OperationOutcome' } });
  t.match((await asLa('GET', `Flag/${id}`)).json.meta, { versionId: '1' });
});

conforms(`${spec}/http.html#transaction`, 'entries read, search, and have their own conditions', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const answer = await send('batch', [
    { request: { method: 'GET', url: `Flag/${id}` } },
    { request: { method: 'GET', url: `Flag?patient=${plan.nhsNumber}` } },
    { request: { method: 'GET', url: 'Flag/no-such-flag' } },
    { resource: { ...buildFlag(plan), id }, request: { method: 'PUT', url: `Flag/${id}`, ifMatch: 'W/"9"' } },
    {
      resource: buildFlag(plan),
      request: {
        method: 'POST',
        url: 'Flag',
        ifNoneExist: `identifier=${plan.referenceSystem}|${plan.reference}`,
      },
    },
  ]);
  t.strictSame(statuses(answer), ['200', '200', '404', '412', '200']);
  t.match(answer.json.entry[0].resource, { resourceType: 'Flag', id });
  t.match(answer.json.entry[1].resource, { resourceType: 'Bundle', type: 'searchset' });
});

conforms(`${spec}/http.html#transaction`, 'Prefer: return holds for the entries', async (t) => {
  const plan = unbornPlan();
  await submit(la, plan);
  const entry = (reference: string) => [postFlag({ ...plan, reference })];
  const whole = await send('transaction', entry('p1'), { prefer: 'return=representation' });
  t.match(whole.json.entry[0], { resource: { resourceType: 'Flag' } });
  const minimal = await send('transaction', entry('p2'), { prefer: 'return=minimal' });
  t.equal(minimal.json.entry[0].resource, undefined);
});

conforms(
  `${spec}/bundle.html`,
  'only batch and transaction are taken; other Bundles, and what is none, are 400',
  async (t) => {
    for (const type of ['history', 'searchset', 'document', 'collection', 'message', 'batch-response', undefined]) {
      t.match(
        await asLa('POST', '', { body: { resourceType: 'Bundle', type, entry: [] } }),
        { status: 400 },
        String(type),
      );
    }
    t.match(await asLa('POST', '', { body: buildPatient(freshPlan()) }), { status: 400 });
  },
);

conforms(`${spec}/bundle.html#references`, 'the url of an entry may begin with a slash or the base', async (t) => {
  const [flag = ''] = await submit(la, freshPlan());
  const urls = [`Flag/${flag}`, `/Flag/${flag}`, `${world.server.baseUrl}/Flag/${flag}`, `//Flag/${flag}`];
  const answer = await send(
    'batch',
    urls.map((url) => ({ request: { method: 'GET', url } })),
  );
  t.strictSame(statuses(answer), ['200', '200', '200', '400']);
});

conforms(
  `${spec}/http.html#brules`,
  'batch: an unknown type is 404 and an interaction that is not served 405, as on their own',
  async (t) => {
    const entries = [
      { request: { method: 'GET', url: 'Observation/1' } },
      { resource: { resourceType: 'AuditEvent' }, request: { method: 'POST', url: 'AuditEvent' } },
      { resource: { ...buildFlag(freshPlan()), id: 'mine' }, request: { method: 'PUT', url: 'Flag/mine' } },
    ];
    const answer = await send('batch', entries);
    t.strictSame(statuses(answer), ['404', '405', '405']);
    for (const { response } of answer.json.entry) t.match(response.outcome.issue, [{ code: 'not-supported' }]);
  },
);
