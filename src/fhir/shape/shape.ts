/** `_summary` and `_elements`: how much of a resource is asked for. https://hl7.org/fhir/R4/search.html#summary */
import { fault } from '../fault.ts';

/** `data` leaves out the text, `text` all but it; `summary` keeps what the definitions call a summary. */
export type Shape =
  | { readonly kind: 'summary' | 'text' | 'data' }
  | { readonly kind: 'elements'; readonly names: ReadonlySet<string> };

type Pair = readonly [name: string, value: string];

export interface ShapeRequest {
  /** Undefined: whole resources. */
  readonly shape: Shape | undefined;
  /** The parameters that gave the shape, as they were sent. */
  readonly applied: readonly Pair[];
  /** All other parameters; `_summary=count` is among them, as it asks for no resource. */
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
 * Takes the shape out of the parameters of a request. Throws 400 for a value that asks for no known shape, for a parameter
 * given twice, and for both at once, which contradict each other.
 */
export function takeShape(params: readonly Pair[]): ShapeRequest {
  const isShape = ([name, value]: Pair): boolean => name === '_elements' || (name === '_summary' && value !== 'count');
  const applied = params.filter(isShape);
  if (applied.length === 0) return { shape: undefined, applied, others: params };
  const others = params.filter((pair) => !isShape(pair));
  const [first, second] = applied;
  const counts = others.some(([name]) => name === '_summary');
  if (first === undefined || second !== undefined || counts) {
    throw fault('invalid', 'One _summary or one _elements says how much of a resource is wanted.', {
      expression: [first?.[0] ?? '_summary'],
    });
  }
  return { shape: first[0] === '_elements' ? parseElements(first[1]) : parseSummary(first[1]), applied, others };
}

function parseSummary(value: string): Shape | undefined {
  if (!Object.hasOwn(shapes, value)) {
    throw fault('invalid', '_summary is one of true, text, data, count and false.', { expression: ['_summary'] });
  }
  return shapes[value];
}

function parseElements(value: string): Shape {
  const names = value.split(',').map((name) => name.trim());
  if (names.length > maxElements || !names.every((name) => elementName.test(name))) {
    throw fault('invalid', `_elements is a list of at most ${maxElements} names of top-level elements.`, {
      expression: ['_elements'],
    });
  }
  return { kind: 'elements', names: new Set(names) };
}
