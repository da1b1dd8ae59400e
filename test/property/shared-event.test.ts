import fc from 'fast-check';
import type { AuditEvent } from 'fhir/r4.js';
import t from 'tap';
import { buildAccessHistoryEntry } from '../../src/cpis/access-history.ts';
import { patientsOfEvent, renderForAuthority, shareWithAuthority } from '../../src/cpis/shared-event.ts';

const own = 'E99000001';
const other = 'E99000002';
const secret = 'the-other-authority-only';
/** Free texts that look like the members which decide, quoted, escaped, and as nested members. */
const decoy = fc.constantFrom(
  '"action":"E"',
  '"action":"R"',
  '\\"action\\":\\"E\\"',
  '"reference":"Patient/9990000026"',
  `"reference":"Organization/${own}"`,
  'Patient/9990000026',
  '"requestor":true',
);
const freeText = fc.array(fc.oneof(decoy, fc.string({ maxLength: 6 })), { maxLength: 4 }).map((parts) => parts.join());
const extension = freeText.map((valueString) => ({
  url: 'https://example.org/x',
  valueString,
  // Not FHIR, but what a search for text in the JSON would take for the event's own members.
  action: 'E',
  valueReference: { reference: 'Patient/9990000026' },
}));

const event = fc
  .record({
    action: fc.constantFrom('C', 'R', 'U', 'D', 'E'),
    actor: fc.constantFrom(own, other),
    text: freeText,
    extension,
  })
  .map(({ action, actor, text, extension: decoys }) => ({
    resourceType: 'AuditEvent',
    extension: [decoys],
    outcomeDesc: text,
    type: { code: 'rest', display: text, extension: [decoys] },
    action,
    recorded: '2026-11-22T10:11:12.345Z',
    agent: [
      { who: { identifier: { value: secret }, display: text }, requestor: false, network: { address: secret } },
      { who: { reference: `Organization/${actor}`, display: text }, requestor: true, name: text },
    ],
    source: { observer: { display: text } },
    entity: [
      { what: { reference: `Flag/${secret}`, display: text }, role: { code: '4' }, description: text },
      { what: { reference: 'Patient/9990000018', display: text }, role: { code: '1' }, extension: [decoys] },
      { what: { identifier: { value: text } }, detail: [{ type: text, valueString: text }] },
    ],
  }));

t.test('what an authority sees of an AuditEvent depends on its fields, whatever its texts contain', async () => {
  fc.assert(
    fc.property(event, (built) => {
      const body = JSON.stringify(built);
      const isWhole = built.agent[1]?.who.reference?.endsWith(own) === true;
      const shown = renderForAuthority(body, own);
      return isWhole ? shown === body : !shown.includes(secret) && shown.includes(other);
    }),
    { numRuns: 500 },
  );
});

t.test('an authority sees an access of NHS staff whole, and is named as a custodian of it', async () => {
  fc.assert(
    fc.property(event, fc.constantFrom(own, other), (built, custodian) => {
      const [client] = built.agent;
      const staff = {
        ...built,
        agent: [client, { who: { reference: `Organization/${custodian}` }, requestor: false }],
      };
      const body = JSON.stringify(staff);
      const shown = renderForAuthority(body, own);
      if (custodian === own) return shown === body;
      const { agent, ...rest } = JSON.parse(shown);
      const { agent: before, ...restBefore } = JSON.parse(body);
      return (
        JSON.stringify(rest) === JSON.stringify(restBefore) &&
        JSON.stringify(agent.slice(0, -1)) === JSON.stringify(before) &&
        agent.at(-1).who.reference === `Organization/${own}`
      );
    }),
    { numRuns: 200 },
  );
});

t.test('an AuditEvent is about the patients of its entities, whatever its texts contain', async () => {
  fc.assert(
    fc.property(event, (built) => {
      const whole = built as unknown as AuditEvent;
      const versions = [whole, shareWithAuthority(whole, own), buildAccessHistoryEntry(whole)];
      return versions.every((version) => patientsOfEvent(version).join() === '9990000018');
    }),
    { numRuns: 500 },
  );
});
