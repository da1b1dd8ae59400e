import type { Flag } from 'fhir/r4.js';
import { ownerLabel } from '../../cpis/labels.ts';
import type { CommitResult } from '../../store/store.ts';
import type { AccessContext } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkRefusal } from '../write/commit-write.ts';
import { inEntry, type PlannedEntry } from './plan-entries.ts';
import type { Refusals } from './refusals.ts';

type TakenKey = Extract<CommitResult, { reason: 'exists' | 'duplicate-key' }>;

/** Refuses each entry whose plan has an identifier of another plan of the caller; the store names only one of them. */
export async function refuseTakenIdentifiers(
  planned: readonly PlannedEntry[],
  refusal: TakenKey,
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
      // A search does not find the plan that was deleted, or had the identifier in an earlier version.
      const found = matches.find((match) => match.id !== id)?.id;
      const existingId = found ?? (id === refusal.id ? refusal.existingId : undefined);
      if (existingId === undefined) continue;
      try {
        await inEntry(entry, () => checkRefusal({ ...refusal, id, existingId }, caller, ports));
      } catch (error) {
        refusals.add(error);
      }
    }
  }
}
