/** Who did what about whom, read from an AuditEvent as far as it says so. Texts are foreign: they are never trusted. */
export interface Access {
  readonly recorded: string;
  /** `AuditEvent.action`: R read, E search, C create, U update, D delete. */
  readonly action: string;
  /** The interaction, such as `search-type`. */
  readonly interaction: string;
  readonly nhsNumber: string;
  readonly professional: string;
  readonly role: string;
  readonly organisation: string;
  readonly organisationCode: string;
  /** Organization.id of the authority that acted itself, where one did. */
  readonly actingAuthority: string;
}

type Json = Readonly<Record<string, unknown>>;
const recordOf = (value: unknown): Json => (typeof value === 'object' && value !== null ? { ...value } : {});
const listOf = (value: unknown): Json[] => (Array.isArray(value) ? value.map(recordOf) : []);
/** Control and formatting characters are taken out: they could steer a terminal. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value.replaceAll(/\p{C}+/gu, ' ').trim() : '');
const codesOf = (concept: unknown): unknown[] => listOf(recordOf(concept)['coding']).map(({ code }) => code);
const lastPart = (reference: string): string => reference.slice(reference.lastIndexOf('/') + 1);

/** `text` is the JSON text of an AuditEvent; undefined: nothing was told but that there was an access. */
export function describeAccess(text: string | undefined): Access {
  const event = text === undefined ? {} : recordOf(JSON.parse(text));
  const agents = listOf(event['agent']);
  const agentOf = (code: string): Json => agents.find(({ type }) => codesOf(type).includes(code)) ?? {};
  const person = agentOf('IRCP');
  const organisation = recordOf(agentOf('PROV')['who']);
  const author = recordOf(agentOf('AUT')['who']);
  const patient = listOf(event['entity']).find(({ role }) => recordOf(role)['code'] === '1') ?? {};
  const what = recordOf(patient['what']);
  return {
    recorded: textOf(event['recorded']),
    action: textOf(event['action']),
    interaction: textOf(listOf(event['subtype'])[0]?.['code']),
    nhsNumber: textOf(recordOf(what['identifier'])['value']) || lastPart(textOf(what['reference'])),
    professional: textOf(person['name']),
    role: textOf(listOf(person['role'])[0]?.['text']),
    organisation: textOf(organisation['display']) || textOf(author['display']),
    organisationCode: textOf(recordOf(organisation['identifier'])['value']),
    actingAuthority: lastPart(textOf(author['reference'])),
  };
}

const verbs: Readonly<Record<string, string>> = {
  C: 'created a plan on',
  R: 'looked up',
  U: 'amended a plan on',
  D: 'deleted a plan on',
  E: 'looked up',
};

/** One line for people. */
export function renderAccessLine(access: Access): string {
  const { recorded, action, nhsNumber, professional, role, organisation, actingAuthority } = access;
  if (recorded === '') return 'an access, of which nothing more was sent';
  const person = role === '' ? professional : `${professional} (${role})`;
  const who = [person, organisation, actingAuthority].filter(Boolean).join(', ');
  return `${recorded}  ${who || 'somebody'} ${verbs[action] ?? 'accessed'} ${nhsNumber || 'a child'}`;
}
