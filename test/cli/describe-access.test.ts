import { test } from 'tap';
import { describeAccess, renderAccessLine } from '../../src/cli/receive/describe-access.ts';
import { recordPlanEvent } from '../../src/cpis/plan-event-record.ts';

test('an event of the life cycle of a plan names the plan, the event and the date', async (t) => {
  const event = { code: 'ends-soon', date: '2027-07-19' } as const;
  const facts = {
    id: 'a',
    recordedMs: Date.parse('2027-06-20T00:00:01Z'),
    planId: 'f',
    authorityId: 'E99000001',
    event,
  };
  const { body } = recordPlanEvent(facts, 'https://cpis.example.org/FHIR/R4');
  const access = describeAccess(body);
  t.match(access, { action: 'U', interaction: 'ends-soon', nhsNumber: '', plan: 'Flag/f', date: '2027-07-19' });
  t.equal(renderAccessLine(access), '2027-06-20T00:00:01.000Z  Flag/f ends-soon 2027-07-19');
});
