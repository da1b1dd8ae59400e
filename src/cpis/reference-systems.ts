import type { Identifier } from 'fhir/r4.js';
import type { Issue } from '../fhir/fault.ts';
import type { LocalAuthority, Organisation } from './caller.ts';
import { endedPredecessorsOf } from './succession.ts';

/**
 * Returns the systems that the references of an authority may have; undefined if the registry lists none. Those of an
 * authority that it has replaced count too, because the data of a case system are migrated later than the duty.
 */
export function referenceSystemsOf(
  organisation: Organisation,
  authorities: ReadonlyMap<string, LocalAuthority>,
  today: string,
): readonly string[] | undefined {
  if (organisation.kind !== 'local-authority' || organisation.referenceSystems === undefined) return undefined;
  const systems = new Set(organisation.referenceSystems);
  for (const predecessor of endedPredecessorsOf(organisation.id, authorities, today)) {
    const theirs = referenceSystemsOf(predecessor, authorities, today);
    if (theirs === undefined) return undefined;
    for (const system of theirs) systems.add(system);
  }
  return [...systems];
}

/** The references of a submitted plan, and what they are compared with. */
export interface SubmittedReferences {
  readonly submitted: readonly Identifier[];
  /** References of the recorded plan that is amended. */
  readonly known: readonly Identifier[];
  /** Whether the recorded plan is ended or withdrawn, which is never refused for the system of its reference. */
  readonly ends: boolean;
}

/**
 * Checks the systems of the references of a plan against those that the registry lists. A system that is no longer listed
 * may stay on a plan that had it, if the plan ends or also has a reference of a listed system.
 */
export function checkReferenceSystems(
  { submitted, known, ends }: SubmittedReferences,
  listed: readonly string[] | undefined,
): Issue[] {
  if (listed === undefined) return [];
  const isListed = ({ system = '' }: Identifier): boolean => listed.includes(system);
  const mayKeep = ends || submitted.some(isListed);
  const isKept = ({ system, value }: Identifier): boolean =>
    mayKeep && known.some((other) => other.system === system && other.value === value);
  return submitted.flatMap((identifier, index) =>
    isListed(identifier) || isKept(identifier)
      ? []
      : {
          severity: 'error',
          code: 'business-rule',
          diagnostics:
            'The system of this reference is not one that the registry lists for this authority. Use one of these, or ask ' +
            `the operator to list another: ${listed.join(', ')}`,
          expression: [`Flag.identifier[${index}].system`],
        },
  );
}
