import { createSecretKey, randomBytes } from 'node:crypto';
import { test } from 'tap';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { openCursor, sealCursor } from '../../../src/fhir/search/cursor.ts';
import { statusOf } from '../../support/status-of.ts';

const key = createSecretKey(randomBytes(32));
const binding = { caller: 'client-a', query: 'Flag?patient=9990000018' };
const position = [1_700_000_000_000, null, 'Zoë', 'f-1'];
const issuedMs = Date.UTC(2026, 0, 1);
const options = { binding, keys: [key], nowMs: issuedMs + 1000, maxAgeMs: 60_000 };
const before = [null, ['x', 1]] as const;
const text = sealCursor({ position, before, binding, issuedMs }, key);

function refusal(cursor: string, changes: Partial<typeof options> = {}): FhirFault | undefined {
  try {
    openCursor(cursor, { ...options, ...changes });
  } catch (error) {
    if (error instanceof FhirFault) return error;
    throw error;
  }
  return undefined;
}

test('a cursor opens for the same caller and search', async (t) => {
  t.strictSame(openCursor(text, options), { position, before });
  t.match(text, /^[\w-]+$/);
  const carried = Buffer.from(text, 'base64url').toString('latin1');
  t.notMatch(carried, /client-a|Flag|patient=|1700000000000|f-1/, 'neither the binding nor the position can be read');
  t.not(sealCursor({ position, before, binding, issuedMs }, key), text, 'nor can two cursors be compared');
  t.equal(sealCursor({ position: [1], before, binding, issuedMs }, key).length, text.length, 'nor measured');
  const bytes = randomBytes(32);
  const other = sealCursor({ position: ['x'], before: [], binding, issuedMs }, bytes);
  t.strictSame(openCursor(other, { ...options, keys: [key, createSecretKey(bytes)] }), { position: ['x'], before: [] });
});

test('what a cursor is refused for', async (t) => {
  for (let i = 0; i < text.length; i++) {
    const changed = `${text.slice(0, i)}${text[i] === 'A' ? 'B' : 'A'}${text.slice(i + 1)}`;
    if (refusal(changed)?.category !== 'invalid') t.fail(`a change at ${i} was not noticed`);
  }
  for (const garbage of [
    '',
    '.',
    'a.b',
    text.slice(1),
    `${text}x`,
    `${text.slice(0, 20)}.${text.slice(20)}`,
    `${text}${text}`,
    `${text}=`,
    'é.\ud800',
  ]) {
    t.equal(statusOf(refusal(garbage)), 400);
  }
  t.equal(statusOf(refusal(text, { keys: [createSecretKey(randomBytes(32))] })), 400, 'another key');
  t.equal(statusOf(refusal(text, { binding: { ...binding, query: 'Flag?patient=9990000026' } })), 400);
  t.equal(statusOf(refusal(text, { binding: { ...binding, caller: 'client-b' } })), 403);
  t.equal(statusOf(refusal(text, { binding: { caller: 'client-b', query: 'x' } })), 403);
  const expired = refusal(text, { nowMs: issuedMs + 60_001 });
  t.equal(statusOf(expired), 410);
  t.strictSame(expired?.issues[0]?.expression, ['_cursor']);
  t.equal(expired?.issues[0]?.code, 'expired');
  t.equal(refusal(text, { nowMs: issuedMs + 60_000 }), undefined);
});
