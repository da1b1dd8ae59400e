import fc from 'fast-check';
import t from 'tap';
import { firstKey, gatherKeys, type KeyPosition } from '../../../../src/store/sqlite/audit-index/gather-keys.ts';
import { parseAuditKeys, renderAuditKeys } from '../../../../src/store/sqlite/encoding/audit-key.ts';
import { audit } from '../../../contract/fixtures.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('"', '\\', '","', ':1', '\u0000', '\u2028', '\ud800', 'owner:E1', 'x'.repeat(40)),
);
const id = fc.stringMatching(/^[A-Za-z0-9.-]{1,20}$/);
const references = (type: string) =>
  fc.array(
    id.map((of) => `${type}/${of}`),
    { maxLength: 3 },
  );
const keysOfEvent = fc
  .record({
    patients: references('Patient'),
    agents: references('Organization'),
    entities: fc.oneof(references('Flag'), references('Patient')),
    labels: fc.array(text, { maxLength: 4 }),
  })
  .map((changes) => renderAuditKeys(audit('a', changes)).keys);

type KeyRow = readonly unknown[];
const codes = ['rest', 'read', 'R', '0', 7] as const;

t.test('keys are parsed as they were rendered, for any label', async () => {
  fc.assert(
    fc.property(keysOfEvent, (keys) => {
      const members = JSON.parse(keys) as Readonly<Record<string, number>>;
      t.strictSame(new Map(parseAuditKeys(keys)), new Map(Object.entries(members)));
    }),
    { numRuns: 300 },
  );
});

t.test('chunks of any size together hold each key of each event once, in key order', async () => {
  fc.assert(
    fc.property(
      fc.array(keysOfEvent, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 }),
      (events, sizes) => {
        const gathered = gatherKeys();
        for (const [at, keys] of events.entries()) gathered.add([1_000 + at, at + 1, ...codes, keys]);
        t.equal(gathered.events, events.length);
        const sorted = gathered.sort();
        const rows: KeyRow[] = [];
        let next: KeyPosition | undefined = firstKey;
        for (let part = 0; next !== undefined; part += 1) {
          const atMost = sizes[part % sizes.length] ?? 1;
          const before = rows.length;
          next = sorted.write(next, atMost, (...row) => rows.push(row));
          t.ok(next === undefined ? rows.length - before <= atMost : rows.length - before === atMost);
        }
        const expected = events.flatMap((keys, at): KeyRow[] =>
          Object.entries(JSON.parse(keys) as Readonly<Record<string, number>>).map(([key, roles]) => [
            key,
            1_000 + at,
            at + 1,
            roles,
            ...(roles === 0 ? codes : codes.map(() => null)),
          ]),
        );
        const byKey = ([a]: KeyRow, [b]: KeyRow): number =>
          String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
        t.strictSame(rows, expected.sort(byKey));
      },
    ),
    { numRuns: 300 },
  );
});
