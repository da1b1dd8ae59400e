import type { ResourceWrite, RevisionGuard } from '../../store/store.ts';
import type { Access } from '../audit/record-access.ts';
import type { FhirAnswer } from '../port/interaction.ts';

/** A write that has been decided and is not committed yet. */
export interface PlannedWrite {
  readonly writes: readonly ResourceWrite[];
  readonly guards: readonly RevisionGuard[];
  readonly access: Access;
  readonly answer: FhirAnswer;
  /** Call once the unit is durable. */
  readonly committed?: () => void;
}
