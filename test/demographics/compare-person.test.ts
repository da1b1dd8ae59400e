import fc from 'fast-check';
import { test } from 'tap';
import { compareTrace, nameRule, namesAgree } from '../../src/demographics/compare-person.ts';
import type { Person, PersonName } from '../../src/demographics/demographics.ts';
import { readName, statedDetails } from '../../src/demographics/stated-details.ts';

const name = (family: string, ...given: string[]): PersonName => ({ family, given });
const person: Person = {
  number: '9990100004',
  names: [name('Smith', 'Jane')],
  birthDate: '2010-10-22',
  isDead: false,
  isSensitive: false,
};

test('names agree by the first rule that fits', async (t) => {
  const rows: readonly [PersonName, PersonName, ReturnType<typeof nameRule>][] = [
    [name('Smith', 'Jane', 'Ann'), name('Smith', 'Jane', 'Ann'), 1],
    [name('SMITH ', ' jane', 'ANN'), name('Smith', 'Jane', 'Ann'), 1],
    [name('Smith', 'John Paul'), name('Smith', 'John', 'Paul'), 1],
    [name('Smith', 'Anne-Marie'), name('Smith', 'Anne Marie'), 1],
    [name("O'Brien", 'Zoë'), name('OBrien', 'Zoe'), 1],
    [name('Müller-Lange', 'Tom'), name('MULLER LANGE', 'TOM'), 1],
    [name('Smith', 'Jane'), name('Smith', 'Jane', 'Ann'), 2],
    [name('Smith', 'Jane', 'Rose'), name('Smith', 'Jane', 'Ann'), 2],
    [name('Smith', 'John'), name('Smith', 'John Paul'), 2],
    [name('Smith', 'Ann'), name('Smith', 'Jane', 'Ann'), 3],
    [name('Smith', 'Rose', 'Jane'), name('Smith', 'Jane', 'Ann'), 4],
    [name('Smith', 'Rose'), name('Smith', 'Jane', 'Ann'), undefined],
    [name('Jones', 'Jane'), name('Smith', 'Jane'), undefined],
    [name('Jane', 'Smith'), name('Smith', 'Jane'), undefined],
    [name('Smith'), name('Smith', 'Jane'), undefined],
    [name('Smith', 'Jane'), name('Smith'), undefined],
    [name('', 'Jane'), name('', 'Jane'), undefined],
    [name('-', 'Jane'), name("'", 'Jane'), undefined],
    [name('Smith', '-'), name('Smith', 'Jane'), undefined],
  ];
  for (const [stated, recorded, rule] of rows) {
    t.equal(nameRule(stated, recorded), rule, JSON.stringify([stated, recorded]));
  }
  t.ok(namesAgree([name('Jones', 'Jane'), name('Smith', 'Jane')], person.names), 'one of several names is enough');
  t.notOk(namesAgree([], person.names));
  t.notOk(namesAgree(person.names, []));
});

test('case, accents and spaces of a name never matter, and the name itself agrees by the first rule', async () => {
  const word = fc.stringMatching(/^[A-Za-zÀ-ÖØ-öø-ÿ]{1,12}$/);
  fc.assert(
    fc.property(word, fc.array(word, { minLength: 1, maxLength: 5 }), (family, given) => {
      const recorded = name(family, ...given);
      const shouted = name(` ${family.toUpperCase()}`, ...given.map((each) => `${each.normalize('NFD')} `));
      return nameRule(recorded, recorded) === 1 && nameRule(shouted, recorded) === 1;
    }),
    { numRuns: 300, seed: 14 },
  );
});

test('birth dates', async (t) => {
  const compare = (stated: string, recorded: string | undefined) =>
    compareTrace(
      { number: person.number, names: person.names, birthDate: stated },
      { kind: 'found', person: { ...person, birthDate: recorded } },
    );
  t.match(compare('2010-10-22', '2010-10-22'), { kind: 'compared', birthDate: 'agrees', nameAgrees: true });
  t.match(compare('2010-10-22', '2010-10'), { birthDate: 'agrees' });
  t.match(compare('2010-10-22', '2010'), { birthDate: 'agrees' });
  t.match(compare('2010-10-22', '2010-1'), { birthDate: 'differs' });
  t.match(compare('2010-10-15', '2010-10-01'), { birthDate: 'differs' });
  t.match(compare('2010-10-22', undefined), { birthDate: 'unrecorded' });
  t.match(compare('', '2010'), { birthDate: 'differs' });
});

test('only a person can be compared', async (t) => {
  const stated = { number: person.number, names: person.names, birthDate: '2010-10-22' };
  t.same(compareTrace(stated, { kind: 'invalidated' }), { kind: 'no-match' });
  t.same(compareTrace(stated, { kind: 'not-found' }), { kind: 'no-match' });
  t.same(compareTrace(stated, { kind: 'unavailable', retryAfterS: 3 }), { kind: 'unavailable', retryAfterS: 3 });
  t.match(compareTrace(stated, { kind: 'superseded', person }), { kind: 'compared', isSuperseded: true });
});

test('the details that a Patient states', async (t) => {
  t.same(readName({ family: 'Smith', given: ['Jane'] }), name('Smith', 'Jane'));
  t.same(readName({ text: 'Jane Ann  Smith' }), name('Smith', 'Jane', 'Ann'));
  t.same(readName({ text: '' }), name(''));
  t.same(
    statedDetails({ resourceType: 'Patient', name: [{ family: 'Smith' }], birthDate: '2010-10-22' }, person.number),
    { number: person.number, names: [name('Smith')], birthDate: '2010-10-22' },
  );
});
