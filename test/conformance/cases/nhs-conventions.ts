/** Conventions of NHS England's FHIR APIs, and of UK Core. */
import { buildFlag, buildPatient } from '../../../src/synthetic/synthetic-plan.ts';
import { freshNhsNumber, freshPlan, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld } from '../conformance.ts';

const pds = 'https://digital.nhs.uk/developer/api-catalogue/personal-demographics-service-fhir';
const cpis = 'https://simplifier.net/guide/nhs-england-implementation-guide-version-2';
const ukCore = 'https://simplifier.net/hl7fhirukcorer4';
const spine = 'https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode';
const nhsNumberSystem = 'https://fhir.nhs.uk/Id/nhs-number';

const world = await openConformanceWorld();
const { la, asLa, asEpr, asNobody } = world;
const plan = freshPlan();
const [flagId = ''] = await submit(la, plan);

conforms(pds, 'Patient.id is the NHS number, and its identifier is of the NHS number system', async (t) => {
  const { json } = await asEpr('GET', `Patient/${plan.nhsNumber}`);
  t.equal(json.id, plan.nhsNumber);
  t.match(json.identifier, [{ system: nhsNumberSystem, value: plan.nhsNumber }]);
});

conforms(cpis, 'a child is found by patient:identifier, patient.identifier, and by the bare number', async (t) => {
  const identifier = `${nhsNumberSystem}|${plan.nhsNumber}`;
  for (const query of [
    `patient=${plan.nhsNumber}`,
    `patient:identifier=${identifier}`,
    `patient.identifier=${identifier}`,
    `patient:identifier=${encodeURIComponent(identifier)}`,
  ]) {
    const { status, json } = await asEpr('GET', `Flag?${query}`);
    t.equal(status, 200, query);
    t.equal(json.entry[0].resource.id, flagId, query);
  }
});

conforms(cpis, 'no plan is an empty searchset with status 200, not 404', async (t) => {
  t.match(await asEpr('GET', `Flag?patient=${freshNhsNumber()}`), { status: 200, json: { total: 0 } });
});

conforms(spine, 'errors carry the Spine code, with system, version and display', async (t) => {
  const coded = async (request: Promise<{ status: number; json: { issue: { details: { coding: unknown[] } }[] } }>) => {
    const { status, json } = await request;
    const coding = json.issue[0]?.details.coding.at(-1) as Record<string, string>;
    t.match(coding, { system: spine, version: '1', display: String });
    return `${status} ${coding['code']}: ${coding['display']}`;
  };
  t.strictSame(
    [
      await coded(asEpr('GET', 'Flag?patient=9990000019')),
      await coded(asNobody('GET', `Flag/${flagId}`)),
      await coded(asEpr('POST', 'Flag', { body: buildFlag(plan) })),
      await coded(asLa('GET', 'Flag/no-such-flag')),
      await coded(asLa('PUT', `Flag/${flagId}`, { body: buildFlag(plan), headers: { 'if-match': 'W/"9"' } })),
      await coded(asLa('POST', 'Flag', { body: '{' })),
      await coded(asEpr('GET', 'Flag')),
    ],
    [
      '400 INVALID_NHS_NUMBER: Invalid NHS number',
      '401 ACCESS_DENIED: Access has been denied to process this request',
      '403 ACCESS_DENIED: Access has been denied to process this request',
      '404 RESOURCE_NOT_FOUND: Resource not found',
      '412 RESOURCE_VERSION_MISMATCH: Resource version mismatch',
      '400 INVALID_REQUEST_MESSAGE: Invalid request message',
      '400 MISSING_VALUE: Required value is missing',
    ],
  );
});

conforms(pds, 'X-Request-ID has to be a UUID; IsUnscheduledAccessEvent true or false', async (t) => {
  const get = (headers: Record<string, string>) => asEpr('GET', `Flag?patient=${plan.nhsNumber}`, { headers });
  t.equal((await get({ 'x-request-id': 'not-a-uuid' })).status, 400);
  t.equal((await get({ isunscheduledaccessevent: 'maybe' })).status, 400);
  t.equal((await get({ isunscheduledaccessevent: 'true' })).status, 200);
});

conforms(ukCore, 'UK Core: what must be supported of Flag, Patient and Organization is there', async (t) => {
  const { json } = await asEpr('GET', `Flag?patient=${plan.nhsNumber}&_include=Flag:author`);
  const [flag, organization] = json.entry.map((entry: { resource: unknown }) => entry.resource);
  t.match(flag, {
    status: 'active',
    code: { coding: [{ system: 'http://snomed.info/sct' }] },
    subject: { reference: String },
  });
  t.match(organization, {
    identifier: [{ system: 'https://fhir.nhs.uk/Id/ods-organization-code' }],
    name: String,
    telecom: Array,
  });
  const patient = (await asLa('GET', `Patient/${plan.nhsNumber}`)).json;
  t.match(patient, { identifier: Array, name: Array, birthDate: /^\d{4}-\d\d-\d\d$/ });
});

conforms(ukCore, 'UK Core: the profiles are derived from R4 and mark what must be supported', async (t) => {
  const marked: Readonly<Record<string, readonly string[]>> = {
    'cpis-flag': ['Flag.status', 'Flag.code', 'Flag.subject'],
    'cpis-patient': ['Patient.identifier', 'Patient.name', 'Patient.gender', 'Patient.birthDate'],
    'cpis-organization': ['Organization.identifier', 'Organization.name', 'Organization.telecom'],
  };
  for (const [id, paths] of Object.entries(marked)) {
    const { status, json } = await asEpr('GET', `StructureDefinition/${id}`);
    t.equal(status, 200, id);
    t.equal(json.baseDefinition, `http://hl7.org/fhir/StructureDefinition/${json.type}`);
    const elements: { path: string; mustSupport?: boolean }[] = json.differential.element;
    t.strictSame(
      elements.filter(({ mustSupport }) => mustSupport).map(({ path }) => path),
      paths,
    );
  }
});

conforms(
  ukCore,
  'UK Core: the verification status of an NHS number is taken and kept, where it is verified',
  async (t) => {
    const submit = (code: string) => {
      const child = freshPlan();
      const url = 'https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus';
      const system = 'https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland';
      const identifier = { ...buildPatient(child).identifier?.[0] };
      identifier.extension = [{ url, valueCodeableConcept: { coding: [{ system, code }] } }];
      const body = { ...buildPatient(child), id: child.nhsNumber, identifier: [identifier] };
      return asLa('PUT', `Patient/${child.nhsNumber}`, { body, headers: { prefer: 'return=representation' } });
    };
    const kept = await submit('01');
    t.equal(kept.status, 201);
    t.match(kept.json.identifier[0].extension, [{ valueCodeableConcept: { coding: [{ code: '01' }] } }]);
    const untraced = await submit('02');
    t.equal(untraced.status, 422);
    t.match(untraced.json.issue, [{ code: 'invariant', expression: ['Patient.identifier[0].extension[0]'] }]);
  },
);
