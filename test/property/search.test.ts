import fc from 'fast-check';
import { test } from 'tap';
import { FhirFault } from '../../src/fhir/fault.ts';
import { faultStatus } from '../../src/fhir/response-status.ts';
import { compareText } from '../../src/fhir/search/compare-text.ts';
import { parseInterval } from '../../src/fhir/search/date.ts';
import { matches } from '../../src/fhir/search/matches.ts';
import { normaliseText } from '../../src/fhir/search/normalise-text.ts';
import { parseSearch } from '../../src/fhir/search/parse-search.ts';
import { clauseOf, escapeValue, optionsFor } from '../support/search-fixture.ts';

const plain = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter((text) => !text.includes('\0'));
const special = fc.string({ unit: fc.constantFrom(',', '|', '$', '\\', 'a', 'é'), minLength: 1, maxLength: 12 });
const value = fc.oneof(plain, special);

test('what was escaped is parsed back', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ system: fc.option(value, { nil: null }), code: value }), { minLength: 1, maxLength: 5 }),
      (tokens) => {
        const text = tokens.map(({ system, code }) => `${escapeValue(system ?? '')}|${escapeValue(code)}`).join(',');
        t.matchOnlyStrict(clauseOf('Flag', 'identifier', text), {
          kind: 'token',
          param: 'identifier',
          negated: false,
          any: tokens,
        });
      },
    ),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (texts) => {
      const clause = clauseOf('Patient', 'family:exact', texts.map(escapeValue).join(','));
      t.matchOnlyStrict(clause, { kind: 'string', param: 'family', match: 'exact', any: texts });
    }),
    { numRuns: 300 },
  );
});

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  special,
  fc.constantFrom('\ud800', '__proto__', 'constructor', '2024', 'ge', '[$ne]', 'x'.repeat(2000), '%00', '(a+)+$'),
);
const anyName = fc.oneof(
  anyText,
  fc
    .tuple(
      fc.constantFrom(
        'patient',
        'date',
        'identifier',
        'status',
        '_id',
        '_lastUpdated',
        '_sort',
        '_count',
        '_cursor',
        '_has',
        '_include',
        '_revinclude',
        '_total',
        'code',
      ),
      fc.constantFrom(
        '',
        ':',
        ':not',
        ':missing',
        ':identifier',
        ':Patient',
        '.identifier',
        ':Patient.',
        '[]',
        '.',
        '.family',
        ':Flag:patient:status',
        ':Flag:patient',
        ':iterate',
        ':text',
        ':of-type',
      ),
    )
    .map(([code, rest]) => code + rest),
);

const linking = {
  nowMs: Date.UTC(2026, 0, 1),
  texts: new Set(['code']),
  revincludes: new Set(['Flag:patient']),
  iterates: new Set(['Flag:author']),
  chains: new Map([['patient', { type: 'Patient', allowed: new Set(['family', 'birthdate']) }]]),
  reverses: new Map([['Flag:patient', { type: 'Flag', allowed: new Set(['status', 'author']) }]]),
};

test('whatever is sent, the answer is a query or a FhirFault of status 400 that repeats no value', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyName, anyText), { maxLength: 6 }),
      fc.constantFrom('strict' as const, 'lenient' as const),
      (params, handling) => {
        try {
          const query = parseSearch('Flag', params, optionsFor('Flag', { handling, ...linking }));
          return query.applied.length + query.ignored.length <= params.length;
        } catch (error) {
          if (!(error instanceof FhirFault) || faultStatus[error.category].code !== 400 || error.issues.length === 0)
            return false;
          return error.issues.every(({ expression = [] }) => expression.every((name) => /^[\w.:-]{1,64}$/.test(name)));
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.pass();
});

test('normalised text is normal, and case and accents do not count', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (text) => {
      const normal = normaliseText(text);
      t.equal(normaliseText(normal), normal);
      t.equal(normaliseText(text.toUpperCase()), normal);
      t.equal(normaliseText(text.normalize('NFD')), normal);
    }),
    { numRuns: 1000 },
  );
  t.equal(normaliseText('  Straße\t ΟΔΟΣ İ ﬁ  '), 'strasse οδοσ i fi');
});

test('text is ordered as its UTF-8 bytes are', async (t) => {
  const unit = fc.oneof(
    fc.constantFrom('\uE000', '\uFFFD', '\u{10000}', '\u{1F600}', 'a', 'z'),
    fc.string({ maxLength: 1 }),
  );
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 6 }), fc.string({ unit, maxLength: 6 }), (a, b) => {
      const order = Buffer.compare(Buffer.from(a), Buffer.from(b));
      return Math.sign(compareText(a, b)) === order;
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

/** An instant in the years 1 to 9999, at each precision that a date may have. */
const written = fc
  .tuple(
    fc.date({ min: new Date('0001-01-02T00:00:00Z'), max: new Date('9998-12-30T00:00:00Z'), noInvalidDate: true }),
    fc.constantFrom(4, 7, 10, 16, 19, 21, 22, 23),
    fc.constantFrom('', 'Z', '+01:00', '-11:30', '+14:00'),
  )
  .map(([date, length, zone]) => ({ text: date.toISOString().slice(0, length), zone: length > 10 ? zone : '' }));

test('an interval is what its text says: it starts there and ends where the next one starts', async (t) => {
  fc.assert(
    fc.property(written, ({ text, zone }) => {
      const interval = parseInterval(text + zone);
      if (interval === undefined) return false;
      const sign = zone.startsWith('-') ? -1 : 1;
      const offsetMs = zone.length < 2 ? 0 : sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4))) * 60_000;
      const local = (ms: number): string => new Date(ms + offsetMs).toISOString().slice(0, text.length);
      // The first and the last millisecond read as the text, and their neighbours do not.
      return (
        local(interval.startMs) === text &&
        local(interval.endMs - 1) === text &&
        local(interval.startMs - 1) !== text &&
        local(interval.endMs) !== text
      );
    }),
    { numRuns: 2000 },
  );
  const refused = [
    '0000',
    '2024-00',
    '2024-13',
    '2023-02-29',
    '1900-02-29',
    '2024-04-31',
    '2024-01-01T24:00',
    '20240101',
  ];
  refused.push(
    '2024-01-01T10',
    '2024-01-01T10:60',
    '2024-01-01T10:00:61',
    '2024-01-01T10:00+15:00',
    '2024-01-01Z',
    ' 2024',
  );
  for (const text of refused) t.equal(parseInterval(text), undefined, text);
  t.strictSame(parseInterval('2024-01-01T10:00:00.1239Z'), {
    startMs: Date.UTC(2024, 0, 1, 10, 0, 0, 123),
    endMs: Date.UTC(2024, 0, 1, 10, 0, 0, 124),
  });
});

const segment = fc.string({ unit: fc.constantFrom('a', 'b', '.', '%', 'é'), minLength: 1, maxLength: 3 });
const uri = fc
  .tuple(fc.constantFrom('https://', 'urn:', ''), fc.array(segment, { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([scheme, segments, slash]) => `${scheme}${segments.join('/')}${slash ? '/' : ''}`);

test('what is above a URI is what it is below', async (t) => {
  fc.assert(
    fc.property(uri, uri, (one, other) => {
      const finds = (modifier: string, searched: string, held: string): boolean => {
        const clause = clauseOf('Subscription', `url:${modifier}`, escapeValue(searched));
        const meta = { id: 'a', lastUpdatedMs: 0, labels: [] };
        return matches([clause], [{ kind: 'uri', param: 'url', value: held }], meta);
      };
      const withAuthority = one.includes('://') === other.includes('://');
      return !withAuthority || finds('above', one, other) === finds('below', other, one);
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
