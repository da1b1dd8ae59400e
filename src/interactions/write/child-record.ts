import type { Patient } from 'fhir/r4.js';
import { nhsNumberSystem } from '../../cpis/nhs-number.ts';
import type { Plan } from '../../cpis/plan.ts';
import { childType, statementLabels } from '../../cpis/statement.ts';
import type { ReadResult, ResourceWrite, RevisionGuard } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { buildResourceWrite } from './resource-write.ts';

/** The child record that a decision depends on; revision 0 if there is none. */
export interface ChildRecord {
  readonly nhsNumber: string;
  readonly revision: number;
  /** What the demographics service said of the number. */
  readonly labels: readonly string[];
}

/** Reads the child record. Read it before everything else that the decision depends on. */
export async function readChild(view: View, nhsNumber: string): Promise<ChildRecord> {
  const found = await view.read(childType, nhsNumber);
  const { revision, labels } = found.kind === 'found' ? found.resource : { revision: 0, labels: [] };
  return { nhsNumber, revision, labels };
}

/** Builds the first and only version of a child record. It has no search values, so that no search finds it. */
export function buildChild(
  nhsNumber: string,
  ports: Pick<InteractionPorts, 'clock' | 'extract'>,
  labels: readonly string[] = [],
): ResourceWrite {
  const patient: Patient = {
    resourceType: 'Patient',
    identifier: [{ system: nhsNumberSystem, value: nhsNumber }],
  };
  const write = buildResourceWrite(patient, nhsNumber, { version: 1, method: 'PUT', labels, uniqueKeys: [] }, ports);
  return { ...write, type: childType, index: [] };
}

/** Builds the guard of a decision about a child. It sets the labels if they are not those of the record. */
export function guardChild({ nhsNumber, revision, labels: known }: ChildRecord, labels = known): RevisionGuard {
  const guard = { type: childType, id: nhsNumber, expectRevision: revision };
  return labels.join() === known.join() ? guard : { ...guard, labels };
}

/** Builds the guard that shows an authority its own Patient while it holds one of these plans; none if nothing changes. */
export function relabelStatement(
  statement: ReadResult,
  authorityId: string,
  plans: readonly Plan[],
): readonly RevisionGuard[] {
  if (statement.kind !== 'found') return [];
  const { id, revision } = statement.resource;
  const labels = statementLabels(authorityId, plans);
  const isSame = labels.join() === statement.resource.labels.join();
  return isSame ? [] : [{ type: 'Patient', id, expectRevision: revision, labels }];
}
