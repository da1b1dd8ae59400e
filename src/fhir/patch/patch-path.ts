/** Evaluates the FHIRPath of a patch operation, a small and safe part of the language that can select any element. */
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import { cannotApply, type JsonObject } from './patched.ts';

/** A step down from the resource: an element name without `[x]`, and its index in an array. */
export interface PathStep {
  readonly name: string;
  readonly index: number | undefined;
}

/** Returns the steps to each selected element. Throws a 422 fault if the path selects something other than elements. */
export type FindElements = (resource: JsonObject) => PathStep[][];

interface SyntaxNode {
  readonly type?: string;
  readonly text?: string;
  readonly children?: readonly SyntaxNode[];
}
interface FoundNode {
  readonly fullPropertyName?: () => string;
}

const maxPathLength = 128;
/** Maximum number of indexes and functions, because the cost to parse and evaluate a path grows with them. */
const maxBrackets = 4;
/** Maximum number of cached paths. Compiling a path costs a hundred times as much as evaluating it. */
const maxKept = 500;
const kept = new Map<string, FindElements | undefined>();
const syntax = new Set([
  'EntireExpression',
  'TermExpression',
  'InvocationTerm',
  'MemberInvocation',
  'FunctionInvocation',
  'ThisInvocation',
  'Functn',
  'Identifier',
  'ParamList',
  'IndexerExpression',
  'InvocationExpression',
  'EqualityExpression',
  'AndExpression',
  'OrExpression',
  'ParenthesizedTerm',
  'LiteralTerm',
  'StringLiteral',
  'NumberLiteral',
  'BooleanLiteral',
]);
const functions = new Set(['where', 'first', 'last', 'single', 'exists', 'empty', 'not', 'extension', 'ofType']);
const step = /^([A-Za-z][A-Za-z0-9]*)(?:\[(\d+)\])?$/;

function isHarmless(node: SyntaxNode): boolean {
  if (node.type !== undefined && !syntax.has(node.type)) return false;
  if (node.type === 'FunctionInvocation' && !functions.has(node.text ?? '')) return false;
  if (node.type === 'EqualityExpression' && node.text !== '=' && node.text !== '!=') return false;
  return (node.children ?? []).every(isHarmless);
}

/** Compiles a path. Returns undefined if it is not FHIRPath or uses more of the language than is supported. */
export function compilePatchPath(expression: string): FindElements | undefined {
  if (expression === '' || expression.length > maxPathLength) return undefined;
  if (expression.split('[').length + expression.split('(').length - 2 > maxBrackets) return undefined;
  if (kept.has(expression)) return kept.get(expression);
  const compiled = compile(expression);
  if (kept.size === maxKept) kept.clear();
  kept.set(expression, compiled);
  return compiled;
}

function compile(expression: string): FindElements | undefined {
  let evaluate: (resource: object) => unknown;
  try {
    if (!isHarmless(fhirpath.parse(expression) as SyntaxNode)) return undefined;
    evaluate = fhirpath.compile(expression, r4, { resolveInternalTypes: false });
  } catch {
    return undefined;
  }
  return (resource) => {
    let found: FoundNode[];
    try {
      found = evaluate(resource) as FoundNode[];
    } catch (cause) {
      throw cannotApply('The path cannot be evaluated on this resource.', { cause });
    }
    return found.map((node) => {
      const [, ...names] = node?.fullPropertyName?.().split('.') ?? [];
      const steps = names.map((text) => step.exec(text));
      if (node?.fullPropertyName === undefined || steps.includes(null)) {
        throw cannotApply('The path must select elements of the resource.');
      }
      return steps.map((match) => ({
        name: match?.[1] ?? '',
        index: match?.[2] === undefined ? undefined : Number(match[2]),
      }));
    });
  };
}
