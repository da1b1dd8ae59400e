import { isSilent, notifiedOfRead } from '../../cpis/audience.ts';
import { ownerOf } from '../../cpis/labels.ts';
import type { SearchQuery } from '../../fhir/search/ast.ts';
import type { SearchResult, StoredResource } from '../../store/store.ts';
import { type Access, plainAccess } from '../audit/record-access.ts';
import { directoryOf } from '../directory/directory.ts';
import type { AccessContext } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { patientsOf } from '../resource/present-resource.ts';
import { findShownFlags } from '../resource/shown-plans.ts';
import { mapInTurns } from '../yielding/in-turns.ts';
import { namedPatient } from './allowed-parameters.ts';

function ownersOf(flags: readonly StoredResource[]): string[] {
  const owners = new Set<string>();
  for (const flag of flags) {
    const owner = ownerOf(flag.labels);
    if (owner !== undefined) owners.add(owner);
  }
  return [...owners].sort();
}

async function disclosedPatients(query: SearchQuery, shown: readonly StoredResource[]): Promise<string[]> {
  const patients = new Set<string>();
  const named = namedPatient(query.clauses);
  if (named !== undefined) patients.add(named);
  await mapInTurns(shown, (match) => {
    for (const id of patientsOf(match)) patients.add(id);
  });
  return [...patients];
}

/**
 * Describes the access of a search. A care provider's search concerns its one patient, and each authority with a
 * visible plan on it is a custodian, even if further criteria narrowed the result; `patientIds` are the NHS numbers of the
 * patient, the named one first, and `visible` has the plans if the search has read them. An authority's search concerns each
 * patient that it disclosed, in included resources too.
 */
export async function describeSearchAccess(
  query: SearchQuery,
  patientIds: readonly string[],
  visible: readonly StoredResource[] | undefined,
  result: SearchResult,
  included: readonly StoredResource[],
  context: AccessContext,
  ports: InteractionPorts,
): Promise<Access> {
  const { caller } = context;
  if (directoryOf(query.type, ports) !== undefined) return plainAccess;
  if (caller.role !== 'care-provider') {
    return {
      ...plainAccess,
      patientIds: await disclosedPatients(query, [...result.matches, ...included]),
      // The search of an auditor is seen by auditors alone.
      custodianIds: caller.role === 'authority' ? [caller.organisation.id] : [],
    };
  }
  const plans = visible ?? (await findShownFlags(patientIds, ports));
  const holders = ownersOf(plans);
  const readsPlans = query.type === 'Flag';
  const silent = isSilent(caller, context.unscheduledAccess);
  return {
    patientIds: plans.length === 0 ? patientIds.slice(0, 1) : patientIds,
    custodianIds: holders,
    notifyIds: readsPlans ? notifiedOfRead(caller, holders, context.unscheduledAccess) : [],
    inAccessHistory: readsPlans && !silent,
    isSilent: silent,
  };
}
