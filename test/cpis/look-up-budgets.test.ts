import fc from 'fast-check';
import t from 'tap';
import type { Caller } from '../../src/cpis/caller.ts';
import { type LookUpAlarm, openLookUpBudgets } from '../../src/cpis/look-up-budgets.ts';

const minuteMs = 60_000;
const startMs = Date.parse('2026-12-01T09:00:00Z');

function callerOf(name: string, organisation = 'ZZH01', clientId = 'epr-1'): Caller {
  return {
    clientId,
    role: 'care-provider',
    organisation: { kind: 'care-provider', id: organisation, name: 'Trust', odsCode: organisation },
    grants: new Map(),
    professional: {
      id: { system: 'https://fhir.nhs.uk/Id/sds-user-id', value: name },
      name,
      role: { text: 'Nurse' },
      organisationName: 'Trust',
      organisationId: organisation,
    },
    tokenId: 't',
    issuer: 'https://issuer.example',
    silentReads: true,
    subscriptionOrigins: [],
  };
}
const numberAt = (index: number): string => `${999_000_000 + index}0`;
/** A number far from the one before. */
const scattered = (index: number): string => numberAt((index * 7_919) % 900_000);
const namesOf = (alarms: readonly LookUpAlarm[]) =>
  alarms.map(({ scope, kind, window = '' }) => `${scope} ${kind} ${window}`.trim());

t.test('volume raises an alarm once in each window, for loud and silent look-ups apart', async (t) => {
  const budgets = openLookUpBudgets(0);
  const nurse = callerOf('nurse');
  const raised: string[] = [];
  for (let index = 0; index < 400; index += 1) {
    const lookUp = { nhsNumber: scattered(index), isSilent: false, hasPlan: true };
    raised.push(...namesOf(budgets.count(nurse, lookUp, startMs + index * 100)));
  }
  t.strictSame(raised, ['professional loud minute', 'professional loud hour']);
  const later = namesOf(
    Array.from({ length: 130 }, (_, index) =>
      budgets.count(nurse, { nhsNumber: scattered(index), isSilent: true, hasPlan: false }, startMs + 2 * minuteMs),
    ).flat(),
  );
  t.strictSame(later, ['professional without-plan minute', 'professional silent minute']);
});

t.test('numbers in order raise an alarm, whatever the pace', async (t) => {
  const budgets = openLookUpBudgets(0);
  const nurse = callerOf('nurse');
  const alarms = Array.from({ length: 40 }, (_, index) =>
    budgets.count(
      nurse,
      { nhsNumber: numberAt(3 * index), isSilent: false, hasPlan: true },
      startMs + index * minuteMs,
    ),
  ).flat();
  t.strictSame(namesOf(alarms), ['professional sequence']);
  t.notMatch(JSON.stringify(alarms), /nurse|999000/, 'it names no person and no child');
});

t.test('hardly any plan among many look-ups raises an alarm, the share that care has does not', async (t) => {
  const share = (raised: readonly string[]) => raised.filter((name) => name.includes('share'));
  const raisedWith = (every: number) => {
    const budgets = openLookUpBudgets(0);
    return namesOf(
      Array.from({ length: 2_000 }, (_, index) =>
        budgets.count(
          callerOf('nurse'),
          { nhsNumber: scattered(index), isSilent: index % 2 === 0, hasPlan: index % every === 0 },
          // One in each 40 seconds of a day.
          startMs - 9 * 60 * minuteMs + index * 40_000,
        ),
      ).flat(),
    );
  };
  t.strictSame(share(raisedWith(500)), ['professional share day']);
  t.strictSame(share(raisedWith(100)), []);
});

t.test('above the limit of a minute one professional waits for its end, and nobody else', async (t) => {
  const budgets = openLookUpBudgets(5);
  const [nurse, other] = [callerOf('nurse'), callerOf('other')];
  for (let index = 0; index < 5; index += 1) {
    t.equal(budgets.waitS(nurse, startMs + 1_000), 0);
    budgets.count(nurse, { nhsNumber: scattered(index), isSilent: true, hasPlan: false }, startMs + 1_000);
  }
  t.equal(budgets.waitS(nurse, startMs + 1_000), 59);
  t.equal(budgets.waitS(nurse, startMs + minuteMs - 1), 1);
  t.equal(budgets.waitS(other, startMs + 1_000), 0);
  t.equal(budgets.waitS(nurse, startMs + minuteMs), 0);
  const sameClaim = callerOf('nurse', 'ZZH02', 'epr-2');
  t.equal(budgets.waitS(sameClaim, startMs + 1_000), 0, 'another client may claim the same identifier');
  t.equal(openLookUpBudgets(0).waitS(nurse, startMs), 0);
});

t.test('changing the name evades neither the client nor the organisation, and the memory is bounded', async (t) => {
  const budgets = openLookUpBudgets(300);
  const raised = new Set<string>();
  for (let index = 0; index < 50_000; index += 1) {
    const lookUp = { nhsNumber: scattered(index), isSilent: false, hasPlan: false };
    for (const name of namesOf(budgets.count(callerOf(`nurse-${index}`), lookUp, startMs + index))) raised.add(name);
  }
  for (const scope of ['organisation', 'client']) {
    for (const window of ['minute', 'hour', 'day']) t.ok(raised.has(`${scope} loud ${window}`), `${scope} ${window}`);
  }
});

t.test('a person at normal pace is never refused and raises nothing', async () => {
  const shift = fc.array(
    fc.record({ gapMs: fc.integer({ min: 20_000, max: 120_000 }), at: fc.nat(800_000), hasPlan: fc.boolean() }),
    {
      minLength: 50,
      maxLength: 400,
    },
  );
  fc.assert(
    fc.property(shift, fc.boolean(), (patients, isSilent) => {
      const budgets = openLookUpBudgets(300);
      let nowMs = startMs;
      return patients.every(({ gapMs, at, hasPlan }) => {
        nowMs += gapMs;
        const waits = budgets.waitS(callerOf('nurse'), nowMs);
        // Random numbers may come in order, though hardly twenty of them.
        return (
          waits === 0 &&
          budgets.count(callerOf('nurse'), { nhsNumber: numberAt(at), isSilent, hasPlan }, nowMs).length === 0
        );
      });
    }),
  );
});
