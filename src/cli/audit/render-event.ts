import type { AuditEvent, AuditEventAgent } from 'fhir/r4.js';
import { cpisRoot } from '../../cpis/audit-codes.ts';
import { describeAccess } from '../receive/describe-access.ts';
import { renderCsvRow } from '../terminal/render-csv.ts';

export const exportFormats = ['table', 'csv', 'ndjson'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** One access, as a row for people and spreadsheets; empty text for what the AuditEvent does not say. */
export interface TrailRow {
  readonly recorded: string;
  readonly outcome: 'done' | 'refused' | 'failed';
  readonly interaction: string;
  readonly nhs_number: string;
  readonly professional: string;
  readonly professional_id: string;
  readonly role: string;
  readonly organisation: string;
  readonly organisation_code: string;
  readonly client: string;
  readonly address: string;
  readonly id: string;
}

const columns = [
  ...['recorded', 'outcome', 'interaction', 'nhs_number', 'professional', 'professional_id', 'role'],
  ...['organisation', 'organisation_code', 'client', 'address', 'id'],
] as const satisfies readonly (keyof TrailRow)[];

const tableColumns = [
  ['recorded', 24],
  ['outcome', 7],
  ['interaction', 12],
  ['nhs_number', 10],
  ['professional', 24],
  ['role', 16],
  ['organisation', 0],
] as const satisfies readonly (readonly [keyof TrailRow, number])[];

const plain = (text = ''): string => text.replaceAll(/\p{C}+/gu, ' ').trim();
const identified = (agent: AuditEventAgent | undefined): string => plain(agent?.who?.identifier?.value);

/** Describes one AuditEvent. */
export function describeEvent(event: AuditEvent): TrailRow {
  const access = describeAccess(JSON.stringify(event));
  const client = event.agent.find(({ who }) => who?.identifier?.system === `${cpisRoot}/Id/client-id`);
  const person = event.agent.find(({ name }) => name !== undefined);
  const [, authority = ''] =
    /^Organization\/(.+)$/.exec(event.agent.find(({ requestor }) => requestor)?.who?.reference ?? '') ?? [];
  return {
    recorded: access.recorded,
    outcome: outcomeOf(event),
    interaction: access.interaction,
    nhs_number: access.nhsNumber,
    professional: access.professional,
    professional_id: identified(person),
    role: access.role,
    organisation: access.organisation || plain(client?.who?.display),
    organisation_code: access.organisationCode || plain(authority),
    client: identified(client),
    address: plain(client?.network?.address),
    id: plain(event.id),
  };
}

function outcomeOf({ outcome = '0' }: AuditEvent): TrailRow['outcome'] {
  if (outcome === '0') return 'done';
  return outcome === '4' ? 'refused' : 'failed';
}

/** Returns what stands before the first row. */
export function renderHeading(format: ExportFormat): string {
  if (format === 'ndjson') return '';
  return format === 'csv'
    ? renderCsvRow(columns)
    : renderLine(Object.fromEntries(tableColumns.map(([name]) => [name, name])));
}

/** Renders one AuditEvent: a line of a table, a CSV record in which no cell is a formula, or the resource itself. */
export function renderEvent(event: AuditEvent, format: ExportFormat): string {
  if (format === 'ndjson') return `${JSON.stringify(event)}\n`;
  const row = describeEvent(event);
  return format === 'csv' ? renderCsvRow(columns.map((name) => row[name])) : renderLine({ ...row });
}

function renderLine(row: Readonly<Record<string, string>>): string {
  return `${tableColumns
    .map(([name, width]) => (row[name] ?? '').padEnd(width))
    .join('  ')
    .trimEnd()}\n`;
}
