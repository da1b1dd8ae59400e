import t from 'tap';
import { loadDefinitions } from '../../../src/fhir/definitions/load-definitions.ts';
import { buildValidator } from '../../../src/fhir/validation/validator.ts';
import { changed, type Json, outline } from '../../profiles/samples.ts';

const validator = buildValidator({
  definitions: loadDefinitions(),
  profiles: { profiles: new Map(), valueSets: new Map() },
});

const div = '<div xmlns="http://www.w3.org/1999/xhtml">Text</div>';

/** Based on the examples that R4 publishes with each resource. */
const examples: Json[] = [
  {
    resourceType: 'Patient',
    id: 'example',
    text: { status: 'generated', div },
    identifier: [
      {
        use: 'usual',
        type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'MR' }] },
        system: 'urn:oid:1.2.36.146.595.217.0.1',
        value: '12345',
        period: { start: '2001-05-06' },
        assigner: { display: 'Acme Healthcare' },
      },
    ],
    active: true,
    name: [
      { use: 'official', family: 'Chalmers', given: ['Peter', 'James'] },
      { use: 'maiden', family: 'Windsor', given: ['Peter', 'James'], period: { end: '2002' } },
    ],
    telecom: [{ use: 'home' }, { system: 'phone', value: '(03) 5555 6473', use: 'work', rank: 1 }],
    gender: 'male',
    birthDate: '1974-12-25',
    _birthDate: {
      extension: [
        {
          url: 'http://hl7.org/fhir/StructureDefinition/patient-birthTime',
          valueDateTime: '1974-12-25T14:35:45-05:00',
        },
      ],
    },
    deceasedBoolean: false,
    address: [{ use: 'home', type: 'both', text: '534 Erewhon St', line: ['534 Erewhon St'], city: 'PleasantVille' }],
    contact: [
      {
        relationship: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0131', code: 'N' }] }],
        name: {
          family: 'du Marché',
          _family: {
            extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/humanname-own-prefix', valueString: 'VV' }],
          },
          given: ['Bénédicte', null],
          _given: [null, { id: 'second', extension: [{ url: 'urn:x', valueDecimal: 1.5 }] }],
        },
        gender: 'female',
        period: { start: '2012' },
      },
    ],
    managingOrganization: { reference: '#org' },
    contained: [{ resourceType: 'Organization', id: 'org', name: 'Acme' }],
  },
  {
    resourceType: 'Flag',
    id: 'example',
    text: { status: 'generated', div },
    identifier: [{ value: '12345' }],
    status: 'inactive',
    category: [
      {
        coding: [{ system: 'http://terminology.hl7.org/CodeSystem/flag-category', code: 'safety', display: 'Safety' }],
        text: 'Safety',
      },
    ],
    code: {
      coding: [{ system: 'http://example.org/local', code: 'bigdog', display: 'Big dog' }],
      text: 'Big dog at his home. Always wear a suit of armor or take other active counter-measures',
    },
    subject: { reference: 'Patient/example', display: 'Peter Patient' },
    period: { start: '2015-01-17', end: '2016-12-01' },
    author: { reference: 'Practitioner/example', display: 'Nancy Nurse' },
  },
  {
    resourceType: 'AuditEvent',
    id: 'example-rest',
    type: { system: 'http://terminology.hl7.org/CodeSystem/audit-event-type', code: 'rest' },
    subtype: [{ system: 'http://hl7.org/fhir/restful-interaction', code: 'vread', display: 'vread' }],
    action: 'R',
    period: { start: '2013-06-20T23:42:24Z', end: '2013-06-20T23:42:25.123Z' },
    recorded: '2013-06-20T23:42:24Z',
    outcome: '0',
    agent: [
      {
        type: {
          coding: [{ system: 'http://terminology.hl7.org/CodeSystem/extra-security-role-type', code: 'humanuser' }],
        },
        who: { identifier: { value: '95' } },
        altId: '601847123',
        name: 'Grahame Grieve',
        requestor: true,
        network: { address: '127.0.0.1', type: '2' },
      },
    ],
    source: { site: 'Cloud', observer: { display: 'Watcher' } },
    entity: [
      {
        what: { reference: 'Patient/example/_history/1' },
        detail: [{ type: 'x', valueBase64Binary: 'aGVsbG8gd29ybGQ=' }],
      },
    ],
  },
  {
    resourceType: 'Organization',
    id: 'hl7',
    name: 'Health Level Seven International',
    alias: ['HL7 International'],
    telecom: [
      { system: 'phone', value: '(+1) 734-677-7777' },
      { system: 'email', value: 'hq@HL7.org' },
    ],
    address: [{ line: ['3300 Washtenaw Avenue, Suite 227'], city: 'Ann Arbor', country: 'USA' }],
    endpoint: [{ reference: 'Endpoint/example' }],
  },
  {
    resourceType: 'Subscription',
    id: 'example',
    status: 'requested',
    contact: [{ system: 'phone', value: 'ext 4123' }],
    end: '2021-01-01T00:00:00Z',
    reason: 'Monitor new neonatal function',
    criteria: 'Observation?code=http://loinc.org|1975-2',
    channel: {
      type: 'rest-hook',
      endpoint: 'https://biliwatch.com/customers/mount-auburn-miu/on-result',
      payload: 'application/fhir+json',
      header: ['Authorization: Bearer secret-token-abc-123'],
    },
  },
  {
    resourceType: 'Bundle',
    type: 'searchset',
    total: 3,
    link: [{ relation: 'self', url: 'https://example.com/base/Flag?patient=347' }],
    entry: [
      {
        fullUrl: 'https://example.com/base/Patient/3123',
        resource: { resourceType: 'Patient', id: '3123' },
        search: { mode: 'match', score: 1 },
      },
    ],
  },
  {
    resourceType: 'Parameters',
    id: 'example',
    parameter: [
      { name: 'exact', valueBoolean: true },
      {
        name: 'property',
        part: [
          { name: 'code', valueCode: 'focus' },
          { name: 'n', valueUnsignedInt: 0 },
        ],
      },
      { name: 'patient', resource: { resourceType: 'Patient', id: 'example' } },
    ],
  },
  {
    resourceType: 'OperationOutcome',
    issue: [{ severity: 'error', code: 'structure', details: { text: 'x' }, expression: ['Patient.name'] }],
  },
];

const sampleOf = (type: string): Json => examples.find((example) => example['resourceType'] === type) ?? {};
const validate = (resource: Json) => outline(validator.validate(resource, String(resource['resourceType'])));
const extended = (extension: unknown) => changed(sampleOf('Flag'), 'extension', [extension]);

t.test('examples of R4 are valid, and are not changed', async (t) => {
  for (const example of examples) {
    const before = JSON.stringify(example);
    t.strictSame(validate(deepFreeze(structuredClone(example)) as Json), [], String(example['resourceType']));
    validate(example);
    t.equal(JSON.stringify(example), before);
    t.strictSame(Object.getOwnPropertySymbols(example), []);
  }
});

const patient = sampleOf('Patient');
const mutations: [resource: Json, ...expected: string[]][] = [
  [changed(patient, 'name', []), 'Patient.name structure'],
  [changed(patient, 'name.0', {}), 'Patient.name[0] structure'],
  [changed(patient, 'name.0', null), 'Patient.name[0] structure'],
  [changed(patient, 'name.0.family', ''), 'Patient.name[0].family value'],
  [changed(patient, 'name.0.given', ['Peter', null]), 'Patient.name[0].given[1] structure'],
  [changed(patient, 'contact.0.name._given', [null, null]), 'Patient.contact[0].name.given[1] structure'],
  [changed(patient, 'contact.0.name._given', [{ id: 'first' }]), 'Patient.contact[0].name.given structure'],
  [changed(patient, 'contact.0.name.given', ['Ann']), 'Patient.contact[0].name.given structure'],
  [changed(patient, 'contact.0.name._given', undefined), 'Patient.contact[0].name.given[1] structure'],
  [changed(patient, 'contact.0.name._given.1.id', ['x']), 'Patient.contact[0].name.given[1].id structure'],
  [changed(patient, '_birthDate', {}), 'Patient.birthDate structure'],
  [changed(patient, '_birthDate.extension.0.url', undefined), 'Patient.birthDate.extension[0].url required'],
  [changed(patient, '_birthDate.extension.0.valueDateTime', undefined), 'Patient.birthDate.extension[0] invariant'],
  [changed(patient, 'deceasedDateTime', '2020'), 'Patient.deceased structure'],
  [changed(patient, 'deceasedString', 'no'), 'Patient.deceasedString structure'],
  [changed(patient, 'active', 'true'), 'Patient.active value'],
  [changed(patient, 'birthDate', 19741225), 'Patient.birthDate value'],
  [changed(patient, 'birthDate', '1974-13-25'), 'Patient.birthDate value'],
  [changed(patient, 'birthDate', '1900-02-29'), 'Patient.birthDate value'],
  [changed(patient, 'telecom.1.rank', 1.5), 'Patient.telecom[1].rank value'],
  [changed(patient, 'telecom.1.rank', 0), 'Patient.telecom[1].rank value'],
  [changed(patient, 'telecom.1.system', undefined), 'Patient.telecom[1] invariant'],
  [changed(patient, 'contact.0', { gender: 'female' }), 'Patient.contact[0] invariant'],
  [
    changed(patient, 'managingOrganization.reference', 'Patient/1'),
    'Patient.managingOrganization.reference value',
    'Patient invariant',
  ],
  [
    changed(patient, 'managingOrganization.reference', '#nobody'),
    'Patient invariant',
    'Patient.managingOrganization invariant',
  ],
  [changed(patient, 'contained.0.meta', { versionId: '1' }), 'Patient invariant'],
  [changed(patient, 'contained.0.resourceType', undefined), 'Patient.contained[0].resourceType required'],
  [changed(patient, 'text.div', 'plain'), 'Patient.text.div value'],
  [changed(patient, 'id', 'a_b'), 'Patient.id value'],
  [changed(patient, 'implicitRules', 'a b'), 'Patient.implicitRules value'],
  [changed(sampleOf('Flag'), 'status', undefined), 'Flag.status required'],
  [changed(sampleOf('Flag'), 'period.end', '2014'), 'Flag.period invariant'],
  [changed(sampleOf('Flag'), 'period.start', '2015-01-17T10:00:00'), 'Flag.period.start value'],
  [extended({ url: 'u', valueString: 'a', valueInteger: 1 }), 'Flag.extension[0].value structure'],
  [extended({ url: 'u', valueInteger: 2147483648 }), 'Flag.extension[0].value value'],
  [extended({ url: 'u', valueTime: '25:00:00' }), 'Flag.extension[0].value value'],
  [extended({ url: 'u', valueUuid: 'urn:uuid:x' }), 'Flag.extension[0].value value'],
  [extended({ url: 'u', valueCode: ' a' }), 'Flag.extension[0].value value'],
  [extended({ url: 'u', valuePeriod: { start: '2021', end: '2020' } }), 'Flag.extension[0].value invariant'],
  [
    extended({ url: 'u', valueString: 'a', extension: [{ url: 'v', valueString: 'b' }] }),
    'Flag.extension[0] invariant',
  ],
  [extended({ url: 'u', valueString: 'a', _url: {} }), 'Flag.extension[0]._url structure'],
  [changed(sampleOf('AuditEvent'), 'agent', undefined), 'AuditEvent.agent required'],
  [changed(sampleOf('AuditEvent'), 'agent.0.requestor', undefined), 'AuditEvent.agent[0].requestor required'],
  [
    changed(sampleOf('AuditEvent'), 'entity.0.detail.0.valueBase64Binary', 'a'),
    'AuditEvent.entity[0].detail[0].value value',
  ],
  [
    changed(sampleOf('AuditEvent'), 'entity.0.detail.0.valueBase64Binary', undefined),
    'AuditEvent.entity[0].detail[0].value required',
  ],
  [
    changed(sampleOf('AuditEvent'), 'entity.0.detail.0.valueString', 'x'),
    'AuditEvent.entity[0].detail[0].value structure',
  ],
  [changed(sampleOf('AuditEvent'), 'period.start', '2013-06-20T23:42:24.001Z')],
  [changed(sampleOf('Subscription'), 'channel', undefined), 'Subscription.channel required'],
  [changed(sampleOf('Subscription'), 'channel.type', 'carrier-pigeon'), 'Subscription.channel.type code-invalid'],
  [
    changed(sampleOf('Parameters'), 'parameter.1.part.0.name', undefined),
    'Parameters.parameter[1].part[0].name required',
  ],
  [
    changed(sampleOf('Parameters'), 'parameter.0.part', [{ name: 'x' }]),
    'Parameters.parameter[0] invariant',
    'Parameters.parameter[0].part[0] invariant',
  ],
  [changed(sampleOf('OperationOutcome'), 'issue.0.code', 'bad'), 'OperationOutcome.issue[0].code code-invalid'],
  [changed(sampleOf('Bundle'), 'type', 'batch'), 'Bundle invariant', 'Bundle invariant', 'Bundle invariant'],
];

t.test('reports each single change', async (t) => {
  for (const [resource, ...expected] of mutations) t.strictSame(validate(resource), expected, expected.join());
});

t.test('refuses what is not a resource of the type', async (t) => {
  for (const value of [null, undefined, 'x', 1, [], [patient]]) {
    t.strictSame(outline(validator.validate(value, 'Patient')), ['Patient structure']);
  }
  t.strictSame(outline(validator.validate({}, 'Patient')), ['Patient.resourceType required']);
  t.throws(() => validator.validate({}, 'https://unknown.example/profile'), /no definition/);
});

t.test('a required primitive may be present only as its _name object', async (t) => {
  const { status: _, ...rest } = sampleOf('Flag');
  const absent = {
    extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', valueCode: 'unknown' }],
  };
  t.strictSame(validate({ ...rest, _status: absent }), []);
});

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
}

t.test('Narrative: requires well-formed XHTML of the allowed elements, with content', async (t) => {
  const xmlns = 'xmlns="http://www.w3.org/1999/xhtml"';
  const narrative = (text: string) => validate(changed(sampleOf('Flag'), 'text.div', text));
  for (const valid of [
    `<div ${xmlns}>Text</div>`,
    `<div ${xmlns}>\n<p class='a'>a &lt; b &#xa0;<br/><b>c</b></p><!-- said --><img src="#x" alt=""/></div>`,
    `<div ${xmlns}><img src="data:image/gif;base64,R0lGODlhAQ=="/></div>`,
    `<div ${xmlns}><table><tbody><tr><td colspan="2"><a href="https://x.example/">x</a></td></tr></tbody></table></div>`,
  ]) {
    t.strictSame(narrative(valid), [], valid);
  }
  for (const invalid of [
    'Text',
    '<div>Text</div>',
    `<p ${xmlns}>Text</p>`,
    `<div ${xmlns}></div>`,
    `<div ${xmlns}> <p/> </div>`,
    `<div ${xmlns}/>`,
    `<div ${xmlns}>Text`,
    `<div ${xmlns}>Text</div>more`,
    `<div ${xmlns}>Text</div><div ${xmlns}>more</div>`,
    `<div ${xmlns}><b><i>x</b></i></div>`,
    `<div ${xmlns}>a & b</div>`,
    `<div ${xmlns}>a < b</div>`,
    `<div ${xmlns}><script>x</script></div>`,
    `<div ${xmlns}><form>x</form></div>`,
    `<div ${xmlns}><p onclick="x()">x</p></div>`,
    `<div ${xmlns}><p class="a" class="b">x</p></div>`,
    `<div ${xmlns}><a href="javascript:x()">x</a></div>`,
    `<div ${xmlns}><img src="https://x.example/x.gif"/></div>`,
    `<div xmlns="urn:x">x</div>`,
    `<!DOCTYPE html><div ${xmlns}>x</div>`,
    `<div ${xmlns}><![CDATA[x]]></div>`,
    `<div ${xmlns}>${'<b>'.repeat(200)}x${'</b>'.repeat(200)}</div>`,
  ]) {
    t.strictSame(narrative(invalid), ['Flag.text.div value'], invalid.slice(0, 80));
  }
  // An algorithm that is not linear would exceed the timeout of the test.
  for (const part of [' ', '<b ', '<!--', '&amp', '<a href="', '--'])
    t.ok(narrative(`<div ${xmlns}>${part.repeat(150_000)}`).length > 0, part);
});
