/** Parses `_summary` and `_elements`. https://hl7.org/fhir/R4/search.html#summary */
import { fault } from '../fault.ts';

/**
 * `data` leaves out the text, `text` keeps only the text, and `summary` keeps the elements that R4 marks as summary.
 */
export type Shape =
  | { readonly kind: 'summary' | 'text' | 'data' }
  | { readonly kind: 'elements'; readonly names: ReadonlySet<string> };

type Pair = readonly [name: string, value: string];

export interface ShapeRequest {
  /** Undefined for complete resources. */
  readonly shape: Shape | undefined;
  /** The parameters that define the shape, as sent. */
  readonly applied: readonly Pair[];
  /** All other parameters. `_summary=count` is one of them, because it requests no resource. */
  readonly others: readonly Pair[];
}

const shapes: Readonly<Record<string, Shape | undefined>> = {
  true: { kind: 'summary' },
  text: { kind: 'text' },
  data: { kind: 'data' },
  false: undefined,
};
const elementName = /^[a-z][A-Za-z]{0,63}$/;
const maxElements = 64;

/**
 * Separates the shape from the other parameters. Throws a 400 fault for an unknown value, a repeated parameter, or both
 * parameters together.
 */
export function takeShape(params: readonly Pair[]): ShapeRequest {
  const isShape = ([name, value]: Pair): boolean => name === '_elements' || (name === '_summary' && value !== 'count');
  const applied = params.filter(isShape);
  if (applied.length === 0) return { shape: undefined, applied, others: params };
  const others = params.filter((pair) => !isShape(pair));
  const [first, second] = applied;
  const counts = others.some(([name]) => name === '_summary');
  if (first === undefined || second !== undefined || counts) {
    throw fault('invalid', 'Send either _summary or _elements, and only once.', {
      expression: [first?.[0] ?? '_summary'],
    });
  }
  return { shape: first[0] === '_elements' ? parseElements(first[1]) : parseSummary(first[1]), applied, others };
}

function parseSummary(value: string): Shape | undefined {
  if (!Object.hasOwn(shapes, value)) {
    throw fault('invalid', 'The value of _summary must be true, text, data, count or false.', {
      expression: ['_summary'],
    });
  }
  return shapes[value];
}

function parseElements(value: string): Shape {
  const names = value.split(',').map((name) => name.trim());
  if (names.length > maxElements || !names.every((name) => elementName.test(name))) {
    throw fault('invalid', `The value of _elements must be at most ${maxElements} names of top-level elements.`, {
      expression: ['_elements'],
    });
  }
  return { kind: 'elements', names: new Set(names) };
}
