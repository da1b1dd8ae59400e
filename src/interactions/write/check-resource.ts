import type { FhirResource } from 'fhir/r4.js';
import { FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { inOneTurn } from '../yielding/in-turns.ts';

/**
 * Resolves to the resource in a request body, valid against this server's profile of its type. Rejects with a fault that
 * has all issues at once.
 */
export async function checkResource<T extends FhirResource>(
  body: unknown,
  type: T['resourceType'],
  ports: InteractionPorts,
): Promise<T> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw fault('structure', `The request has no resource. Send a JSON object of type ${type}.`, {
      expression: [type],
    });
  }
  if (!('resourceType' in body) || body.resourceType !== type) {
    throw fault('invalid', `The resource type of the body differs from the one in the URL (${type}).`, {
      expression: [`${type}.resourceType`],
    });
  }
  refuseErrors(await inOneTurn(() => ports.validate(body, type)));
  return body as T;
}

/** Throws `unprocessable` with all issues if one is an error. Warnings alone are accepted. */
export function refuseErrors(issues: readonly Issue[]): void {
  if (issues.some((issue) => issue.severity === 'error' || issue.severity === 'fatal')) {
    throw new FhirFault('unprocessable', issues);
  }
}
