/** Renders stored resources as a caller may see them, and names the patients that they concern. */
import type { AuditEvent } from 'fhir/r4.js';
import { buildAccessHistoryEntry } from '../../cpis/access-history.ts';
import type { Caller } from '../../cpis/caller.ts';
import { parsePlan } from '../../cpis/plan.ts';
import { patientsOfEvent, shareWithAuthority } from '../../cpis/shared-event.ts';
import { sharePatient } from '../../cpis/shared-patient.ts';
import { sharePlan } from '../../cpis/shared-plan.ts';
import type { StoredResource } from '../../store/store.ts';
import { type Access, plainAccess } from '../audit/record-access.ts';
import type { InteractionPorts } from '../port/ports.ts';

type Content = Pick<StoredResource, 'type' | 'body'>;

/** AuditEvents are long and a search looks at each one several times, so that each is parsed once. */
const parsedEvents = new WeakMap<Content, AuditEvent>();

function parseEvent(resource: Content): AuditEvent {
  const known = parsedEvents.get(resource);
  if (known !== undefined) return known;
  const event: AuditEvent = JSON.parse(resource.body);
  parsedEvents.set(resource, event);
  return event;
}

/**
 * Returns an AuditEvent as this caller may see it. If the caller may see all of it, the result is the same object each
 * time.
 */
export function showEvent(caller: Caller, resource: Content): AuditEvent {
  const event = parseEvent(resource);
  if (caller.role === 'auditor') return event;
  return caller.role === 'care-provider'
    ? buildAccessHistoryEntry(event)
    : shareWithAuthority(event, caller.organisation.id);
}

/** The texts of plans for NHS staff. A store may return the same object for each look-up of a child. */
const shownPlans = new WeakMap<Content, string>();

function showPlan(resource: Content): string {
  const known = shownPlans.get(resource);
  if (known !== undefined) return known;
  const text = JSON.stringify(sharePlan(JSON.parse(resource.body)));
  shownPlans.set(resource, text);
  return text;
}

/** Returns the JSON text of a resource as this caller may see it. */
export function showResource(caller: Caller, resource: Content, ports: InteractionPorts): string {
  const { type, body } = resource;
  if (type === 'Subscription') return ports.subscriptions.redact(body);
  if (type === 'Patient' && caller.role === 'care-provider') return JSON.stringify(sharePatient(JSON.parse(body)));
  if (type === 'Flag' && caller.role === 'care-provider') return showPlan(resource);
  if (type !== 'AuditEvent') return body;
  const shown = showEvent(caller, resource);
  return shown === parseEvent(resource) ? body : JSON.stringify(shown);
}

/** Returns the NHS numbers of the patients that a resource is about. */
export function patientsOf(resource: Content & Pick<StoredResource, 'id'>): readonly string[] {
  switch (resource.type) {
    case 'Patient':
      return [resource.id];
    case 'Flag':
      return [parsePlan({ ...resource, labels: [] }).patientId];
    case 'AuditEvent':
      return patientsOfEvent(parseEvent(resource));
    default:
      return [];
  }
}

/** Describes the access of an authority to one resource that it may see. */
export function describeOwnAccess(resource: StoredResource, caller: Caller): Access {
  const { type, id } = resource;
  return {
    ...plainAccess,
    patientIds: patientsOf(resource),
    custodianIds: [caller.organisation.id],
    ...(type === 'Patient' ? {} : { resource: `${type}/${id}` }),
  };
}
