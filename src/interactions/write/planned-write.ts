import type { ResourceWrite, RevisionGuard } from '../../store/store.ts';
import type { Access } from '../audit/record-access.ts';
import type { FhirAnswer } from '../port/interaction.ts';
import type { View } from '../resource/view.ts';

/** A write that has been decided and is not committed yet. */
export interface PlannedWrite {
  readonly writes: readonly ResourceWrite[];
  readonly guards: readonly RevisionGuard[];
  readonly access: Access;
  /** The access to the patient that a plan moves from. Its AuditEvent is another one, so that nothing connects the two. */
  readonly accessFrom?: Access;
  readonly answer: FhirAnswer;
  /** Throws if the write is not accepted beside the other writes of its unit, which the view shows. */
  readonly check?: (unit: View) => Promise<void>;
  /** Call once the unit is durable. */
  readonly committed?: () => void;
}
