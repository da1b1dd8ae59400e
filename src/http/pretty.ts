/** `_pretty`: JSON for people to read. https://hl7.org/fhir/R4/http.html#pretty */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fault } from '../fhir/fault.ts';
import type { QueryPair } from './query.ts';

/** Takes `_pretty` out of the pairs; true when it asks for line breaks and indentation. */
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

const tokensPerPart = 20_000;

/** Sets JSON text in lines, part by part. The text of each value stays as it is: a number keeps its digits. */
function* indentParts(text: string): Generator<string, void, undefined> {
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
    if (++count % tokensPerPart === 0) {
      yield out;
      out = '';
    }
  }
  yield out;
}

/** JSON text in lines. */
export function indentJson(text: string): string {
  return [...indentParts(text)].join('');
}

/** As `indentJson`, with turns for other requests in between when the text is long. */
export async function indentJsonYielding(text: string): Promise<string> {
  const parts: string[] = [];
  for (const part of indentParts(text)) {
    if (parts.length > 0) await nextTurn();
    parts.push(part);
  }
  return parts.join('');
}
