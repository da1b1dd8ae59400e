import { itemsOf, membersOf } from '../../fhir/any-json.ts';

/** An access as an AuditEvent describes it; empty text for what it does not say. */
export interface Access {
  readonly recorded: string;
  /** `AuditEvent.action`: R read, E search, C create, U update, D delete. */
  readonly action: string;
  /** The interaction, such as `search-type`, or the event of the life cycle, such as `ends-soon`. */
  readonly interaction: string;
  readonly nhsNumber: string;
  readonly professional: string;
  readonly role: string;
  readonly organisation: string;
  readonly organisationCode: string;
  /** Organization.id of the acting authority; empty if a professional acted. */
  readonly actingAuthority: string;
  /** The plan, `Flag/<id>`, if the event is one of its life cycle. */
  readonly plan: string;
  /** The date of such an event. */
  readonly date: string;
  /** True if the NHS number has changed; `newNhsNumber` is empty if it is inactive. */
  readonly isNumberChange: boolean;
  readonly newNhsNumber: string;
}

type Json = Readonly<Record<string, unknown>>;
const listOf = (value: unknown): Json[] => itemsOf(value).map(membersOf);
/** Removes control and formatting characters, because they could control a terminal. */
const plainTextOf = (value: unknown): string =>
  typeof value === 'string' ? value.replaceAll(/\p{C}+/gu, ' ').trim() : '';
const codesOf = (concept: unknown): unknown[] => listOf(membersOf(concept)['coding']).map(({ code }) => code);
const lastPart = (reference: string): string => reference.slice(reference.lastIndexOf('/') + 1);

/** Describes the AuditEvent in the JSON `text`; undefined if the event was received without its content. */
export function describeAccess(text: string | undefined): Access {
  const event = text === undefined ? {} : membersOf(JSON.parse(text));
  const agents = listOf(event['agent']);
  const agentOf = (code: string): Json => agents.find(({ type }) => codesOf(type).includes(code)) ?? {};
  const person = agentOf('IRCP');
  const organisation = membersOf(agentOf('PROV')['who']);
  const author = membersOf(agentOf('AUT')['who']);
  const [patient = {}, replacement] = listOf(event['entity']).filter(({ role }) => membersOf(role)['code'] === '1');
  const isNumberChange = membersOf(event['type'])['code'] === 'nhs-number-change';
  const what = membersOf(patient['what']);
  const isLifeCycle = membersOf(event['type'])['code'] === 'plan-life-cycle';
  const plan = isLifeCycle ? (listOf(event['entity'])[0] ?? {}) : {};
  return {
    recorded: plainTextOf(event['recorded']),
    action: plainTextOf(event['action']),
    interaction: plainTextOf(listOf(event['subtype'])[0]?.['code']),
    nhsNumber: plainTextOf(membersOf(what['identifier'])['value']) || lastPart(plainTextOf(what['reference'])),
    professional: plainTextOf(person['name']),
    role: plainTextOf(listOf(person['role'])[0]?.['text']),
    organisation: plainTextOf(organisation['display']) || plainTextOf(author['display']),
    organisationCode: plainTextOf(membersOf(organisation['identifier'])['value']),
    actingAuthority: lastPart(plainTextOf(author['reference'])),
    plan: plainTextOf(membersOf(plan['what'])['reference']),
    date: plainTextOf(listOf(plan['detail'])[0]?.['valueString']),
    isNumberChange,
    newNhsNumber: isNumberChange ? lastPart(plainTextOf(membersOf(replacement?.['what'])['reference'])) : '',
  };
}

const verbs: Readonly<Record<string, string>> = {
  C: 'created a plan on',
  R: 'looked up',
  U: 'amended a plan on',
  D: 'deleted a plan on',
  E: 'looked up',
};

/** Renders an access as one line for people. */
export function renderAccessLine(access: Access): string {
  const { recorded, action, nhsNumber, professional, role, organisation, actingAuthority } = access;
  if (recorded === '') return 'an access (no details were sent)';
  if (access.isNumberChange) {
    const change = access.newNhsNumber === '' ? 'is inactive' : `is replaced by ${access.newNhsNumber}`;
    return `${recorded}  NHS number ${nhsNumber} ${change}`;
  }
  if (access.plan !== '') return `${recorded}  ${access.plan} ${access.interaction} ${access.date}`;
  const person = role === '' ? professional : `${professional} (${role})`;
  const who = [person, organisation, actingAuthority].filter(Boolean).join(', ');
  return `${recorded}  ${who || 'unknown user'} ${verbs[action] ?? 'accessed'} ${nhsNumber || 'a child'}`;
}
