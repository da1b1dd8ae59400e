import { authorise } from '../../cpis/access-policy.ts';
import { markSeen, needsLookLabel, viewForOperator } from '../../cpis/child-labels.ts';
import { childType } from '../../cpis/statement.ts';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { StoredResource } from '../../store/store.ts';
import { buildAudit, plainAccess, recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkId, notFound } from '../resource/find-resource.ts';
import { contended, maxPlans } from '../write/commit-write.ts';
import { readOperationParameters } from './operation-parameters.ts';

/** Maximum children in one answer. */
const maxListed = 200;

const waiting: SearchPlan = {
  type: childType,
  clauses: [{ kind: 'label', any: [needsLookLabel] }],
  sort: [],
  limit: maxListed,
  total: true,
};

/** Renders the number and the authorities, and no details. */
function renderChild({ id, labels }: Pick<StoredResource, 'id' | 'labels'>) {
  const { differ, tried } = viewForOperator(labels);
  return {
    name: 'child',
    part: [
      { name: 'nhs-number', valueString: id },
      ...differ.map((authority) => ({ name: 'differs', valueString: authority })),
      ...tried.map((authority) => ({ name: 'tried', valueString: authority })),
    ],
  };
}

function answer(parameter: readonly unknown[], ports: InteractionPorts): FhirAnswer {
  return { kind: 'ok', body: JSON.stringify({ resourceType: 'Parameters', id: ports.newId(), parameter }) };
}

/**
 * Performs `$demographic-conflicts` for operators: lists the children whose details differ between authorities, and those of
 * whom an authority stated differing details repeatedly. profiles/cpis-demographic-conflicts.json
 */
export async function demographicConflicts(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  authorise(context.caller, 'Patient', 'demographic-conflicts');
  readOperationParameters(request, {});
  const { matches, total = 0 } = await ports.store.search(waiting);
  await recordAccess(request, context, { ...plainAccess, patientIds: matches.map(({ id }) => id) }, ports);
  return answer([{ name: 'total', valueInteger: total }, ...matches.map(renderChild)], ports);
}

/**
 * Performs `$resolve-demographics` for operators: records that people have looked at a child of the list, and takes it off
 * until the statements change again. It changes no statement and no plan. profiles/cpis-resolve-demographics.json
 */
export async function resolveDemographics(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  authorise(context.caller, 'Patient', 'resolve-demographics');
  readOperationParameters(request, {});
  const { id = '' } = request;
  checkId('Patient', id);
  for (let round = 0; round < maxPlans; round += 1) {
    const found = await ports.store.read(childType, id);
    if (found.kind !== 'found' || !found.resource.labels.includes(needsLookLabel)) throw notFound();
    const { labels, revision } = found.resource;
    const audits = [buildAudit(request, context, { ...plainAccess, patientIds: [id] }, ports)];
    const guards = [{ type: childType, id, expectRevision: revision, labels: markSeen(labels) }];
    const result = await ports.store.commit({ writes: [], guards, audits });
    if (result.kind !== 'committed') continue;
    ports.committed(audits);
    return answer([renderChild({ id, labels })], ports);
  }
  throw contended();
}
