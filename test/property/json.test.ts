import fc from 'fast-check';
import t from 'tap';
import { FhirFault } from '../../src/fhir/fault.ts';
import { parseJson } from '../../src/fhir/json.ts';

const isText = (value: string) =>
  value.isWellFormed() &&
  ![...value].some((character) => character < ' ' && character !== '\t' && character !== '\n' && character !== '\r');
const word = fc.string({ unit: 'binary', maxLength: 12 }).filter(isText);
const name = word.filter((value) => !(value in {}) && value !== 'prototype');
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), word),
    fc.array(tie('json'), { maxLength: 5 }),
    fc.dictionary(name, tie('json'), { maxKeys: 20 }),
  ),
}));
const escapeAll = (value: string) =>
  [...Array(value.length).keys()].map((at) => `\\u${value.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');

function accepts(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch (error) {
    if (error instanceof FhirFault) return false;
    throw error;
  }
}

t.test('agrees with JSON.parse on every JSON value, as text and as bytes', async () => {
  fc.assert(
    fc.property(json, fc.constantFrom('', '  ', '\t'), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent);
      const expected = JSON.stringify(JSON.parse(text));
      return (
        JSON.stringify(parseJson(text)) === expected &&
        JSON.stringify(parseJson(new TextEncoder().encode(text))) === expected
      );
    }),
    { numRuns: 500 },
  );
});

t.test('refuses a name that is there already, plain or escaped, at any place of the object', async () => {
  fc.assert(
    fc.property(
      fc.dictionary(name, json, { minKeys: 1, maxKeys: 20 }),
      fc.nat(),
      fc.boolean(),
      (value, pick, escaped) => {
        const names = Object.keys(value);
        const chosen = names[pick % names.length] ?? '';
        const again = escaped ? `"${escapeAll(chosen)}"` : JSON.stringify(chosen);
        const body = JSON.stringify(value).slice(1, -1);
        return (
          accepts(`{${body}}`) &&
          !accepts(`{${body},${again}:0}`) &&
          !accepts(`{${again}:0,${body}}`) &&
          !accepts(`[0,{"outer":{${body},${again}:0}}]`)
        );
      },
    ),
    { numRuns: 300 },
  );
});

t.test('never accepts text that JSON.parse refuses, and never fails in another way', async () => {
  const mutated = fc
    .tuple(
      json,
      fc.nat(),
      fc.constantFrom('', '"', '{', '}', '[', ']', ',', ':', '\\', '0', '-', '.', 'e', 'u', '\u0000'),
    )
    .map(([value, place, insert]) => {
      const text = JSON.stringify(value);
      const at = place % (text.length + 1);
      return text.slice(0, at) + insert + text.slice(at + (place % 2));
    });
  fc.assert(
    fc.property(mutated, (text) => {
      let valid = true;
      try {
        JSON.parse(text);
      } catch {
        valid = false;
      }
      return valid || !accepts(text);
    }),
    { numRuns: 1500 },
  );
});
