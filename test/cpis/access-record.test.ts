import { join } from 'node:path';
import type { AuditEvent } from 'fhir/r4.js';
import { test } from 'tap';
import type { AccessFacts } from '../../src/cpis/access-facts.ts';
import { buildAccessHistoryEntry } from '../../src/cpis/access-history.ts';
import { buildAccessRecord } from '../../src/cpis/access-record.ts';
import { isSilent, notifiedOfRead, notifiedOfWrite, visibleHolders } from '../../src/cpis/audience.ts';
import type { Caller } from '../../src/cpis/caller.ts';
import { accessHistoryLabel, clientOf, ownerLabel, ownerOf, viewerLabel } from '../../src/cpis/labels.ts';
import type { Plan } from '../../src/cpis/plan.ts';
import { loadDefinitions } from '../../src/fhir/definitions/load-definitions.ts';
import { loadProfiles } from '../../src/fhir/definitions/load-profiles.ts';
import { buildValidator } from '../../src/fhir/validation/validator.ts';

const definitions = loadDefinitions();
const profiles = loadProfiles(join(import.meta.dirname, '../../profiles'), definitions);
const validator = buildValidator({ definitions, profiles });
const ownProfile = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-audit-event';
const balp = 'https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.';

const shared = {
  grants: new Map(),
  issuer: 'http://127.0.0.1',
  subscriptionOrigins: [],
};
const authority: Caller = {
  ...shared,
  clientId: 'case-system-1',
  role: 'authority',
  organisation: {
    kind: 'local-authority',
    id: 'E99000001',
    name: 'Northmoor (synthetic)',
    odsCode: 'ZZL01',
    gssCode: 'E99000001',
    dfeCode: '901',
    officeHoursTelephone: '01632 960010',
    emergencyDutyTeamTelephone: '01632 960019',
  },
  tokenId: 'token-id-of-authority',
  silentReads: false,
};
const careProvider: Caller = {
  ...shared,
  clientId: 'epr-1',
  role: 'care-provider',
  organisation: { kind: 'care-provider', id: 'ZZH01', name: 'Northmoor General (synthetic)', odsCode: 'ZZH01' },
  professional: {
    id: { system: 'https://fhir.nhs.uk/Id/sds-user-id', value: '555000555000' },
    name: 'Alex Example',
    role: { system: 'https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName', code: 'R8000', text: 'Clinician' },
    organisationName: 'Northmoor General (synthetic)',
    organisationId: 'ZZH01',
  },
  tokenId: 'token-id-of-epr',
  silentReads: true,
};
const operator: Caller = {
  ...shared,
  clientId: 'operator-1',
  role: 'operator',
  organisation: { kind: 'operator', id: 'ZZS01', name: 'Operator (synthetic)', odsCode: 'ZZS01' },
  tokenId: 'token-id-of-operator',
  silentReads: false,
};

const facts: AccessFacts = {
  id: '0199f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a59',
  recordedMs: Date.parse('2026-11-22T10:11:12.345Z'),
  interaction: 'search-type',
  type: 'Flag',
  outcome: '0',
  caller: careProvider,
  clientAddress: '127.0.0.9',
  requestId: '7f1f5c0e-35a4-4f6a-9f50-0f1b6f9e8f11',
  raw: 'GET Flag?patient=9990000018',
  patientIds: ['9990000018'],
  custodianIds: ['E99000001', 'E99000002'],
  notifyIds: ['E99000001', 'E99000002'],
  inAccessHistory: true,
};

const source = { baseUrl: 'http://127.0.0.1/FHIR/R4' };
const build = (over: Partial<AccessFacts>): AuditEvent =>
  JSON.parse(buildAccessRecord({ ...facts, ...over }, source).body);
const agentsOf = (event: AuditEvent, code: string) =>
  event.agent.filter((agent) => agent.type?.coding?.[0]?.code === code);

test('every AuditEvent is valid R4 and meets our profile', async (t) => {
  const interactions: AccessFacts['interaction'][] = [
    'read',
    'vread',
    'search-type',
    'create',
    'update',
    'delete',
    'batch',
    'transaction',
  ];
  const callers = [authority, careProvider, operator, undefined];
  let built = 0;
  for (const interaction of interactions) {
    for (const caller of callers) {
      for (const outcome of ['0', '4', '8'] as const) {
        for (const patientIds of [[], ['9990000018'], ['9990000018', '9990000026']]) {
          const resource = interaction === 'search-type' || patientIds.length > 1 ? {} : { resource: 'Flag/abc' };
          const reason = outcome === '0' ? {} : { outcomeReason: 'forbidden' };
          const event = build({ interaction, caller, outcome, patientIds, ...resource, ...reason });
          const name = `${interaction} ${caller?.role} ${outcome} ${patientIds.length}`;
          const issues = [...validator.validate(event, 'AuditEvent'), ...validator.validate(event, ownProfile)];
          if (issues.length > 0) t.fail(name, { issues });
          built += 1;
        }
      }
    }
  }
  t.equal(built, 288);
});

test('BALP PatientQuery: a search by a professional', async (t) => {
  const record = buildAccessRecord({ ...facts, correlationId: 'c-1' }, source);
  const event: AuditEvent = JSON.parse(record.body);
  t.strictSame(event.meta?.profile, [ownProfile, `${balp}PatientQuery`]);
  t.match(event, { type: { code: 'rest' }, subtype: [{ code: 'search-type' }], action: 'E', outcome: '0' });
  t.equal(event.recorded, '2026-11-22T10:11:12.345Z');
  const [client] = agentsOf(event, '110153');
  const [server] = agentsOf(event, '110152');
  const [user] = agentsOf(event, 'IRCP');
  t.match(client, { who: { identifier: { value: 'epr-1' } }, requestor: false, network: { address: '127.0.0.9' } });
  t.match(server, { requestor: false, network: { address: source.baseUrl } });
  t.match(user, { name: 'Alex Example', requestor: true, policy: ['urn:ietf:params:oauth:jti:token-id-of-epr'] });
  t.match(user?.role, [{ coding: [{ code: 'R8000' }], text: 'Clinician' }]);
  t.match(agentsOf(event, 'PROV'), [{ who: { identifier: { value: 'ZZH01' } } }]);
  t.strictSame(
    agentsOf(event, 'custodian').map((agent) => agent.who?.reference),
    ['Organization/E99000001', 'Organization/E99000002'],
  );
  const query = event.entity?.filter((entity) => entity.role?.code === '24') ?? [];
  t.strictSame(
    query.map((entity) => Buffer.from(entity.query ?? '', 'base64').toString()),
    ['GET Flag?patient=9990000018'],
  );
  const patients = event.entity?.filter((entity) => entity.role?.code === '1') ?? [];
  t.strictSame(
    patients.map((entity) => entity.what?.reference),
    ['Patient/9990000018'],
  );
  const transaction = event.entity?.find((entity) => entity.type?.code === 'XrequestId');
  t.equal(transaction?.what?.identifier?.value, facts.requestId);
  t.strictSame(transaction?.detail, [{ type: 'X-Correlation-ID', valueString: 'c-1' }]);
  t.match(record, { patients: ['Patient/9990000018'], deliverTo: ['E99000001', 'E99000002'], subtype: 'search-type' });
  t.ok(record.labels.includes(accessHistoryLabel));
  t.notMatch(record.body, /purposeOf|"total"|period|342191/, 'no result content, no reason for the visit');
});

test('BALP reads and writes: profile, action, roles of client and server', async (t) => {
  const cases = [
    ['read', 'R', 'PatientRead', '110152', '110153'],
    ['vread', 'R', 'PatientRead', '110152', '110153'],
    ['create', 'C', 'PatientCreate', '110153', '110152'],
    ['update', 'U', 'PatientUpdate', '110153', '110152'],
  ] as const;
  for (const [interaction, action, profile, client, server] of cases) {
    const event = build({ interaction, caller: authority, resource: 'Flag/abc', custodianIds: ['E99000001'] });
    t.strictSame(event.meta?.profile?.[1], `${balp}${profile}`);
    t.equal(event.action, action);
    t.match(agentsOf(event, client), [{ who: { identifier: { value: 'case-system-1' } } }]);
    t.match(agentsOf(event, server), [{ who: { display: 'cpis-fhir' } }]);
    const user = interaction === 'read' || interaction === 'vread' ? 'IRCP' : 'AUT';
    t.match(agentsOf(event, user), [{ who: { reference: 'Organization/E99000001' }, requestor: true }]);
    t.match(event.entity?.[0], { what: { reference: 'Flag/abc' }, role: { code: '4' } });
    t.notOk(event.entity?.some((entity) => entity.query !== undefined));
  }
  t.equal(build({ interaction: 'delete' }).action, 'D');
  t.match(build({ interaction: 'read', type: 'Patient' }).entity?.[0]?.what, { reference: 'Patient/9990000018' });
  t.strictSame(build({ patientIds: ['9990000018', '9990000026'] }).meta?.profile?.[1], `${balp}Query`);
  t.strictSame(build({ outcome: '4' }).meta?.profile, [ownProfile], 'a refusal claims no BALP profile');
  t.match(build({ outcome: '4', outcomeReason: 'forbidden' }), { outcomeDesc: 'forbidden' });
  const nobody = build({ caller: undefined, outcome: '4', custodianIds: [], patientIds: [] });
  t.match(nobody.agent[0]?.who, { display: 'Unauthenticated client' });
});

test('the labels of an AuditEvent name those who may see it', async (t) => {
  const labels = (over: Partial<AccessFacts>): readonly string[] =>
    buildAccessRecord({ ...facts, ...over }, source).labels;
  t.strictSame(labels({}), [viewerLabel('E99000001'), viewerLabel('E99000002'), accessHistoryLabel]);
  t.strictSame(labels({ inAccessHistory: false, custodianIds: [] }), [], 'no plan: no authority');
  t.strictSame(labels({ caller: authority, custodianIds: [], inAccessHistory: false }), [viewerLabel('E99000001')]);
  t.strictSame(labels({ caller: undefined, custodianIds: [], inAccessHistory: false }), []);
});

test('the access history shows professional, time and organisation, and nothing else', async (t) => {
  const body = JSON.stringify(build({ correlationId: 'c-1' }));
  const text = JSON.stringify(buildAccessHistoryEntry(JSON.parse(body)));
  const shown: AuditEvent = JSON.parse(text);
  t.strictSame(validator.validate(shown, 'AuditEvent'), [], 'what is left is valid R4');
  t.equal(shown.recorded, '2026-11-22T10:11:12.345Z');
  t.strictSame(
    shown.agent.map((agent) => agent.type?.coding?.[0]?.code),
    ['IRCP', 'PROV'],
  );
  t.match(shown.agent[0], { name: 'Alex Example', role: [{ text: 'Clinician' }] });
  t.match(shown.agent[1]?.who, { display: 'Northmoor General (synthetic)' });
  t.strictSame(
    shown.entity?.map((entity) => entity.what?.reference),
    ['Patient/9990000018'],
  );
  t.strictSame(shown.meta?.tag?.[0]?.code, 'SUBSETTED');
  for (const hidden of [
    'E99000001',
    'custodian',
    '127.0.0.9',
    'token-id',
    'epr-1',
    '"query"',
    'c-1',
    facts.requestId,
  ]) {
    t.notOk(text.includes(hidden), hidden);
  }
});

const plan: Plan = {
  id: 'a',
  patientId: '9990000018',
  authorityId: 'E99000001',
  kind: '342191000000101',
  status: 'active',
  start: '2025-01-31',
  end: undefined,
  dueDate: undefined,
  lastDay: undefined,
};

test('notified are the holders of visible plans, never the acting authority, and nobody of a silent read', async (t) => {
  const rule = { today: '2026-11-22', endedPlanVisibleDays: 365 };
  const plans: Plan[] = [
    { ...plan, authorityId: 'E99000003' },
    plan,
    { ...plan, id: 'b' },
    { ...plan, id: 'c', authorityId: 'E99000002', status: 'inactive', end: '2025-11-21' },
    { ...plan, id: 'd', authorityId: 'E99000004', status: 'entered-in-error' },
  ];
  const holders = visibleHolders(plans, rule);
  t.strictSame(holders, ['E99000001', 'E99000003'], 'in order, once, visible only');
  t.strictSame(notifiedOfWrite('E99000001', holders), ['E99000003']);
  t.strictSame(notifiedOfWrite('E99000009', holders), holders);
  t.strictSame(notifiedOfRead(careProvider, holders, undefined), holders, 'left out means unscheduled');
  t.strictSame(notifiedOfRead(careProvider, holders, true), holders);
  t.strictSame(notifiedOfRead(careProvider, holders, false), []);
  t.strictSame(
    notifiedOfRead({ ...careProvider, silentReads: false }, holders, false),
    holders,
    'not registered for it',
  );
  t.strictSame(notifiedOfRead(authority, holders, undefined), [], 'an authority reading its own');
  t.equal(isSilent(careProvider, undefined), false);
});

test('owners and clients are read back from labels', async (t) => {
  t.equal(ownerOf([viewerLabel('x'), ownerLabel('E99000001')]), 'E99000001');
  t.equal(ownerOf([viewerLabel('x')]), undefined);
  t.equal(clientOf(['client:case-system-1']), 'case-system-1');
});
