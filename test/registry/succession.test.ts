import { readFileSync } from 'node:fs';
import { test } from 'tap';
import type { LocalAuthority } from '../../src/cpis/caller.ts';
import { londonDate, londonMidnightMs } from '../../src/cpis/london-date.ts';
import {
  announcedChanges,
  contactOf,
  endedPredecessorsOf,
  hasEnded,
  isInTerm,
  vestingDayOf,
} from '../../src/cpis/succession.ts';
import { buildOrganizationDirectory } from '../../src/interactions/directory/organization-directory.ts';
import { parseRegistry, RegistryError } from '../../src/registry/parse-registry.ts';

interface Council {
  readonly gssCode: string;
  readonly name: string;
  readonly [field: string]: unknown;
}

const county: Council = { gssCode: 'E10000030', name: 'Old County', validTo: '2027-03-31' };
const east: Council = { gssCode: 'E06000091', name: 'East Council', validFrom: '2027-04-01' };
const west: Council = { gssCode: 'E06000092', name: 'West Council', validFrom: '2027-04-01' };

function registryOf(...councils: readonly Council[]) {
  const organisations = councils.map((council, index) => ({
    kind: 'local-authority',
    odsCode: `ZZL${index + 1}`,
    dfeCode: String(900 + index),
    officeHoursTelephone: `01632 96${index}010`,
    emergencyDutyTeamTelephone: `01632 96${index}019`,
    ...council,
  }));
  return parseRegistry({ organisations, clients: [] }, 1_000);
}

function problemsOf(...councils: readonly Council[]): readonly string[] {
  try {
    registryOf(...councils);
  } catch (error) {
    if (error instanceof RegistryError) return error.problems;
    throw error;
  }
  return [];
}

test('terms and successors that cannot be are described, each with its place', async (t) => {
  const split = { ...county, replacedBy: ['E06000091', 'E06000092'] };
  t.strictSame(problemsOf(split, east, west), [], 'a split');
  t.strictSame(problemsOf({ ...county, replacedBy: ['E06000091'] }, { ...east, validFrom: undefined }), [], 'a merger');
  for (const [name, councils, expected] of [
    [
      'a successor that is not there',
      [split, east],
      'organisations[0].replacedBy[1]: no local authority in this file has this id',
    ],
    [
      'no last day',
      [{ ...split, validTo: undefined }, east, west],
      'organisations[0].validTo: is required with replacedBy; it is the last day of the authority',
    ],
    [
      'itself',
      [{ ...county, replacedBy: ['E10000030'] }],
      'organisations[0].replacedBy: leads back to this authority; an authority cannot succeed itself',
    ],
    [
      'a last day before the first',
      [{ ...county, validFrom: '2027-04-01' }],
      'organisations[0].validTo: must not be before validFrom',
    ],
    ['no such day', [{ ...county, validTo: '2027-02-30' }], 'organisations[0].validTo: is not a date of the calendar'],
    [
      'no such first day',
      [{ ...east, validFrom: '2027-02-29' }],
      'organisations[0].validFrom: is not a date of the calendar',
    ],
    ['another form', [{ ...county, validTo: '31/03/2027' }], 'organisations[0].validTo: must be a date, YYYY-MM-DD'],
    [
      'a gap',
      [split, east, { ...west, validFrom: '2027-04-02' }],
      'organisations[0].replacedBy[1]: this authority begins after 2027-04-01, the day on which it takes over',
    ],
    [
      'a successor that has ended',
      [split, east, { ...west, validFrom: undefined, validTo: '2027-03-31' }],
      'organisations[0].replacedBy[1]: this authority ends before 2027-04-01, the day on which it takes over',
    ],
    [
      'text instead of a list',
      [{ ...county, replacedBy: 'E06000091' }, east],
      'organisations[0].replacedBy: must be a list',
    ],
    ['an empty list', [{ ...county, replacedBy: [] }], 'organisations[0].replacedBy: must have at least 1 entry'],
  ] as const) {
    t.strictSame(problemsOf(...(councils as readonly Council[])), [expected], name);
  }
  const round = problemsOf(
    { ...county, replacedBy: ['E06000091'] },
    { ...east, validFrom: undefined, validTo: '2028-03-31', replacedBy: ['E06000092'] },
    { ...west, validFrom: undefined, validTo: '2029-03-31', replacedBy: ['E10000030'] },
  );
  t.equal(round.length, 3, 'a loop of three is reported at each of them');
  t.ok(round.every((problem) => problem.includes('leads back')));
});

test('the sample registry stays valid without terms', async (t) => {
  const sample = JSON.parse(readFileSync(new URL('../../registry.sample.json', import.meta.url), 'utf8'));
  t.doesNotThrow(() => parseRegistry(sample, 1));
});

test('a term begins and ends at 00:00 in London, in summer and in winter', async (t) => {
  const authority = registryOf(county).authorities.get('E10000030') as LocalAuthority;
  t.equal(vestingDayOf(authority), '2027-04-01');
  for (const [day, startsAt] of [
    ['2027-04-01', '2027-03-31T23:00:00.000Z'],
    ['2027-03-28', '2027-03-28T00:00:00.000Z'],
    ['2027-03-29', '2027-03-28T23:00:00.000Z'],
    ['2027-10-31', '2027-10-30T23:00:00.000Z'],
    ['2027-11-01', '2027-11-01T00:00:00.000Z'],
    ['2028-01-01', '2028-01-01T00:00:00.000Z'],
  ] as const) {
    t.equal(new Date(londonMidnightMs(day)).toISOString(), startsAt, day);
    t.equal(londonDate(londonMidnightMs(day)), day);
    t.not(londonDate(londonMidnightMs(day) - 1), day);
  }
  const midnightMs = Date.parse('2027-03-31T23:00:00Z');
  t.equal(isInTerm(authority, londonDate(midnightMs - 1)), true, 'its last millisecond');
  t.equal(hasEnded(authority, londonDate(midnightMs)), true);
});

test('who is asked for and shown changes on the vesting day', async (t) => {
  const merged = registryOf({ ...county, replacedBy: ['E06000091'] }, east);
  const old = merged.authorities.get('E10000030') as LocalAuthority;
  t.equal(contactOf(old, merged.authorities, '2027-03-31').id, 'E10000030');
  t.equal(contactOf(old, merged.authorities, '2027-04-01').id, 'E06000091');
  t.strictSame(endedPredecessorsOf('E06000091', merged.authorities, '2027-03-31'), []);
  t.match(endedPredecessorsOf('E06000091', merged.authorities, '2027-04-01'), [{ id: 'E10000030' }]);
  const split = registryOf({ ...county, replacedBy: ['E06000091', 'E06000092'] }, east, west);
  const divided = split.authorities.get('E10000030') as LocalAuthority;
  t.equal(contactOf(divided, split.authorities, '2027-04-01').id, 'E10000030', 'nobody knows yet which successor');
  t.strictSame(
    announcedChanges(split.authorities, '2027-03-31').map(({ text }) => text),
    [
      'the last day of E10000030 is 2027-03-31; E06000091, E06000092 takes over on 2027-04-01',
      'E06000091 submits plans from 2027-04-01 on',
      'E06000092 submits plans from 2027-04-01 on',
    ],
  );
  t.strictSame(announcedChanges(split.authorities, '2027-04-01'), []);
});

test('Organization shows the successor from 00:00 on, as a new version', async (t) => {
  const registry = registryOf({ ...county, replacedBy: ['E06000091'] }, east);
  let nowMs = Date.parse('2027-03-31T22:59:59.999Z');
  const directory = buildOrganizationDirectory(
    () => registry,
    () => [],
    () => nowMs,
  );
  const shown = (id: string) => JSON.parse(directory.read(id)?.body ?? '{}');
  t.match(shown('E10000030'), {
    active: true,
    name: 'Old County',
    telecom: [{ value: '01632 960019' }, { value: '01632 960010' }],
  });
  t.match(shown('E06000091'), { active: false, name: 'East Council' });
  const before = shown('E10000030').meta.versionId;
  nowMs += 1;
  t.match(shown('E10000030'), {
    active: false,
    name: 'East Council',
    telecom: [{ value: '01632 961019' }, { value: '01632 961010' }],
    identifier: [{ value: 'ZZL1' }, { value: 'E10000030' }, {}],
    meta: { lastUpdated: '2027-03-31T23:00:00.000Z' },
  });
  t.match(shown('E06000091'), { active: true });
  t.ok(Number(shown('E10000030').meta.versionId) > Number(before));
});
