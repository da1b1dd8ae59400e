import t from 'tap';
import { buildAccessRecord } from '../../src/cpis/access-record.ts';
import type { Caller, LocalAuthority } from '../../src/cpis/caller.ts';
import { buildOrganization } from '../../src/registry/build-organization.ts';
import {
  changed,
  type Json,
  outline,
  sampleAuditEvent,
  sampleBundle,
  sampleFlag,
  samplePatient,
  sampleSubscription,
  validateBy,
} from './samples.ts';

const authority: LocalAuthority = {
  kind: 'local-authority',
  id: 'E08000035',
  name: 'Testborough Council',
  odsCode: 'A1B2',
  gssCode: 'E08000035',
  dfeCode: '383',
  officeHoursTelephone: '01134960000',
  emergencyDutyTeamTelephone: '01134960001',
};
const sampleOrganization: Json = JSON.parse(JSON.stringify(buildOrganization(authority, 1)));

const verificationStatus = 'https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus';
const verificationSystem = 'https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatus';

/** `Patient.identifier.extension` with UK Core's verification status. */
function verified(coding: Json = {}, concept: Json = {}): Json[] {
  const given = { system: `${verificationSystem}England`, code: '01', ...coding };
  return [{ url: verificationStatus, valueCodeableConcept: { coding: [given], ...concept } }];
}
const statusPath = 'Patient.identifier[0].extension[0]';

/** path, value (undefined: removed) -> `expression code` of all issues. */
type Mutation = [path: string, value: unknown, ...expected: string[]];

const cases: [profile: string, sample: Json, valid: Mutation[], mutations: Mutation[]][] = [
  [
    'patient',
    samplePatient,
    [
      ['gender', undefined],
      ['id', undefined],
      ['name.0.given', undefined],
      ['name', Array(10).fill({ family: 'x', given: Array(10).fill('x') })],
      ['identifier.0.extension', verified()],
      ['identifier.0.extension', verified({ display: 'Number present and verified', version: '2.2.0' })],
      ['identifier.0.extension', verified({ system: verificationSystem })],
    ],
    [
      ['identifier', undefined, 'Patient.identifier required'],
      ['identifier.0.system', 'https://la.example.org/case', 'Patient invariant'],
      ['identifier.1', { system: 'https://la.example.org/case', value: '7' }, 'Patient.identifier structure'],
      ['identifier.1', samplePatient.identifier[0], 'Patient.identifier structure'],
      ['identifier.0.value', '999000001', 'Patient.identifier[0] invariant'],
      ['identifier.0.value', '999 000 0018', 'Patient.identifier[0].value value'],
      ['identifier.0.period', { start: '2020' }, 'Patient.identifier[0].period structure'],
      ['identifier.0.extension', verified({ code: '02' }), `${statusPath} invariant`],
      [
        'identifier.0.extension',
        verified({ code: '09' }),
        `${statusPath}.value.coding[0].code code-invalid`,
        `${statusPath} invariant`,
      ],
      [
        'identifier.0.extension',
        verified({ system: 'https://x' }),
        `${statusPath}.value.coding[0].system code-invalid`,
      ],
      ['identifier.0.extension', verified({ display: 'Seen' }), `${statusPath}.value.coding[0].display code-invalid`],
      ['identifier.0.extension', verified({ version: 'Seen' }), `${statusPath}.value.coding[0].version value`],
      ['identifier.0.extension', verified({}, { text: 'Seen' }), `${statusPath}.value.text structure`],
      ['identifier.0.extension', [...verified(), ...verified()], 'Patient.identifier[0].extension structure'],
      ['identifier.0.extension', [{ url: 'https://x', valueString: 'x' }], `${statusPath}.url extension`],
      ['name', undefined, 'Patient.name required'],
      ['name', Array(11).fill({ text: 'x' }), 'Patient.name structure'],
      ['name.0.given', Array(11).fill('x'), 'Patient.name[0].given structure'],
      ['name.0', { given: ['Ada'] }, 'Patient.name[0] invariant'],
      ['name.0.given', ['Ada', null], 'Patient.name[0].given[1] structure'],
      ['name.0.given', 'Ada', 'Patient.name[0].given structure'],
      ['name.0.prefix', ['Ms'], 'Patient.name[0].prefix structure'],
      ['name.0.family', 'x'.repeat(101), 'Patient.name[0].family too-long'],
      ['name.0.family', 'a\u0000b', 'Patient.name[0].family value'],
      ['name.0.family', '\ud800', 'Patient.name[0].family value'],
      ['name.0.family', '  ', 'Patient.name[0].family value'],
      ['birthDate', undefined, 'Patient.birthDate required'],
      ['birthDate', '2015-06', 'Patient.birthDate invariant'],
      ['birthDate', '2015-02-29', 'Patient.birthDate value'],
      ['_birthDate', { extension: [{ url: 'u', valueCode: 'x' }] }, 'Patient.birthDate structure'],
      ['gender', 'f', 'Patient.gender code-invalid'],
      ...['telecom', 'address', 'contact', 'photo', 'contained', 'extension', 'communication', 'link', 'text'].map(
        (name): Mutation => [name, [{}], `Patient.${name} structure`],
      ),
      ['deceasedBoolean', true, 'Patient.deceased structure'],
      ['multipleBirthInteger', 2, 'Patient.multipleBirth structure'],
      ['maritalStatus', {}, 'Patient.maritalStatus structure'],
      ['active', true, 'Patient.active structure'],
      ['managingOrganization', { reference: 'Organization/1' }, 'Patient.managingOrganization structure'],
    ],
  ],
  [
    'organization',
    sampleOrganization,
    [
      ['contact', undefined],
      ['telecom', undefined],
    ],
    [
      ['identifier', [{ system: 'https://x.example', value: '1' }], 'Organization invariant'],
      ['name', undefined, 'Organization.name required'],
      ['contact.0.purpose', undefined, 'Organization.contact[0].purpose required'],
      [
        'contact.0.purpose.coding.0.code',
        'press-office',
        'Organization.contact[0].purpose.coding[0].code code-invalid',
      ],
      [
        'contact.1.purpose.coding.0.display',
        'Daytime',
        'Organization.contact[1].purpose.coding[0].display code-invalid',
      ],
      ['contact.1.purpose', (sampleOrganization['contact'] as Json[])[0]?.['purpose'], 'Organization invariant'],
      ['telecom.1.use', 'home', 'Organization.telecom[1] invariant'],
      ['contact.0.name', { text: 'x' }, 'Organization.contact[0].name structure'],
      ['telecom.0.rank', 0, 'Organization.telecom[0].rank value'],
      ['address', [{}], 'Organization.address structure'],
    ],
  ],
  [
    'audit-event',
    sampleAuditEvent,
    [['outcomeDesc', 'forbidden']],
    [
      ['type.code', 'object', 'AuditEvent.type value'],
      ['agent.0', undefined, 'AuditEvent.agent[0] structure'],
      ['agent.1.type.coding.0.code', '110153', 'AuditEvent invariant'],
      ['agent.2.who.reference', 'Practitioner/1', 'AuditEvent invariant'],
      ['agent.0.requestor', undefined, 'AuditEvent.agent[0].requestor required'],
      ['entity.0.what', { reference: 'Patient/1' }, 'AuditEvent invariant'],
      ['entity.0.query', 'not base64', 'AuditEvent.entity[0].query value'],
      ['entity.2', undefined, 'AuditEvent.entity[2] structure'],
      ['entity.0.description', 'x', 'AuditEvent.entity[0].description structure'],
      ['action', 'X', 'AuditEvent.action code-invalid'],
      ['recorded', '2026-01-02', 'AuditEvent.recorded value'],
      ['purposeOfEvent', [{ text: 'x' }], 'AuditEvent.purposeOfEvent structure'],
      ['text', {}, 'AuditEvent.text structure'],
    ],
  ],
  [
    'subscription',
    sampleSubscription,
    [
      ['channel.payload', undefined],
      ['channel.header', undefined],
      ['criteria', 'AuditEvent'],
    ],
    [
      ['criteria', undefined, 'Subscription.criteria required'],
      ['criteria', 'Flag?patient=1', 'Subscription.criteria value'],
      ['criteria', 'AuditEventX', 'Subscription.criteria value'],
      ['status', 'on', 'Subscription.status code-invalid'],
      ['channel.type', 'email', 'Subscription.channel.type code-invalid'],
      ['channel.endpoint', 'file:///etc/passwd', 'Subscription.channel.endpoint value'],
      ['channel.payload', 'application/fhir+xml', 'Subscription.channel.payload value'],
      ['channel.header', ['X-A: 1\r\nHost: x'], 'Subscription.channel.header[0] value'],
      ['channel.header', ['no colon'], 'Subscription.channel.header[0] value'],
      ['contact', [{ system: 'phone', value: '1' }], 'Subscription.contact structure'],
      ['extension', [{ url: 'u', valueCode: 'x' }], 'Subscription.extension structure'],
    ],
  ],
  [
    'bundle',
    sampleBundle,
    [
      ['type', 'batch'],
      ['entry', undefined],
    ],
    [
      ['type', 'searchset', 'Bundle.type code-invalid'],
      ['type', undefined, 'Bundle.type required'],
      ['total', 3, 'Bundle.total structure'],
      ['entry', [], 'Bundle.entry structure'],
      ['entry.0.request', undefined, 'Bundle.entry[0].request required'],
      ['entry.1.request.url', undefined, 'Bundle.entry[1].request.url required'],
      ['entry.1.request.method', 'FETCH', 'Bundle.entry[1].request.method code-invalid'],
      ['entry.1.resource', undefined, 'Bundle.entry[1] invariant'],
      ['entry.1.resource', [sampleFlag], 'Bundle.entry[1].resource structure'],
      ['entry.1.resource', {}, 'Bundle.entry[1].resource.resourceType required'],
      ['entry.2.resource', sampleFlag, 'Bundle.entry[2] invariant'],
      ['entry.1.fullUrl', sampleBundle.entry[0]?.fullUrl, 'Bundle invariant'],
      ['entry.1.fullUrl', 'https://x.example/Flag/1/_history/2', 'Bundle.entry[1] invariant'],
      ['entry.1.response', { status: '200' }, 'Bundle.entry[1].response structure'],
      ['signature', {}, 'Bundle.signature structure'],
    ],
  ],
];

for (const [profile, sample, valid, mutations] of cases) {
  t.test(profile, async (t) => {
    t.strictSame(validateBy(profile, sample), [], 'the sample is valid');
    for (const [path, value] of valid) {
      t.strictSame(validateBy(profile, changed(sample, path, value)), [], `${path} may be so`);
    }
    for (const [path, value, ...expected] of mutations) {
      const issues = outline(validateBy(profile, changed(sample, path, value)));
      t.strictSame(issues, expected, `${path} = ${JSON.stringify(value)?.slice(0, 60)}`);
    }
  });
}

t.test('the profiles are closed: no place in a resource accepts further members', async (t) => {
  const closed: [string, Json][] = [
    ['flag', sampleFlag],
    ['patient', samplePatient],
    ['organization', sampleOrganization],
    ['subscription', sampleSubscription],
  ];
  for (const [profile, sample] of closed) {
    for (const path of objectPaths(sample)) {
      const at = path === '' ? '' : `${path}.`;
      for (const name of ['extension', 'modifierExtension', 'x', 'text']) {
        if (path.startsWith('type') || (name === 'text' && /^name\./.test(path))) continue;
        const issues = validateBy(profile, changed(sample, `${at}${name}`, [{ url: 'urn:x', valueString: 'x' }]));
        t.ok(issues.length > 0, `${profile}: ${at}${name}`);
      }
      if (path !== '') t.ok(validateBy(profile, changed(sample, `${at}id`, 'x')).length > 0, `${profile}: ${at}id`);
    }
    for (const path of primitivePaths(sample)) {
      const sibling = path.replace(/[^.]+$/, '_$&');
      t.ok(validateBy(profile, changed(sample, sibling, { id: 'x' })).length > 0, `${profile}: ${sibling}`);
    }
  }
});

t.test('the AuditEvents and Organizations of this server match their profiles', async (t) => {
  const caller: Caller = {
    clientId: 'epr-1',
    role: 'care-provider',
    organisation: { kind: 'care-provider', id: 'RX1', name: 'Testfield Hospital', odsCode: 'RX1' },
    grants: new Map(),
    professional: {
      name: 'Dr Test',
      role: { text: 'Clinician' },
      organisationName: 'Testfield Hospital',
      organisationId: 'RX1',
    },
    tokenId: 'jti-1',
    issuer: 'https://as.example.org',
    silentReads: false,
    subscriptionOrigins: [],
  };
  const authorityCaller: Caller = { ...caller, clientId: 'la-1', role: 'authority', organisation: authority };
  for (const interaction of ['search-type', 'read', 'create', 'transaction'] as const) {
    for (const who of [caller, authorityCaller, undefined]) {
      const facts = {
        id: '0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a63',
        recordedMs: 1_767_225_600_000,
        interaction,
        outcome: who === undefined ? '4' : '0',
        caller: who,
        clientAddress: '192.0.2.1',
        requestId: '0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a64',
        raw: 'GET Flag?patient=9990000018',
        patientIds: ['9990000018'],
        custodianIds: ['E08000035', 'E09000001'],
        notifyIds: [],
        inAccessHistory: true,
      } as const;
      const record = buildAccessRecord(facts, { baseUrl: 'https://cpis.example.org/fhir' });
      t.strictSame(validateBy('audit-event', JSON.parse(record.body)), [], `${interaction} by ${who?.role}`);
    }
  }
  const provider = buildOrganization(caller.organisation, 1);
  t.strictSame(validateBy('organization', JSON.parse(JSON.stringify(provider))), []);
});

/** Returns the paths of the objects in a resource, the root first. */
function objectPaths(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const below = Object.entries(value).flatMap(([name, item]) =>
    objectPaths(item, path === '' ? name : `${path}.${name}`),
  );
  return Array.isArray(value) ? below : [path, ...below];
}

function primitivePaths(value: Json): string[] {
  return objectPaths(value).flatMap((path) => {
    let at: unknown = value;
    for (const name of path === '' ? [] : path.split('.')) at = (at as Json)[name];
    const names = Object.entries(at as Json).filter(
      ([name, item]) => typeof item !== 'object' && name !== 'resourceType',
    );
    return names.map(([name]) => (path === '' ? name : `${path}.${name}`));
  });
}
