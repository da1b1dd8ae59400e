/** https://hl7.org/fhir/R4/resource-operation-validate.html, compartments, and the definitions of this server. */
import { buildFlag, buildPatient } from '../../../src/synthetic/synthetic-plan.ts';
import { freshPlan, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { la, asLa, asEpr, asOtherLa } = world;
const plan = freshPlan();
const [flagId = ''] = await submit(la, plan);
const validate = (path: string, resource: object | undefined, mode?: string) =>
  asLa('POST', `${path}/$validate`, {
    body: {
      resourceType: 'Parameters',
      parameter: [
        ...(mode === undefined ? [] : [{ name: 'mode', valueCode: mode }]),
        ...(resource === undefined ? [] : [{ name: 'resource', resource }]),
      ],
    },
  });
const severities = ({ json }: { json: { issue: { severity: string }[] } }): string[] =>
  json.issue.map(({ severity }) => severity);

conforms(
  `${spec}/resource-operation-validate.html`,
  '$validate on a type: 200 with all issues, and nothing is stored',
  async (t) => {
    const good = await validate('Flag', buildFlag(plan), 'create');
    t.match(good, { status: 200, json: { resourceType: 'OperationOutcome' } });
    t.notOk(severities(good).includes('error'));
    const bad = await validate('Flag', { ...buildFlag(plan), status: 'bad', zzz: 1 });
    t.equal(bad.status, 200);
    t.match(bad.json.issue, [
      { severity: 'error', expression: Array },
      { severity: 'error', expression: Array },
    ]);
    t.match(await validate('Patient', buildPatient(freshPlan())), { status: 200 });
    t.match((await asLa('GET', `Flag/${flagId}`)).json, { meta: { versionId: '1' } });
  },
);

conforms(
  `${spec}/resource-operation-validate.html`,
  '$validate on an instance, for update and delete; of others it is 404',
  async (t) => {
    t.match(await validate(`Flag/${flagId}`, { ...buildFlag(plan), id: flagId }, 'update'), { status: 200 });
    t.match(await validate(`Flag/${flagId}`, undefined, 'delete'), { status: 200 });
    const body = { resourceType: 'Parameters', parameter: [{ name: 'mode', valueCode: 'delete' }] };
    t.equal((await asOtherLa('POST', `Flag/${flagId}/$validate`, { body })).status, 404);
    t.equal((await asEpr('POST', 'Flag/$validate', { body: buildFlag(plan) })).status, 403);
  },
);

conforms(`${spec}/compartmentdefinition-patient.html`, 'Patient/N/Flag is Flag?patient=N', async (t) => {
  const { status, json } = await asEpr('GET', `Patient/${plan.nhsNumber}/Flag`);
  t.equal(status, 200);
  t.match(json, { type: 'searchset', total: 1, entry: [{ resource: { id: flagId } }] });
  t.equal((await asLa('GET', `Patient/${plan.nhsNumber}/Flag?status=inactive`)).json.total, 0);
  t.equal((await asEpr('GET', `Patient/${plan.nhsNumber}/Observation`)).status, 404);
});

conforms(`${spec}/terminologies.html`, 'the definitions of this server are read and found by url', async (t) => {
  const statement = (await asLa('GET', 'metadata')).json;
  for (const { type, supportedProfile = [] } of statement.rest[0].resource) {
    for (const url of supportedProfile.filter((each: string) => each.startsWith('https://cpis-fhir.example.org/'))) {
      const { status, json } = await asEpr('GET', `StructureDefinition?url=${encodeURIComponent(url)}`);
      t.equal(status, 200, url);
      t.match(json, { total: 1, entry: [{ resource: { resourceType: 'StructureDefinition', url, type } }] });
      const { id } = json.entry[0].resource;
      t.match(await asEpr('GET', `StructureDefinition/${id}`), { status: 200, json: { url } });
    }
  }
  for (const type of ['SearchParameter', 'OperationDefinition', 'ValueSet', 'CodeSystem']) {
    const { status, json } = await asLa('GET', type);
    t.equal(status, 200, type);
    t.ok(json.entry.length > 0, type);
  }
});
