import type { Flag } from 'fhir/r4.js';
import { ownerLabel } from '../../cpis/labels.ts';
import type { AccessContext } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkRefusal } from '../write/commit-write.ts';
import { inEntry, type PlannedEntry } from './plan-entries.ts';
import type { Refusals } from './refusals.ts';

/** Refuses each entry whose plan has an identifier of another plan of the caller; the store names only one of them. */
export async function refuseTakenIdentifiers(
  planned: readonly PlannedEntry[],
  refusals: Refusals,
  { caller }: AccessContext,
  ports: InteractionPorts,
): Promise<void> {
  for (const { entry, planned: done } of planned) {
    for (const { type, id, body } of done.writes) {
      if (type !== 'Flag' || body === null || refusals.isFull) continue;
      const any = ((JSON.parse(body) as Flag).identifier ?? []).map(({ system, value }) => ({
        system: system ?? null,
        code: value ?? '',
      }));
      const { matches } = await ports.store.search({
        type,
        clauses: [
          { kind: 'label', any: [ownerLabel(caller.organisation.id)] },
          { kind: 'token', param: 'identifier', negated: false, any },
        ],
        sort: [],
        limit: 2,
        total: false,
      });
      const other = matches.find((match) => match.id !== id);
      if (other === undefined) continue;
      try {
        inEntry(entry, () =>
          checkRefusal({ kind: 'refused', reason: 'duplicate-key', type, id, existingId: other.id }),
        );
      } catch (error) {
        refusals.add(error);
      }
    }
  }
}
