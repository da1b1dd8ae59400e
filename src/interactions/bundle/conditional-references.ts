import { authorise } from '../../cpis/access-policy.ts';
import { invalidNhsNumber, isNhsNumber, nhsNumberSystem } from '../../cpis/nhs-number.ts';
import { fault } from '../../fhir/fault.ts';
import { searchAnywhere } from '../directory/directory.ts';
import type { AccessContext } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { planCriteria } from '../write/conditional.ts';
import { findReferences } from './replace-references.ts';

/** Maximum conditional references in one resource. The resources of this server have a subject and an author. */
const maxReferences = 4;
const conditionalReference = /^([A-Z][A-Za-z]{1,63})\?(.+)$/;

/**
 * Returns the NHS number if the criteria consist of it. It is the id of the Patient, recorded or not, so that it
 * discloses nothing.
 */
function nhsNumberIn(type: string, params: readonly (readonly [string, string])[]): string | undefined {
  const [only, ...others] = params;
  if (type !== 'Patient' || only?.[0] !== 'identifier' || others.length > 0) return undefined;
  const [system, value = '', ...rest] = only[1].split('|');
  if (system !== nhsNumberSystem || rest.length > 0) return undefined;
  if (!isNhsNumber(value)) throw invalidNhsNumber('identifier');
  return value;
}

async function resolve(reference: string, context: AccessContext, ports: InteractionPorts): Promise<string> {
  const [, type = '', criteria = ''] = conditionalReference.exec(reference) ?? [];
  const params = [...new URLSearchParams(criteria)];
  authorise(context.caller, type, 'search-type');
  const nhsNumber = nhsNumberIn(type, params);
  if (nhsNumber !== undefined) return `Patient/${nhsNumber}`;
  const plan = planCriteria(type, params, context, ports);
  const { matches } = await searchAnywhere(plan, ports);
  const [match, ...others] = matches;
  if (match !== undefined && others.length === 0) return `${type}/${match.id}`;
  throw fault(
    'precondition',
    'A conditional reference must match exactly one resource. Change its criteria, or refer to the resource by its id.',
    {
      code: others.length > 0 ? 'multiple-matches' : 'not-found',
    },
  );
}

/**
 * Resolves the conditional references (`Type?criteria`) of a resource in a transaction, each to the one match among the
 * resources that the caller may search. Throws `precondition` for no match or several.
 * https://hl7.org/fhir/R4/http.html#trules
 */
export async function resolveConditionalReferences(
  body: unknown,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<ReadonlyMap<string, string>> {
  const found = new Set(findReferences(body).filter((reference) => conditionalReference.test(reference)));
  if (found.size > maxReferences) {
    throw fault(
      'unprocessable',
      `The resource has more than ${maxReferences} conditional references. Refer to resources by their ids.`,
      {
        code: 'too-costly',
      },
    );
  }
  const resolved = new Map<string, string>();
  for (const reference of found) resolved.set(reference, await resolve(reference, context, ports));
  return resolved;
}
