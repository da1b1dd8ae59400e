import type { Flag } from 'fhir/r4.js';
import { authorise, bearsLabelFor } from '../cpis/access-policy.ts';
import type { Caller } from '../cpis/caller.ts';
import { ownerOf } from '../cpis/labels.ts';
import { extractPlan } from '../cpis/plan.ts';
import type { SearchQuery } from '../fhir/search/ast.ts';
import type { StoredResource } from '../store/store.ts';
import type { InteractionPorts } from './ports.ts';

/**
 * What accompanies Flags: for NHS staff always the owning authorities' Organizations, which carry the telephones; else
 * what `_include` asks for, within what the caller may see. Throws 403 when the token's scopes do not cover reading it.
 */
export async function findIncluded(
  query: SearchQuery,
  matches: readonly StoredResource[],
  caller: Caller,
  ports: InteractionPorts,
): Promise<readonly StoredResource[]> {
  if (query.type !== 'Flag' || query.summary === 'count') return [];
  const asked = (param: string): boolean => query.include.some((include) => include.param === param);
  if (asked('author')) authorise(caller, 'Organization', 'read');
  const included: StoredResource[] = [];
  if (caller.role === 'care-provider' || asked('author')) {
    const owners = new Set<string>();
    for (const flag of matches) owners.add(ownerOf(flag.labels) ?? '');
    for (const id of owners) {
      const organization = ports.organizations.read(id);
      if (organization !== undefined) included.push(organization);
    }
  }
  if (asked('patient')) {
    authorise(caller, 'Patient', 'read');
    const patients = new Set(matches.map((flag) => extractPlan(JSON.parse(flag.body) as Flag).patientId));
    const results = await Promise.all([...patients].map((id) => ports.store.read('Patient', id)));
    for (const result of results) {
      if (result.kind !== 'found') continue;
      const { resource } = result;
      // A visible Flag shows its Patient to NHS staff; an authority that has withdrawn its plan sees the Patient no more.
      if (caller.role === 'care-provider' || bearsLabelFor(caller, 'Patient', resource.labels)) included.push(resource);
    }
  }
  return included;
}
