/**
 * Parses `application/x-www-form-urlencoded`, in a URL or a body. Order and repeats are kept, because FHIR search needs
 * both.
 */
import { fault } from '../fhir/fault.ts';

export type QueryPair = readonly [name: string, value: string];

const maxPairs = 256;
const visibleAscii = /^[\x21-\x7e]*$/;
const parameterName = /^[A-Za-z0-9_.:-]{1,128}$/;

/**
 * Decodes name-value pairs. Throws `invalid` for malformed percent-encoding, UTF-8 or names, and for control
 * characters.
 */
export function parseQuery(text: string): QueryPair[] {
  const pairs: QueryPair[] = [];
  if (text === '') return pairs;
  if (!visibleAscii.test(text))
    throw fault('invalid', 'A parameter contains a character that must be percent-encoded.');
  let start = 0;
  while (start <= text.length) {
    let end = text.indexOf('&', start);
    if (end === -1) end = text.length;
    if (end > start) {
      if (pairs.length === maxPairs)
        throw fault('invalid', `The request has more than ${maxPairs} parameters. Send fewer.`);
      pairs.push(parsePair(text.slice(start, end)));
    }
    start = end + 1;
  }
  return pairs;
}

function parsePair(text: string): QueryPair {
  const equals = text.indexOf('=');
  const name = decode(equals === -1 ? text : text.slice(0, equals));
  if (!parameterName.test(name) || name in Object.prototype)
    throw fault(
      'invalid',
      'The name of a parameter is not valid. A name has 1 to 128 letters, digits, underscores, dots, colons or hyphens.',
    );
  return [name, equals === -1 ? '' : decode(text.slice(equals + 1))];
}

function decode(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  let decoded: string;
  try {
    decoded = decodeURIComponent(spaced);
  } catch {
    throw fault('invalid', 'A parameter is not valid percent-encoded UTF-8.');
  }
  for (let index = 0; index < decoded.length; index++) {
    const code = decoded.charCodeAt(index);
    if (code < 0x20 || code === 0x7f) throw fault('invalid', 'A parameter contains a control character. Remove it.');
  }
  return decoded;
}
