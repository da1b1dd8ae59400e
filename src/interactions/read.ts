import type { AuditEvent, Flag } from 'fhir/r4.js';
import { renderAccessHistoryEntry } from '../cpis/access-history.ts';
import { authorise } from '../cpis/access-policy.ts';
import { isSilent, notifiedOfRead, visibleHolders } from '../cpis/audience.ts';
import type { Caller } from '../cpis/caller.ts';
import { extractPlan } from '../cpis/plan.ts';
import { renderForAuthority } from '../cpis/shared-event.ts';
import { isVisible } from '../cpis/visibility.ts';
import type { StoredResource } from '../store/store.ts';
import { visibilityRule } from './caller-view.ts';
import { unlessKnown } from './conditional-read.ts';
import { checkId, notFound, visibleToAuthority } from './find-resource.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from './interaction.ts';
import type { InteractionPorts } from './ports.ts';
import { parseReadOptions, type ReadOptions } from './read-options.ts';
import { type Access, plainAccess, recordAccess } from './record-access.ts';
import { storeView } from './view.ts';

/** The JSON text of a resource as this caller may have it. */
export function shownTo(
  caller: Caller,
  { type, body }: Pick<StoredResource, 'type' | 'body'>,
  ports: InteractionPorts,
): string {
  if (type === 'Subscription') return ports.subscriptions.redact(body);
  if (type !== 'AuditEvent') return body;
  return caller.role === 'care-provider'
    ? renderAccessHistoryEntry(body)
    : renderForAuthority(body, caller.organisation.id);
}

/** The answer that carries a version, as its reader may see it and has asked for it. */
export function answerRead(
  resource: StoredResource,
  caller: Caller,
  { isModified, shape }: ReadOptions,
  ports: InteractionPorts,
): FhirAnswer {
  const { version, lastUpdatedMs } = resource;
  const shown = shownTo(caller, resource, ports);
  const body = shape === undefined ? shown : ports.shape(shown, shape);
  return unlessKnown({ kind: 'ok', body, versionId: String(version), lastUpdatedMs }, isModified);
}

/** NHS numbers of the patients that an AuditEvent is about. */
export function extractPatients(auditEvent: string): string[] {
  const entities = (JSON.parse(auditEvent) as AuditEvent).entity ?? [];
  const references = entities.flatMap((entity) => entity.what?.reference ?? []);
  const patients = references.filter((reference) => reference.startsWith('Patient/'));
  return [...new Set(patients.map((reference) => reference.slice('Patient/'.length)))];
}

/** What an authority's read of its own resource concerns. */
export function ownAccess(resource: StoredResource, caller: Caller): Access {
  const { type, id, body } = resource;
  const access = { ...plainAccess, custodianIds: [caller.organisation.id] };
  switch (type) {
    case 'Patient':
      return { ...access, patientIds: [id] };
    case 'Flag':
      return { ...access, patientIds: [extractPlan(JSON.parse(body) as Flag).patientId], resource: `Flag/${id}` };
    case 'AuditEvent':
      return { ...access, patientIds: extractPatients(body), resource: `AuditEvent/${id}` };
    default:
      return { ...access, resource: `${type}/${id}` };
  }
}

/** A Flag or Patient for NHS staff: only while a plan on the patient is visible, else as if nothing were there. */
async function readForCareProvider(
  type: string,
  id: string,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<{ resource: StoredResource; access: Access }> {
  const { caller } = context;
  const rule = visibilityRule(ports);
  const result = await ports.store.read(type, id);
  const found = result.kind === 'found' ? result.resource : undefined;
  const plan = type === 'Flag' && found !== undefined ? extractPlan(JSON.parse(found.body) as Flag) : undefined;
  const patientId = type === 'Patient' ? id : (plan?.patientId ?? id);
  const holders = visibleHolders(await storeView(ports.store).plansOf(patientId), rule);
  const shown =
    type === 'Patient'
      ? holders.length > 0
      : plan !== undefined && isVisible(plan, rule.today, rule.endedPlanVisibleMonths);
  if (found === undefined || !shown) throw notFound();
  return {
    resource: found,
    access: {
      patientIds: [patientId],
      ...(type === 'Flag' ? { resource: `Flag/${id}` } : {}),
      custodianIds: holders,
      notifyIds: notifiedOfRead(caller, holders, context.unscheduledAccess),
      inAccessHistory: !isSilent(caller, context.unscheduledAccess),
    },
  };
}

/** read, audited before it is answered. https://hl7.org/fhir/R4/http.html#read */
export async function read(request: FhirRequest, context: AccessContext, ports: InteractionPorts): Promise<FhirAnswer> {
  const { caller } = context;
  const { type = '', id = '' } = request;
  authorise(caller, type, 'read');
  checkId(type, id);
  const options = parseReadOptions(request, context);
  if (type === 'Organization') {
    const organization = ports.organizations.read(id);
    if (organization === undefined) throw notFound();
    await recordAccess(request, context, { ...plainAccess, resource: `Organization/${id}` }, ports);
    return answerRead(organization, caller, options, ports);
  }
  if (caller.role === 'care-provider') {
    const { resource, access } = await readForCareProvider(type, id, context, ports);
    await recordAccess(request, context, access, ports);
    return answerRead(resource, caller, options, ports);
  }
  const resource = visibleToAuthority(await ports.store.read(type, id), type, caller);
  await recordAccess(request, context, ownAccess(resource, caller), ports);
  return answerRead(resource, caller, options, ports);
}
