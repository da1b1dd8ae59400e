import type { AuditEvent, AuditEventAgent } from 'fhir/r4.js';
import t from 'tap';
import { numbersOfChild } from '../../src/cpis/shared-event.ts';

const numbers = ['9990000018', '9990000026'];

function eventOf(agent: AuditEventAgent, patients: readonly string[]): AuditEvent {
  return {
    resourceType: 'AuditEvent',
    type: { code: 'rest' },
    recorded: '2026-12-01T09:00:00Z',
    source: { observer: { display: 'test' } },
    agent: [agent, { who: { reference: 'Organization/E10000030' }, requestor: false }],
    entity: patients.map((id) => ({ what: { reference: `Patient/${id}` } })),
  };
}

t.test(
  'an event of NHS staff or the server is about one child, that of an authority only if it names one',
  async (t) => {
    const staff = { who: { display: 'Synthetic Nurse' }, requestor: true };
    const authority = { who: { reference: 'Organization/E10000015' }, requestor: true };
    t.strictSame(numbersOfChild(eventOf(staff, numbers)), numbers);
    t.strictSame(numbersOfChild(eventOf(authority, numbers)), []);
    t.strictSame(numbersOfChild(eventOf(authority, numbers.slice(1))), numbers.slice(1));
    t.strictSame(numbersOfChild(eventOf(staff, [])), []);
  },
);
