import t from 'tap';
import { FhirFault } from '../../src/fhir/fault.ts';
import { parseJson } from '../../src/fhir/json.ts';
import type { JsonLimits } from '../../src/fhir/json-scan.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);
const text = (value: string) => new TextEncoder().encode(value);

function refusal(input: Uint8Array | string, limits?: JsonLimits): string {
  try {
    parseJson(input, limits);
  } catch (error) {
    if (error instanceof FhirFault && error.category === 'structure') return error.issues[0]?.diagnostics ?? '';
    throw error;
  }
  return 'accepted';
}

t.test('accepts the JSON of RFC 8259', async (t) => {
  const samples = [
    '{}',
    '[]',
    ' \r\n\t[ 1 , -0 , 0.5e-3 , 1E+2 , true , false , null , "" ] ',
    '{"a":{"b":[{"c":"\\u00e9\\ud83d\\ude00 \\" \\\\ \\/ \\n \\r \\t"}]},"":1}',
    '"é€😀"',
    '0',
  ];
  for (const sample of samples) {
    t.strictSame(parseJson(sample), JSON.parse(sample));
    t.strictSame(parseJson(text(sample)), JSON.parse(sample));
  }
  const wide = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`name${index}`, index]));
  t.strictSame(parseJson(JSON.stringify(wide)), wide);
});

t.test('refuses what is not JSON, with the place and without the text', async (t) => {
  const samples = [
    '',
    ' ',
    '{',
    '[',
    '[1,]',
    '[1 2]',
    '{"a":1,}',
    '{"a" 1}',
    '{a:1}',
    "{'a':1}",
    '{"a":1}}',
    '01',
    '+1',
    '-',
    '1.',
    '.5',
    '1e',
    '0x1',
    'NaN',
    'Infinity',
    'tru',
    'nul',
    '"a',
    '"\\x"',
    '"\\u12g4"',
    '"\t"',
    '"\\',
    '// x\n1',
    '1 2',
  ];
  for (const sample of samples) {
    t.throws(() => JSON.parse(sample), sample);
    t.match(refusal(sample), /^The JSON is not valid: .* \(line \d+, column \d+\)\.$/, sample);
  }
  t.equal(refusal('{\n  "a": 1,\n  "secret" 2}'), "The JSON is not valid: ':' was expected (line 3, column 12).");
  t.notMatch(refusal('{"secret":secret}'), /secret/);
});

t.test('refuses equal names in an object at every level, however they are escaped', async (t) => {
  const wide = Array.from({ length: 40 }, (_, index) => `"n${index}":0`).join(',');
  for (const sample of [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"\\u0061":1,"a":2}',
    '{"resourceType":"Flag","resourceType":"Patient"}',
    '[{"x":[{"a":1,"b":2,"a":3}]}]',
    `{${wide},"n3":1}`,
    `{${wide},"n39":1}`,
  ]) {
    t.match(refusal(sample), /a property name occurs twice in one object/, sample);
  }
  t.strictSame(parseJson('[{"a":1},{"a":2}]'), [{ a: 1 }, { a: 2 }]);
});

t.test('refuses the names of Object.prototype', async (t) => {
  for (const name of [
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'valueOf',
    '__defineGetter__',
    '\\u005f_proto__',
  ]) {
    t.match(refusal(`{"a":[{"${name}":{"polluted":1}}]}`), /a property name is not allowed/, name);
  }
  t.equal(({} as { polluted?: unknown }).polluted, undefined);
});

t.test('refuses text that is not Unicode', async (t) => {
  const quoted = (...inner: number[]) => bytes(0x22, ...inner, 0x22);
  t.match(refusal(quoted(0xff)), /UTF-8/);
  t.match(refusal(quoted(0xc0, 0xaf)), /UTF-8/, 'overlong');
  t.match(refusal(quoted(0xe0, 0x80, 0xaf)), /UTF-8/, 'overlong');
  t.match(refusal(quoted(0xed, 0xa0, 0x80)), /UTF-8/, 'encoded surrogate');
  t.match(refusal(quoted(0xf4, 0x90, 0x80, 0x80)), /UTF-8/, 'above U+10FFFF');
  t.match(refusal(quoted(0xe2, 0x82)), /UTF-8/, 'cut short');
  t.match(refusal(bytes(0xff, 0xfe, 0x7b, 0, 0x7d, 0)), /UTF-8/, 'UTF-16');
  t.match(refusal(bytes(0x7b, 0, 0x7d, 0)), /not valid/, 'UTF-16 without a mark');
  t.match(refusal(bytes(0xef, 0xbb, 0xbf, 0x7b, 0x7d)), /byte order mark/);
  t.match(refusal('"\ud800"'), /not valid Unicode/);
  for (const lone of ['\\ud800', '\\udc00', '\\ud800\\ud800', '\\ud800x', '\\ud800\\n', '\\udc00\\ud800']) {
    t.match(refusal(`"${lone}"`), /half of a surrogate pair/, lone);
    t.match(refusal(`{"${lone}":1}`), /half of a surrogate pair/, lone);
  }
  for (const control of ['\\u0000', '\\u001F', '\\b', '\\f', '\u0000', '\u001b']) {
    t.match(refusal(`"${control}"`), /control character/);
  }
});

t.test('checks the limits before the text is parsed', async (t) => {
  t.equal(refusal(`${'['.repeat(64)}${']'.repeat(64)}`), 'accepted');
  t.match(refusal(`${'['.repeat(65)}${']'.repeat(65)}`), /nested deeper than 64/);
  t.match(refusal('['.repeat(100_000)), /nested deeper than 64/);
  t.match(refusal('{"a":'.repeat(100_000)), /nested deeper than 64/);
  t.match(refusal('[[[]]]', { maxDepth: 2 }), /nested deeper than 2/);
  t.match(
    refusal(`{${Array.from({ length: 1_000_000 }, (_, index) => `"k${index}":1`).join(',')}}`),
    /more than 250000/,
  );
  t.match(refusal('[{"a":1},{"a":1},{"a":1}]', { maxKeys: 2 }), /more than 2 properties/);
  t.match(refusal(`[${'9'.repeat(1_000_000)}]`), /a number is too long/);
  t.match(refusal('1e400'), /a number is too large/);
  t.equal(refusal('1e300'), 'accepted');
});
