import fc from 'fast-check';
import { test } from 'tap';
import { linkedNumbers } from '../../src/cpis/linked-numbers.ts';
import { isInactive, replacementOf, replacementsOf, tracedOn, withReplacement } from '../../src/cpis/number-labels.ts';
import { decideNumber } from '../../src/demographics/background/decide-number.ts';
import type { Person, Trace } from '../../src/demographics/demographics.ts';
import { noDemographics } from '../../src/demographics/no-demographics.ts';
import { findLinkedNumbers } from '../../src/interactions/resource/find-linked-numbers.ts';

type Answer = Exclude<Trace, { kind: 'unavailable' }>;
const person = (number: string, isSensitive = false): Person => ({
  number,
  names: [],
  birthDate: undefined,
  isDead: false,
  isSensitive,
});
const facts = { isLoop: false, isLike: true };
const number = fc.constantFrom('A', 'B', 'C', 'D');
const answer: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({ kind: fc.constant('found' as const), person: fc.boolean().map((sensitive) => person('A', sensitive)) }),
  fc.record({
    kind: fc.constant('superseded' as const),
    person: fc.tuple(fc.constantFrom('B', 'C', 'D'), fc.boolean()).map(([to, sensitive]) => person(to, sensitive)),
  }),
  fc.constant({ kind: 'invalidated' as const }),
  fc.constant({ kind: 'not-found' as const }),
);

test('after any answers, a number is linked only to the one that the last answer names, and events are not repeated', async () => {
  fc.assert(
    fc.property(fc.array(answer, { minLength: 1, maxLength: 8 }), (answers) => {
      let labels: readonly string[] = ['other'];
      for (const [index, trace] of answers.entries()) {
        const decision = decideNumber('A', labels, trace, `2026-01-0${index + 1}`, facts);
        labels = decision.added === undefined ? decision.labels : withReplacement(decision.labels, decision.added);
        const named = trace.kind === 'superseded' && !trace.person.isSensitive ? trace.person.number : undefined;
        if (replacementOf('A', labels) !== named || replacementsOf(labels).length !== (named === undefined ? 0 : 1))
          return false;
        if (isInactive(labels) !== (named === undefined && trace.kind !== 'found')) return false;
        if (tracedOn(labels) !== `2026-01-0${index + 1}` || !labels.includes('other')) return false;
        const again = decideNumber('A', labels, trace, '2026-02-01', facts);
        if (again.event !== undefined || again.added !== undefined || again.removed.length > 0) return false;
      }
      return true;
    }),
    { numRuns: 500, seed: 14 },
  );
});

test('an answer that contradicts what is known changes no link and is no event', async (t) => {
  const labels = withReplacement([], { from: 'B', to: 'A' });
  const decision = decideNumber('A', labels, { kind: 'superseded', person: person('B') }, '2026-01-01', {
    ...facts,
    isLoop: true,
  });
  t.match(decision, { added: undefined, removed: [], event: undefined });
  t.strictSame(replacementsOf(decision.labels), [{ from: 'B', to: 'A' }]);
});

test('the number of a record that no holder describes is not disclosed, and an earlier link to it ends', async (t) => {
  const unlike = { ...facts, isLike: false };
  const answer = { kind: 'superseded', person: person('B') } as const;
  const first = decideNumber('A', [], answer, '2026-01-01', unlike);
  t.match(first, { added: undefined, event: 'inactive', isUnlike: true });
  t.ok(isInactive(first.labels));
  t.equal(decideNumber('A', first.labels, answer, '2026-01-02', unlike).event, undefined, 'notified once');
  const linked = withReplacement([], { from: 'A', to: 'B' });
  t.match(decideNumber('A', linked, answer, '2026-01-02', unlike).removed, [{ from: 'A', to: 'B' }]);
  t.match(decideNumber('A', first.labels, answer, '2026-01-03', facts), { event: 'replaced', isUnlike: false });
});

const replacements = fc.array(fc.record({ from: number, to: number }), { maxLength: 8 });

test('all numbers of a person find each other, loops end, and without a service no number finds another', async () => {
  await fc.assert(
    fc.asyncProperty(replacements, number, async (all, asked) => {
      const labelsOf = async (each: string) =>
        all.filter(({ from, to }) => from === each || to === each).reduce<readonly string[]>(withReplacement, []);
      const found = await linkedNumbers(asked, labelsOf);
      if (found[0] !== asked || new Set(found).size !== found.length) return false;
      for (const each of found) {
        const back = await linkedNumbers(each, labelsOf);
        if ([...back].sort().join() !== [...found].sort().join()) return false;
      }
      const store = {
        read: async (type: string, id: string) => {
          const labels = await labelsOf(id);
          return {
            kind: 'found',
            resource: { type, id, version: 1, lastUpdatedMs: 0, body: '', labels, revision: 1 },
          } as const;
        },
      };
      const without = await findLinkedNumbers(asked, { demographics: noDemographics, store });
      const withService = await findLinkedNumbers(asked, {
        demographics: { ...noDemographics, isPresent: true },
        store,
      });
      return without.join() === asked && withService.length === found.length;
    }),
    { numRuns: 200, seed: 14 },
  );
});
