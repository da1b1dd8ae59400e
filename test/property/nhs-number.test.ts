import fc from 'fast-check';
import { test } from 'tap';
import { isNhsNumber } from '../../src/cpis/nhs-number.ts';
import { syntheticNhsNumbers } from '../../src/synthetic/synthetic-plan.ts';

/** The rule as the NHS Data Model and Dictionary words it, step by step. */
function naive(text: string): boolean {
  if (!/^[0-9]{10}$/.test(text)) return false;
  const weighted = [...text.slice(0, 9)].map((digit, index) => Number(digit) * (10 - index));
  const remainder = weighted.reduce((sum, term) => sum + term, 0) % 11;
  const result = 11 - remainder;
  if (result === 10) return false;
  return (result === 11 ? 0 : result) === Number(text[9]);
}

const tenDigits = fc
  .array(fc.integer({ min: 0, max: 9 }), { minLength: 10, maxLength: 10 })
  .map((digits) => digits.join(''));

/** A valid number of the range kept for tests. */
const validNumber = fc
  .integer({ min: 999_000_000, max: 999_999_999 })
  .map((body) => [...'0123456789'].map((digit) => `${body}${digit}`).find(naive))
  .filter((number): number is string => number !== undefined);

test('modulus 11 holds exactly where the written rule says so', async () => {
  fc.assert(
    fc.property(fc.oneof(tenDigits, validNumber), (text) => isNhsNumber(text) === naive(text)),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 12 }), (text) => isNhsNumber(text) === naive(text)),
    { numRuns: 1000 },
  );
});

test('every change of one digit and every swap of two neighbours is noticed', async () => {
  fc.assert(
    fc.property(validNumber, (number) => {
      if (!isNhsNumber(number)) return false;
      for (let index = 0; index < 10; index += 1) {
        for (const digit of '0123456789') {
          if (digit === number[index]) continue;
          const changed = number.slice(0, index) + digit + number.slice(index + 1);
          if (isNhsNumber(changed)) return false;
        }
        const [a, b] = [number[index], number[index + 1]];
        if (a === undefined || b === undefined || a === b) continue;
        if (isNhsNumber(number.slice(0, index) + b + a + number.slice(index + 2))) return false;
      }
      return true;
    }),
    { numRuns: 100 },
  );
});

test('what is not ten ASCII digits is never an NHS number', async (t) => {
  for (const text of ['', '999 000 0018', '999-000-0018', '99900000180', '999000001', ' 9990000018', '9990000018\n']) {
    t.notOk(isNhsNumber(text), JSON.stringify(text));
  }
  for (const digits of ['٩٩٩٠٠٠٠٠١٨', '９９９００００018', '+999000018', '0x99900001', '9.99000e18']) {
    t.notOk(isNhsNumber(digits), JSON.stringify(digits));
  }
  t.ok(isNhsNumber('9434765919'), 'the worked example of the dictionary');
});

test('synthetic numbers are valid, distinct and of the range that is never issued', async (t) => {
  const seen = new Set<string>();
  for (const number of syntheticNhsNumbers()) {
    if (!naive(number) || number < '9990000000' || number > '9999999999') t.fail('not of the range');
    seen.add(number);
    if (seen.size === 5000) break;
  }
  t.equal(seen.size, 5000);
});
