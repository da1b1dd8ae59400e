import type { AuditEvent, Bundle } from 'fhir/r4.js';
import type { OperatorSession } from '../client/operator-session.ts';

/** Which accesses are wanted. At least one of the first three is set; all that are set must apply. */
export interface TrailQuery {
  /** `system|value`, or a value of any system. */
  readonly professional?: string | undefined;
  readonly nhsNumber?: string | undefined;
  /** Organization.id: the ODS code of a care provider, the GSS code of an authority. */
  readonly organisation?: string | undefined;
  /** First day, `YYYY-MM-DD`. */
  readonly from?: string | undefined;
  /** Last day, `YYYY-MM-DD`. */
  readonly to?: string | undefined;
}

const pageSize = 100;

/**
 * Reads the AuditEvents of a query, newest first, page by page: a page is asked for when the one before it was taken. The reads
 * are recorded by the server and are newer than what is read, so that the trail ends. Rejects as the session does.
 */
export async function* readTrail(query: TrailQuery, session: OperatorSession): AsyncGenerator<AuditEvent> {
  const { professional, nhsNumber, organisation, from, to } = query;
  const parameters = new URLSearchParams();
  if (nhsNumber !== undefined) parameters.append('patient', nhsNumber);
  if (professional !== undefined) parameters.append('agent:identifier', professional);
  if (organisation !== undefined) parameters.append('agent', `Organization/${organisation}`);
  if (from !== undefined) parameters.append('date', `ge${from}`);
  if (to !== undefined) parameters.append('date', `le${to}`);
  parameters.append('_sort', '-date');
  parameters.append('_count', String(pageSize));
  let search: string | undefined = `?${parameters}`;
  while (search !== undefined) {
    const page: Bundle<AuditEvent> = await session.request('GET', `AuditEvent${search}`);
    for (const { resource } of page.entry ?? []) if (resource?.resourceType === 'AuditEvent') yield resource;
    const next = page.link?.find(({ relation }) => relation === 'next')?.url;
    search = next === undefined ? undefined : new URL(next).search;
  }
}
