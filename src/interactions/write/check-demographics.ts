import type { Patient } from 'fhir/r4.js';
import { nhsNumberSystem } from '../../cpis/nhs-number.ts';
import { isInactive, markTracedBirthDate, replacementOf } from '../../cpis/number-labels.ts';
import { isHeld, type Plan } from '../../cpis/plan.ts';
import { isVisible } from '../../cpis/visibility.ts';
import { respond } from '../../demographics/record-response.ts';
import { statedDetails } from '../../demographics/stated-details.ts';
import type { FhirFault, Issue } from '../../fhir/fault.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import type { ChildRecord } from './child-record.ts';

const newNumberExtension = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-new-nhs-number';

/** What an authority states of a child. */
interface Statement {
  readonly patient: Patient;
  readonly child: ChildRecord;
  readonly authorityId: string;
  /** Whether the authority stated exactly this before. */
  readonly isKnown: boolean;
}

/** Adds the new NHS number to a refusal, as data: no text holds an NHS number. */
function withNewNumber(refused: FhirFault, value: string): FhirFault {
  const extension = [{ url: newNumberExtension, valueIdentifier: { system: nhsNumberSystem, value } }];
  return refused.withIssues(refused.issues.map((issue) => ({ ...issue, extension })));
}

/** What the demographics service says of a statement that is accepted. */
export interface CheckedStatement {
  readonly warnings: readonly Issue[];
  /** The labels of the child record, with the birth date that the service gives. */
  readonly labels: readonly string[];
}

/**
 * Matches what an authority states of a child with the demographics service. Throws the fault of a refusal. What is known already is not matched again while the authority has a plan on the child that is open or still
 * shown, because such numbers are traced in the background.
 */
export async function checkDemographics(
  { patient, child, authorityId, isKnown }: Statement,
  view: View,
  ports: InteractionPorts,
): Promise<CheckedStatement> {
  const { nhsNumber, labels } = child;
  if (!ports.demographics.isPresent) return { warnings: [], labels };
  const rule = visibilityRule(ports);
  const holds = async (number: string): Promise<boolean> => {
    const plans = await view.plansOf(number);
    const counts = (plan: Plan): boolean => isHeld(plan) && (plan.end === undefined || isVisible(plan, rule));
    return plans.some((plan) => plan.authorityId === authorityId && counts(plan));
  };
  const holdsNumber = await holds(nhsNumber);
  const hasChanged = replacementOf(nhsNumber, labels) !== undefined || isInactive(labels);
  if (isKnown && holdsNumber && !hasChanged) return { warnings: [], labels };
  const match = await ports.demographics.match(statedDetails(patient, nhsNumber));
  const isSuperseded = match.kind === 'compared' && match.isSuperseded;
  if (isSuperseded || (holdsNumber && match.kind === 'no-match')) ports.numberChanged(nhsNumber);
  const holdsChild = holdsNumber || (isSuperseded && (await holds(match.person.number)));
  const response = respond(match, { holdsChild });
  if (response.kind === 'accepted') {
    const traced = match.kind === 'compared' ? markTracedBirthDate(labels, match.person.birthDate) : labels;
    return { warnings: response.warnings, labels: traced };
  }
  throw response.newNumber === undefined ? response.fault : withNewNumber(response.fault, response.newNumber);
}

/**
 * Returns true if an NHS number is no longer in use and has no successor, as after an adoption. Throws the fault of a service
 * that cannot be asked, because a plan must not move from such a number.
 */
export async function isWithoutSuccessor(nhsNumber: string, { demographics }: InteractionPorts): Promise<boolean> {
  const trace = await demographics.trace(nhsNumber);
  const response = trace?.kind === 'unavailable' ? respond(trace, { holdsChild: true }) : undefined;
  if (response?.kind === 'refused') throw response.fault;
  return trace?.kind === 'invalidated' || trace?.kind === 'not-found';
}
