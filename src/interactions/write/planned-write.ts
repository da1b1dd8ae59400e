import type { ResourceWrite, RevisionGuard } from '../../store/store.ts';
import type { Access } from '../audit/record-access.ts';
import type { FhirAnswer } from '../port/interaction.ts';

/** A write that has been decided and not yet made. */
export interface PlannedWrite {
  readonly writes: readonly ResourceWrite[];
  readonly guards: readonly RevisionGuard[];
  readonly access: Access;
  readonly answer: FhirAnswer;
  /** Runs once the unit is durable. */
  readonly committed?: () => void;
}
