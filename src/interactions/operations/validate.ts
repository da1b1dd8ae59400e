import type { Flag, Patient } from 'fhir/r4.js';
import { authorise } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { spineCodingFor } from '../../cpis/spine-code.ts';
import { FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import { renderOperationOutcome } from '../../fhir/operation-outcome.ts';
import type { StoredResource } from '../../store/store.ts';
import { type Access, plainAccess, recordAccess } from '../audit/record-access.ts';
import { findRefusedPatients } from '../audit/refused-patients.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkId, visibleToAuthority } from '../resource/find-resource.ts';
import { describeOwnAccess, showResource } from '../resource/present-resource.ts';
import { checkSubmittedPatient } from '../write/plan-patient-write.ts';
import { checkSubmittedFlag } from '../write/submitted-flag.ts';
import { refuseOtherId } from '../write/update.ts';
import { inOneTurn, inTurns } from '../yielding/in-turns.ts';
import { parseValidation, type Validation } from './validation-request.ts';

const sound: Issue = {
  severity: 'information',
  code: 'informational',
  diagnostics: 'No issue was found in the resource itself.',
};

/** Returns the issues of the fault that `act` throws; none if it throws none. */
function issuesOf(act: () => unknown): readonly Issue[] {
  try {
    act();
    return [];
  } catch (error) {
    if (error instanceof FhirFault) return error.issues;
    throw error;
  }
}

/** Checks the rules of CP-IS that need only this resource and, on an update, the caller's own version of it. */
function checkRules(
  resource: unknown,
  current: StoredResource | undefined,
  { type = '', id }: FhirRequest,
  caller: Caller,
  ports: InteractionPorts,
): readonly Issue[] {
  switch (type) {
    case 'Flag':
      return issuesOf(() =>
        checkSubmittedFlag({ flag: resource as Flag, id: id ?? '', current, isVersionNamed: false }, caller, ports),
      );
    case 'Patient':
      return issuesOf(() => checkSubmittedPatient({ patient: resource as Patient, requestedId: id }, ports));
    default: {
      const guarded = issuesOf(() => ports.subscriptions.protect(resource, current?.body));
      if (guarded.length > 0) return guarded;
      return ports.subscriptions.check(ports.subscriptions.protect(resource, current?.body), caller);
    }
  }
}

function findIssues(
  validation: Validation,
  current: StoredResource | undefined,
  request: FhirRequest,
  caller: Caller,
  ports: InteractionPorts,
): readonly Issue[] {
  const { type = '', id } = request;
  const { mode, profile } = validation;
  if (mode === 'delete') return [];
  const isStored = mode === 'profile';
  const resource: unknown =
    isStored && current !== undefined ? JSON.parse(showResource(caller, current, ports)) : validation.resource;
  const issues = profile === undefined ? ports.validate(resource, type) : ports.validateBy(resource, type, profile);
  if (issues === undefined) {
    throw fault(
      'not-supported',
      'This server does not hold this profile for the resource type. Search StructureDefinition for those it holds.',
      { expression: ['profile'] },
    );
  }
  const otherId = isStored || id === undefined ? [] : issuesOf(() => refuseOtherId(resource, id, type, true));
  const all = [...issues, ...otherId];
  if (isStored || all.some(({ severity }) => severity === 'error')) return all;
  // Another profile asks for less than the rules do. They are checked only on a resource that is valid in this server's
  // profile.
  const own = profile === undefined ? [] : ports.validate(resource, type);
  if (own.some(({ severity }) => severity === 'error')) return all;
  return [...all, ...checkRules(resource, current, request, caller, ports)];
}

function describeValidation(
  { raw }: FhirRequest,
  { resource }: Validation,
  current: StoredResource | undefined,
  caller: Caller,
): Access {
  const access =
    current === undefined
      ? { ...plainAccess, custodianIds: [caller.organisation.id] }
      : describeOwnAccess(current, caller);
  const named = findRefusedPatients({ raw, body: resource });
  return { ...access, patientIds: [...new Set([...access.patientIds, ...named])] };
}

/**
 * Performs `$validate` on a type or on one of the caller's own resources, as strictly as a submission as far as the
 * resource itself allows. It does not read other stored records, so that a client cannot find out whether they exist.
 * The mode is authorised like the interaction it tries. https://hl7.org/fhir/R4/resource-operation-validate.html
 */
export async function validate(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const { caller } = context;
  const { type = '', id } = request;
  authorise(caller, type, 'validate');
  const validation = parseValidation(request);
  authorise(caller, type, validation.mode === 'profile' ? 'read' : validation.mode);
  if (id !== undefined) checkId(type, id);
  const current = id === undefined ? undefined : visibleToAuthority(await ports.store.read(type, id), type, caller);
  await inTurns(ports.prepareValidation());
  const issues = await inOneTurn(() => findIssues(validation, current, request, caller, ports));
  await recordAccess(request, context, describeValidation(request, validation, current, caller), ports);
  return { kind: 'ok', body: renderOperationOutcome(issues.length === 0 ? [sound] : issues, spineCodingFor()) };
}
