/** Renders JSON with line breaks and indentation for `_pretty`. https://hl7.org/fhir/R4/http.html#pretty */
import { fault } from '../fhir/fault.ts';
import type { Steps } from '../fhir/steps.ts';
import type { QueryPair } from './query.ts';

/** Removes `_pretty` from the pairs. Returns true if it asks for line breaks and indentation. */
export function takePretty(pairs: QueryPair[]): boolean {
  let pretty = false;
  for (let index = pairs.length - 1; index >= 0; index--) {
    const pair = pairs[index];
    if (pair === undefined || pair[0] !== '_pretty') continue;
    if (pair[1] !== 'true' && pair[1] !== 'false') {
      throw fault('invalid', '_pretty must be true or false.', { expression: ['_pretty'] });
    }
    pretty = pair[1] === 'true';
    pairs.splice(index, 1);
  }
  return pretty;
}

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

const tokensPerStep = 5_000;

/** Returns JSON text with line breaks and indentation. The text of each value stays the same: a number keeps its digits. */
export function* indentJson(text: string): Steps<string> {
  const parts: string[] = [];
  let out = '';
  let depth = 0;
  let last = '';
  let count = 0;
  const line = (): string => `\n${'  '.repeat(depth)}`;
  for (const [token] of text.matchAll(tokens)) {
    const isOpening = token === '{' || token === '[';
    const isClosing = token === '}' || token === ']';
    if (isClosing) depth -= 1;
    if (last === '{' || last === '[') out += isClosing ? '' : line();
    else if (isClosing || last === ',') out += line();
    out += token === ':' ? ': ' : token;
    if (isOpening) depth += 1;
    last = token;
    if (++count % tokensPerStep === 0) {
      parts.push(out);
      out = '';
      yield;
    }
  }
  return parts.join('') + out;
}
