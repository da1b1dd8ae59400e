import type { Flag } from 'fhir/r4.js';
import { test } from 'tap';
import { buildAccessHistoryEntry } from '../../src/cpis/access-history.ts';
import { sharePatient } from '../../src/cpis/shared-patient.ts';
import { sharePlan } from '../../src/cpis/shared-plan.ts';

const text = 'neglect-heroin';
const meta = {
  versionId: '3',
  lastUpdated: '2026-01-02T00:00:00.000Z',
  source: `urn:${text}`,
  profile: [`urn:${text}`],
  security: [{ display: text }],
  tag: [{ display: text }],
  extension: [{ url: `urn:${text}` }],
};

/** A Flag with text in every element that could carry it, also those that the profile refuses. */
const flag = {
  resourceType: 'Flag',
  id: 'f-1',
  meta,
  implicitRules: `urn:${text}`,
  language: text,
  text: { status: 'generated', div: `<div>${text}</div>` },
  contained: [{ resourceType: 'Basic', id: text }],
  extension: [{ url: `urn:${text}`, valueString: text }],
  modifierExtension: [{ url: `urn:${text}` }],
  identifier: [{ system: `urn:${text}`, value: text, type: { text }, assigner: { display: text } }],
  status: 'active',
  _status: { extension: [{ url: `urn:${text}` }] },
  category: [{ coding: [{ system: 's', code: 'c', display: text, version: text }], text }],
  code: { coding: [{ system: 'http://snomed.info/sct', code: '342191000000101', display: text, version: text }], text },
  subject: { reference: 'Patient/9990000018', display: text, identifier: { value: text }, type: text },
  period: { start: '2026-01-01', _start: { extension: [{ url: `urn:${text}` }] }, id: text },
  encounter: { display: text },
  author: { reference: 'Organization/E99000001', display: text, identifier: { system: `urn:${text}`, value: text } },
} as unknown as Flag;

test('NHS staff are shown no text of an authority, wherever a plan may carry it', async (t) => {
  const shown = sharePlan(flag);
  t.notMatch(JSON.stringify(shown), /neglect|heroin/);
  t.strictSame(shown, {
    resourceType: 'Flag',
    id: 'f-1',
    meta: {
      versionId: '3',
      lastUpdated: '2026-01-02T00:00:00.000Z',
      tag: [
        {
          system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
          code: 'SUBSETTED',
        },
      ],
    },
    status: 'active',
    category: [{ coding: [{ system: 's', code: 'c' }] }],
    code: {
      coding: [
        { system: 'http://snomed.info/sct', code: '342191000000101', display: 'Subject to child protection plan' },
      ],
    },
    subject: { reference: 'Patient/9990000018' },
    period: { start: '2026-01-01' },
    author: { reference: 'Organization/E99000001' },
  });
  const { meta: _, ...ended } = sharePlan({
    ...flag,
    meta: {},
    status: 'inactive',
    period: { start: '2026-01-01', end: '2026-02-01' },
  });
  t.match(ended, { status: 'inactive', period: { start: '2026-01-01', end: '2026-02-01' } });
});

test('nor of the authority that submitted a Patient, nor of another EPR in the access history', async (t) => {
  const patient = sharePatient({
    resourceType: 'Patient',
    id: '9990000018',
    meta,
    name: [{ text }],
    identifier: [
      { system: 'https://fhir.nhs.uk/Id/nhs-number', value: '9990000018', assigner: { display: text } },
      { system: `urn:${text}`, value: text },
    ],
  });
  t.notMatch(JSON.stringify(patient), /neglect|heroin/);
  const role = [
    { system: `urn:${text}`, code: text, display: text },
    { system: 'https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName', code: text },
  ];
  const nurse = { system: 'https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName', code: 'R8001', display: 'Nurse' };
  const entry = buildAccessHistoryEntry({
    resourceType: 'AuditEvent',
    id: 'a-1',
    meta,
    type: { code: 'rest' },
    recorded: '2026-01-02T00:00:00.000Z',
    source: { observer: { display: 'cpis-fhir' } },
    agent: [
      {
        type: { coding: [{ code: 'IRCP' }] },
        role: [{ coding: [...role, nurse], text: 'Nurse' }],
        who: {
          identifier: { system: 'https://fhir.nhs.uk/Id/ods-organization-code', value: text },
          display: 'Alex Example',
        },
        name: 'Alex Example',
        requestor: true,
        policy: [`urn:${text}`],
        network: { address: text },
      },
      {
        type: { coding: [{ code: 'PROV' }] },
        who: {
          identifier: { system: 'https://fhir.nhs.uk/Id/ods-organization-code', value: 'ZZH01' },
          display: 'Hospital',
        },
        requestor: false,
      },
    ],
    entity: [{ role: { code: '4' }, query: text }],
  });
  t.notMatch(JSON.stringify(entry), /neglect|heroin/);
  t.match(entry.agent, [
    { role: [{ coding: [nurse], text: 'Nurse' }], who: { display: 'Alex Example' } },
    { who: { identifier: { value: 'ZZH01' }, display: 'Hospital' } },
  ]);
});
