import fc from 'fast-check';
import t from 'tap';
import { FhirFault } from '../../src/fhir/fault.ts';
import { checkAccept, checkContentHeaders } from '../../src/http/media-type.ts';
import { parsePrefer } from '../../src/http/prefer.ts';
import { parseQuery } from '../../src/http/query.ts';

const isText = (value: string) =>
  value.isWellFormed() && ![...value].some((character) => character < ' ' || character === '\u007f');
const value = fc.string({ unit: 'binary', maxLength: 20 }).filter(isText);
const name = fc.stringMatching(/^[A-Za-z0-9_.:-]{1,20}$/).filter((text) => !(text in {}));

function faultsOnly(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    return error instanceof FhirFault;
  }
}

t.test(
  'parseQuery returns the pairs that URLSearchParams and encodeURIComponent wrote, in order, with repeats',
  async (t) => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 10 }), (pairs) => {
        const form = new URLSearchParams(pairs.map(([key, text]): [string, string] => [key, text])).toString();
        const url = pairs.map(([key, text]) => `${key}=${encodeURIComponent(text)}`).join('&');
        const expected = JSON.stringify(pairs);
        return JSON.stringify(parseQuery(form)) === expected && JSON.stringify(parseQuery(url)) === expected;
      }),
      { numRuns: 500 },
    );
    t.strictSame(parseQuery('&a=1&&a&'), [
      ['a', '1'],
      ['a', ''],
    ]);
  },
);

t.test('the parsers throw only faults, for any input', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc
      .array(fc.constantFrom('%', '%f', '%00', '&', '=', '+', ',', ';', '"', 'q=', 'return', 'handling', '*/*', 'a'))
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(
      text,
      (sent) =>
        faultsOnly(() => parseQuery(sent)) &&
        faultsOnly(() => parsePrefer(sent)) &&
        faultsOnly(() => checkAccept(sent)) &&
        faultsOnly(() => checkContentHeaders(sent, undefined)),
    ),
    { numRuns: 1000 },
  );
});
