import { authorise, bearsLabelFor, narrow } from '../../cpis/access-policy.ts';
import { isSilent, notifiedOfRead, visibleHolders } from '../../cpis/audience.ts';
import type { Caller } from '../../cpis/caller.ts';
import { parsePlan } from '../../cpis/plan.ts';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { StoredResource } from '../../store/store.ts';
import { type Access, plainAccess, recordAccess } from '../audit/record-access.ts';
import { directoryOf } from '../directory/directory.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { findLinkedNumbers } from '../resource/find-linked-numbers.ts';
import { checkId, notFound, visibleToAuthority } from '../resource/find-resource.ts';
import { inheritsEvent } from '../resource/inherited-events.ts';
import { describeOwnAccess } from '../resource/present-resource.ts';
import { showFlag } from '../resource/shown-plans.ts';
import { storeView, type View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { answerRead } from './answer-read.ts';
import { parseReadOptions } from './read-options.ts';

/** A resource that was found, and the access to record. */
interface Readable {
  readonly resource: StoredResource;
  readonly access: Access;
  /** It differs from the stored version, so that it has no ETag and no Last-Modified. */
  readonly isDerived?: boolean;
}

/** Finds a Flag or Patient for NHS staff. Throws `not-found` unless a plan on the patient is visible. */
async function readForCareProvider(
  type: string,
  id: string,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<Readable> {
  const { caller } = context;
  ports.lookUps.admit(caller);
  const rule = visibilityRule(ports);
  const result = await view.read(type, id);
  const found = result.kind === 'found' ? result.resource : undefined;
  const patientIds =
    type === 'Flag' && found !== undefined
      ? [parsePlan(found).patientId]
      : await findLinkedNumbers(id, { demographics: ports.demographics, store: view });
  const plans = await Promise.all(patientIds.map((patientId) => view.plansOf(patientId)));
  const holders = visibleHolders(plans.flat(), rule);
  const isSilently = isSilent(caller, context.unscheduledAccess);
  ports.lookUps.note(caller, { nhsNumber: patientIds[0] ?? '', isSilent: isSilently, hasPlan: holders.length > 0 });
  const shown = type === 'Patient' ? found : found && showFlag(found, rule);
  if (shown === undefined || holders.length === 0) throw notFound();
  return {
    resource: shown,
    isDerived: shown !== found,
    access: {
      patientIds,
      ...(type === 'Flag' ? { resource: `Flag/${id}` } : {}),
      custodianIds: holders,
      notifyIds: notifiedOfRead(caller, holders, context.unscheduledAccess),
      inAccessHistory: !isSilently,
      isSilent: isSilently,
    },
  };
}

/** Finds an AuditEvent as a search by its id does. */
async function readForAuditor(type: string, id: string, caller: Caller, ports: InteractionPorts): Promise<Readable> {
  const clauses: SearchPlan['clauses'] = [{ kind: 'id', any: [id] }, ...narrow(caller, type, visibilityRule(ports))];
  const { matches } = await ports.store.search({ type, clauses, sort: [], limit: 1, total: false });
  const [resource] = matches;
  if (resource === undefined) throw notFound();
  return { resource, access: { ...describeOwnAccess(resource, caller), custodianIds: [] } };
}

/** Finds the resource that a read answers with, on the view. Throws the fault that refuses it. */
export async function findReadable(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<Readable> {
  const { caller } = context;
  const { type = '', id = '' } = request;
  authorise(caller, type, 'read');
  checkId(type, id);
  const directory = directoryOf(type, ports);
  if (directory !== undefined) {
    const resource = directory.read(id);
    if (resource === undefined) throw notFound();
    return { resource, access: { ...plainAccess, resource: `${type}/${id}` } };
  }
  if (caller.role === 'care-provider') return readForCareProvider(type, id, context, view, ports);
  if (caller.role === 'auditor') return readForAuditor(type, id, caller, ports);
  const found = await view.read(type, id);
  const inherits =
    type === 'AuditEvent' &&
    found.kind === 'found' &&
    !bearsLabelFor(caller, type, found.resource.labels) &&
    (await inheritsEvent(found.resource, caller.organisation.id, ports));
  const resource = inherits ? found.resource : visibleToAuthority(found, type, caller);
  return { resource, access: describeOwnAccess(resource, caller) };
}

/** Performs a read, audited before it is answered. https://hl7.org/fhir/R4/http.html#read */
export async function read(request: FhirRequest, context: AccessContext, ports: InteractionPorts): Promise<FhirAnswer> {
  const options = parseReadOptions(request, context);
  const { resource, access, isDerived = false } = await findReadable(request, context, storeView(ports.store), ports);
  await recordAccess(request, context, access, ports);
  if (!isDerived) return answerRead(resource, context.caller, options, ports);
  const {
    versionId: _,
    lastUpdatedMs: __,
    ...answer
  } = answerRead(resource, context.caller, { ...options, isModified: () => true }, ports);
  return answer;
}
