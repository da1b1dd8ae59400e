import { fault } from '../../fhir/fault.ts';
import { nameParameter } from '../../fhir/search/parameter-name.ts';
import { type Shape, takeShape } from '../../fhir/shape/shape.ts';
import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import { type IsModified, parseReadConditions } from './conditional-read.ts';

/** How to answer a read or vread. */
export interface ReadOptions {
  readonly isModified: IsModified;
  /** Undefined for the whole resource. */
  readonly shape: Shape | undefined;
}

const ofAnyRequest = new Set(['_format', '_pretty']);

/**
 * Parses the conditions and parameters of a read. Throws for invalid ones and, under strict handling, for unknown ones.
 * Call it before any read, so that the refusal discloses nothing.
 */
export function parseReadOptions(request: FhirRequest, { handling }: Pick<AccessContext, 'handling'>): ReadOptions {
  const isModified = parseReadConditions(request);
  const { shape, others } = takeShape(request.query);
  for (const [name] of others) {
    if (name === '_summary')
      throw fault('invalid', '_summary=count is supported only for searches.', { expression: ['_summary'] });
    if (handling !== 'strict' || ofAnyRequest.has(name)) continue;
    throw fault('not-supported', 'This parameter is not supported for a read. Leave it out.', {
      expression: [nameParameter(name)],
    });
  }
  return { isModified, shape };
}
