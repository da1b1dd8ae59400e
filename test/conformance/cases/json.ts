/** https://hl7.org/fhir/R4/json.html and the rules of resources, as they are met at the server's door. */
import { buildFlag } from '../../../src/synthetic/synthetic-plan.ts';
import { freshPlan, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { la, asLa } = world;
const plan = freshPlan();
await submit(la, plan);
const flag = (more: object = {}) => ({ ...buildFlag({ ...plan, reference: 'json' }), ...more });
const create = (body: unknown) => asLa('POST', 'Flag', { body });
const text = JSON.stringify(flag());

conforms(`${spec}/json.html`, 'a property name that is there twice is refused', async (t) => {
  t.match(await create(text.replace('{', '{"status":"active",')), {
    status: 400,
    json: { issue: [{ code: 'structure' }] },
  });
});

conforms(`${spec}/json.html#primitive`, 'null stands in arrays of primitives only, next to an extension', async (t) => {
  for (const body of [flag({ status: null }), flag({ identifier: [null] }), flag({ category: null })]) {
    t.match(await create(body), { status: 422, json: { issue: [{ code: 'structure' }] } });
  }
});

conforms(`${spec}/json.html`, 'empty objects, arrays and strings are refused', async (t) => {
  for (const body of [
    flag({ category: [] }),
    flag({ period: {} }),
    flag({ identifier: [{ system: 'urn:x', value: '' }] }),
  ]) {
    t.match(await create(body), { status: 422 });
  }
});

conforms(`${spec}/json.html`, 'what is not UTF-8, or has a byte order mark, is refused', async (t) => {
  const bytes = Buffer.from(text);
  t.match(await create(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes])), { status: 400 });
  const broken = Buffer.from(bytes);
  broken[text.indexOf('json')] = 0xff;
  t.match(await create(broken), { status: 400 });
});

conforms(`${spec}/json.html`, 'depth and size are bounded before anything is parsed', async (t) => {
  t.match(await create(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`), { status: 400 });
  t.match(await create(`{"a":"${'x'.repeat(20 * 1024 * 1024)}"}`), { status: 413 });
});

conforms(
  `${spec}/validation.html`,
  'unknown elements, wrong types, bad codes, formats and cardinalities are each reported at their element',
  async (t) => {
    const cases: [object, string, string][] = [
      [{ zzz: 1 }, 'structure', 'Flag.zzz'],
      [{ period: { start: '2025-13-01' } }, 'value', 'Flag.period.start'],
      [{ status: 'bad' }, 'code-invalid', 'Flag.status'],
      [{ status: 1 }, 'value', 'Flag.status'],
      [{ identifier: undefined }, 'required', 'Flag.identifier'],
      [{ subject: { reference: 'Group/1' } }, 'value', 'Flag.subject.reference'],
      [{ period: { start: '2025-02-01', end: '2025-01-01' }, status: 'inactive' }, 'invariant', 'Flag.period'],
    ];
    for (const [more, code, expression] of cases) {
      const { status, json } = await create(flag(more));
      t.equal(status, 422, expression);
      t.ok(
        json.issue.some((issue: { code: string; expression?: string[] }) => {
          return issue.code === code && issue.expression?.[0] === expression;
        }),
        `${code} at ${expression}`,
      );
    }
  },
);

conforms(`${spec}/validation.html`, 'all errors are reported together', async (t) => {
  const { json } = await create(flag({ status: 'bad', zzz: 1, period: {} }));
  t.ok(json.issue.length >= 3);
});

conforms(`${spec}/extensibility.html#modifierExtension`, 'an unknown modifierExtension is refused', async (t) => {
  t.match(await create(flag({ modifierExtension: [{ url: 'urn:x', valueBoolean: true }] })), { status: 422 });
});

conforms(
  `${spec}/references.html#contained`,
  'contained resources are refused: a plan says no more than its profile',
  async (t) => {
    const contained = [{ resourceType: 'Patient', id: 'p' }];
    t.match(await create(flag({ contained, subject: { reference: '#p' } })), { status: 422 });
  },
);

conforms(`${spec}/operationoutcome.html`, 'a refusal repeats no value that was sent', async (t) => {
  const { text: answer } = await create(
    flag({ status: 'zqxcanary', zqxother: 'zqxcanary', period: { start: 'zqxcanary' } }),
  );
  t.notMatch(answer, 'zqxcanary');
});
