/**
 * Parses JSON strictly. A scan checks the text before `JSON.parse`, because `JSON.parse` keeps the last of two equal
 * names, accepts lone surrogates and `__proto__`, and does not limit the depth. https://hl7.org/fhir/R4/json.html
 */
import { fault } from './fault.ts';
import { type JsonLimits, JsonScan } from './json-scan.ts';
import type { Steps } from './steps.ts';

/** Characters that are scanned in one step. */
const lengthOfPart = 500_000;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses UTF-8 bytes, or text, as JSON.
 *
 * Throws a fault `structure`, with line and column and nothing of the text, for: invalid UTF-8, a byte order mark,
 * anything that is not RFC 8259 JSON, a name that occurs twice in an object (however escaped), a name of
 * `Object.prototype`, lone surrogates, control characters other than tab, LF and CR (not allowed in FHIR strings),
 * numbers that are too long or not finite, and text that exceeds the limits.
 */
export function parseJson(input: Uint8Array | string, limits: JsonLimits = {}): unknown {
  const text = readText(input);
  new JsonScan(text, limits).advance();
  return JSON.parse(text);
}

/** Does the same as `parseJson` in steps, for a long text. */
export function* parseJsonInSteps(input: Uint8Array, limits: JsonLimits): Steps<unknown> {
  const text = readText(input);
  const scan = new JsonScan(text, limits);
  do yield;
  while (!scan.advance(lengthOfPart));
  yield;
  return JSON.parse(text);
}

function readText(input: Uint8Array | string): string {
  const text = typeof input === 'string' ? input : decodeUtf8(input);
  if (typeof input === 'string' && !text.isWellFormed())
    throw fault('structure', 'The JSON text is not valid Unicode.');
  if (text.charCodeAt(0) === 0xfeff)
    throw fault('structure', 'The JSON text starts with a byte order mark. Remove it.');
  return text;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw fault('structure', 'The body is not valid UTF-8.');
  }
}
