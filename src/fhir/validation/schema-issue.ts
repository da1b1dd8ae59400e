import type { ErrorObject } from 'ajv';
import type { IssueCode } from '../fault.ts';
import type { PathStep } from './check.ts';

export interface SchemaIssue {
  readonly code: IssueCode;
  readonly diagnostics: string;
  /** JSON names and indexes from the root. */
  readonly steps: readonly PathStep[];
}

type Words = (error: ErrorObject) => readonly [code: IssueCode, diagnostics: string, below?: string];

function outsideValueSet({ parentSchema }: ErrorObject): readonly [code: IssueCode, diagnostics: string] {
  return ['code-invalid', `The code is not in the required value set ${parentSchema?.['$comment']}.`];
}

const words: Readonly<Record<string, Words>> = {
  required: ({ params }) => [
    'required',
    `The element ${params['missingProperty']} is required.`,
    params['missingProperty'],
  ],
  additionalProperties: ({ params }) => [
    'structure',
    'The definition has no such element. Check its name, or remove it.',
    params['additionalProperty'],
  ],
  'false schema': () => ['structure', 'The profile does not allow this element.'],
  type: ({ params, data }) => {
    const asked = [params['type']].flat().filter((type) => type !== 'null');
    const isShape = asked.includes('object') || asked.includes('array') || typeof data === 'object';
    return [isShape ? 'structure' : 'value', `The element must be a JSON ${asked.join(' or ')}.`];
  },
  format: ({ params }) => ['value', `The value is not a valid ${String(params['format']).replace('fhir-', '')}.`],
  pattern: (error) =>
    error.parentSchema?.['$comment'] === undefined
      ? ['value', `The value does not match ${error.params['pattern']}.`]
      : outsideValueSet(error),
  const: () => ['value', 'The element must have the value that the definition fixes.'],
  enum: outsideValueSet,
  minItems: ({ params, data }) =>
    Array.isArray(data) && data.length === 0
      ? ['structure', 'A JSON array must not be empty.']
      : ['required', `At least ${params['limit']} of this element must be present.`],
  maxItems: ({ params }) => ['structure', `At most ${params['limit']} of this element may be present.`],
  minProperties: () => ['structure', 'ele-1: An element must have a value or children.'],
  minimum: ({ params }) => ['value', `The number must be at least ${params['limit']}.`],
  maximum: ({ params }) => ['value', `The number must be at most ${params['limit']}.`],
  maxLength: ({ params }) => ['too-long', `The value must have at most ${params['limit']} characters.`],
};

/**
 * Describes the errors of ajv (run with `verbose`) in FHIR terms. For a value of the wrong JSON type, reports only
 * that. Returns `max` issues at most.
 */
export function readSchemaErrors(errors: readonly ErrorObject[], max: number): SchemaIssue[] {
  const mistyped = new Set(errors.filter(({ keyword }) => keyword === 'type').map(({ instancePath }) => instancePath));
  return errors
    .filter(({ keyword, instancePath }) => keyword === 'type' || !mistyped.has(instancePath))
    .slice(0, max)
    .map((error) => {
      const [code, diagnostics, below] = words[error.keyword]?.(error) ?? ['invalid', 'The element is not valid.'];
      return { code, diagnostics, steps: [...stepsOf(error.instancePath), ...(below === undefined ? [] : [below])] };
    });
}

function stepsOf(pointer: string): PathStep[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step.replaceAll('~1', '/').replaceAll('~0', '~')));
}
