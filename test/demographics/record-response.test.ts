import fc from 'fast-check';
import { test } from 'tap';
import type { Match, Person } from '../../src/demographics/demographics.ts';
import { noDemographics } from '../../src/demographics/no-demographics.ts';
import { type RecordResponse, respond } from '../../src/demographics/record-response.ts';

const person: Person = {
  number: '9990100020',
  names: [{ family: 'Secretname', given: ['Hidden'] }],
  birthDate: '2012-03-04',
  isDead: false,
  isSensitive: false,
};
type Compared = Extract<Match, { kind: 'compared' }>;
const verified: Compared = { kind: 'compared', birthDate: 'agrees', nameAgrees: true, isSuperseded: false, person };
const holder = { holdsChild: true };
const stranger = { holdsChild: false };

function codeOf(response: RecordResponse): string {
  if (response.kind === 'accepted') return `accepted, ${response.warnings.length} warnings`;
  const [issue] = response.fault.issues;
  return `${response.fault.category} ${issue?.details?.code} ${issue?.expression ?? ''}`.trim();
}

test('each match has its record response', async (t) => {
  const rows: readonly [string, Match, { holdsChild: boolean }, string][] = [
    ['no service', { kind: 'unchecked' }, stranger, 'accepted, 0 warnings'],
    ['no service', { kind: 'unchecked' }, holder, 'accepted, 0 warnings'],
    ['no answer', { kind: 'unavailable', retryAfterS: 7 }, holder, 'transient CPF05'],
    ['no person', { kind: 'no-match' }, stranger, 'unprocessable CPR01 Patient.identifier'],
    ['no person', { kind: 'no-match' }, holder, 'unprocessable CPR01 Patient.identifier'],
    ['all agrees', verified, stranger, 'accepted, 0 warnings'],
    ['another name', { ...verified, nameAgrees: false }, stranger, 'accepted, 1 warnings'],
    ['another birth date', { ...verified, birthDate: 'differs' }, stranger, 'conflict CPR03 Patient.birthDate'],
    ['no birth date', { ...verified, birthDate: 'unrecorded' }, stranger, 'conflict CPR03 Patient.birthDate'],
    ['another birth date of a holder', { ...verified, birthDate: 'differs' }, holder, 'accepted, 1 warnings'],
    ['nothing agrees', { ...verified, birthDate: 'differs', nameAgrees: false }, stranger, 'conflict CPR03 Patient'],
    ['nothing agrees', { ...verified, birthDate: 'differs', nameAgrees: false }, holder, 'conflict CPR03 Patient'],
    ['died', { ...verified, person: { ...person, isDead: true } }, holder, 'accepted, 1 warnings'],
    ['sensitive', { ...verified, person: { ...person, isSensitive: true } }, stranger, 'unprocessable CPR02 Patient'],
    ['sensitive', { ...verified, person: { ...person, isSensitive: true } }, holder, 'unprocessable CPR02 Patient'],
    ['superseded', { ...verified, isSuperseded: true }, stranger, 'unprocessable CPR05 Patient.identifier'],
    ['superseded', { ...verified, isSuperseded: true }, holder, 'unprocessable CPR05 Patient.identifier'],
  ];
  for (const [what, match, standing, wanted] of rows) t.equal(codeOf(respond(match, standing)), wanted, what);
  const refused = respond({ kind: 'unavailable', retryAfterS: 7 }, stranger);
  t.equal(refused.kind === 'refused' && refused.fault.retryAfterS, 7);
});

test('without a service nothing is traced, and each record is accepted', async (t) => {
  const stated = { number: person.number, names: person.names, birthDate: '2012-03-04' };
  t.equal(await noDemographics.trace(stated.number), undefined);
  t.equal(codeOf(respond(await noDemographics.match(stated), stranger)), 'accepted, 0 warnings');
});

test('the new number is for a holder only, and never that of a sensitive record', async (t) => {
  const newNumber = (match: Match, standing: { holdsChild: boolean }) => {
    const response = respond(match, standing);
    return response.kind === 'refused' ? response.newNumber : 'accepted';
  };
  const superseded: Compared = { ...verified, isSuperseded: true };
  t.equal(newNumber(superseded, holder), person.number);
  t.equal(newNumber(superseded, stranger), undefined);
  t.equal(newNumber({ ...superseded, person: { ...person, isSensitive: true } }, holder), undefined);
});

const compared = fc.record({
  birthDate: fc.constantFrom('agrees' as const, 'differs' as const, 'unrecorded' as const),
  nameAgrees: fc.boolean(),
  isSuperseded: fc.boolean(),
  isDead: fc.boolean(),
  isSensitive: fc.boolean(),
  holdsChild: fc.boolean(),
});

test('no answer holds a detail of the record, and a stranger learns nothing of a record that it did not describe', async () => {
  fc.assert(
    fc.property(compared, ({ isDead, isSensitive, holdsChild, ...facts }) => {
      const match: Match = { kind: 'compared', ...facts, person: { ...person, isDead, isSensitive } };
      const response = respond(match, { holdsChild });
      const issues = response.kind === 'accepted' ? response.warnings : response.fault.issues;
      const text = JSON.stringify(issues);
      if (/Secretname|Hidden|2012|9990100020/.test(text)) return false;
      if (facts.birthDate === 'agrees' || holdsChild) return true;
      // Whether the record is dead, sensitive or superseded makes no difference to the answer.
      const plain = respond({ ...match, isSuperseded: false, person }, { holdsChild });
      return plain.kind === 'refused' && text === JSON.stringify(plain.fault.issues);
    }),
    { numRuns: 300, seed: 14 },
  );
});
