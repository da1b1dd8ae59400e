import fc from 'fast-check';
import t from 'tap';
import { buildMessage } from '../../../src/notification/channels/message.ts';
import { parseChannelHeader } from '../../../src/notification/subscriptions/channel-header.ts';
import {
  canReveal,
  protectSubscription,
  resealSubscription,
  revealSubscription,
} from '../../../src/notification/subscriptions/channel-secrets.ts';
import {
  checkSubscription,
  readSubscription,
  redactSubscription,
} from '../../../src/notification/subscriptions/subscription.ts';
import { secretsKeys } from '../delivery-records.ts';
import { parseAuditSearch } from '../delivery-world.ts';

const rules = {
  allowedOrigins: ['https://la.example.org'],
  allowLoopback: false,
  parseSearch: parseAuditSearch,
  nowMs: Date.parse('2026-11-20T09:00:00Z'),
};

const channel = {
  type: 'rest-hook',
  endpoint: 'https://la.example.org/hook',
  payload: 'application/fhir+json',
  header: ['Authorization: Bearer s3cret'],
};

const valid = {
  resourceType: 'Subscription',
  id: 's1',
  status: 'requested',
  reason: 'Reads of our plans',
  criteria: 'AuditEvent?agent=Organization/E08000035&action=E',
  channel,
};

/** The expressions of all issues. */
const found = (resource: unknown): string[] =>
  checkSubscription(resource, rules).issues.flatMap((issue) => issue.expression ?? []);

t.test('what a client may send', async (t) => {
  t.same(found(valid), []);
  t.match(checkSubscription(valid, rules).clauses, [
    { kind: 'reference', param: 'agent' },
    { kind: 'token', param: 'action' },
  ]);
  t.same(found({ ...valid, status: 'off' }), []);
  t.same(found({ ...valid, criteria: 'AuditEvent', end: '2027-01-01T00:00:00Z' }), []);
  t.same(found({ ...valid, channel: { ...channel, payload: undefined } }), []);
  t.same(found({ ...valid, channel: { ...channel, payload: 'application/fhir+json; fhirVersion=4.0' } }), []);
});

t.test('all problems are reported together, each with its element and without a value', async (t) => {
  for (const status of ['active', 'error', 'entered-in-error', undefined]) {
    t.same(found({ ...valid, status }), ['Subscription.status']);
  }
  for (const end of ['2026-11-20T08:59:59Z', 'soon']) t.same(found({ ...valid, end }), ['Subscription.end']);
  for (const criteria of [
    undefined,
    '',
    'Flag?patient=9990000018',
    '/AuditEvent',
    'https://cpis.example.org/AuditEvent?action=E',
    'AuditEvent#',
    'AuditEvent/x',
    'auditevent',
    'AuditEvent?unknown=1',
    'AuditEvent?action:above=E',
    'AuditEvent?date=never',
    'AuditEvent?_sort=date',
    'AuditEvent?_count=5',
    'AuditEvent?_cursor=x',
    'AuditEvent?_summary=count',
  ]) {
    t.same(found({ ...valid, criteria }), ['Subscription.criteria'], String(criteria));
  }
  for (const payload of [
    'application/xml',
    'application/fhir+json\r\nX: y',
    'application/fhir+json; charset=utf-16',
    '',
    7,
  ]) {
    t.same(found({ ...valid, channel: { ...channel, payload } }), ['Subscription.channel.payload']);
  }
  t.same(found({ ...valid, channel: { ...channel, type: 'websocket' } }), ['Subscription.channel.type']);
  t.same(found({ ...valid, channel: { ...channel, endpoint: 'https://la.example.org.attacker.test/' } }), [
    'Subscription.channel.endpoint',
  ]);
  t.same(found({ ...valid, channel: { ...channel, header: Array(17).fill('A: b') } }), ['Subscription.channel.header']);
  t.same(found({}), [
    'Subscription.criteria',
    'Subscription.channel.type',
    'Subscription.channel.endpoint',
    'Subscription.status',
  ]);
  const secret = 'https://canary-9990000018.example.org/';
  const { issues } = checkSubscription(
    { ...valid, criteria: secret, channel: { ...channel, endpoint: secret } },
    rules,
  );
  t.notMatch(JSON.stringify(issues), /canary/);
});

t.test('headers: no line breaks, and no header of the connection', async (t) => {
  const refused = [
    'A: b\r\nHost: x',
    'A: b\nB: c',
    'A: b\r',
    'A: b\0c',
    'A : b',
    ' A: b',
    ': b',
    'no colon',
    'A: caf\u00e9',
    'Host: other',
    'host:other',
    'Content-Length: 0',
    'Content-Type: text/plain',
    'Transfer-Encoding: chunked',
    'Connection: close',
    'Upgrade: h2c',
    'Expect: 100-continue',
    'TE: trailers',
    'Proxy-Authorization: Basic eA==',
    `A: ${'b'.repeat(9000)}`,
    42,
    null,
  ];
  const issues = refused.map((header) => found({ ...valid, channel: { ...channel, header: ['Ok: 1', header] } }));
  const sealed = refused.map((header) => {
    const resource = { ...valid, channel: { ...channel, header: ['Ok: 1', header] } };
    return found(revealSubscription(protectSubscription(resource, undefined, secretsKeys), secretsKeys));
  });
  for (const expressions of [...issues, ...sealed]) t.same(expressions, ['Subscription.channel.header[1]']);
  t.same(parseChannelHeader('Authorization: Bearer a.b-c_d=='), ['Authorization', 'Bearer a.b-c_d==']);
  t.same(parseChannelHeader('X-Empty:'), ['X-Empty', '']);
  t.same(parseChannelHeader('X-Tab:\ta \t b'), ['X-Tab', 'a \t b']);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const header = parseChannelHeader(text);
      return typeof header === 'string' || (/^[\x21-\x7e]+$/.test(header[0]) && /^[\t\x20-\x7e]*$/.test(header[1]));
    }),
  );
});

t.test('header values are encrypted at rest, redacted on read and decrypted for sending', async (t) => {
  const stored = JSON.stringify(protectSubscription(valid, undefined, secretsKeys));
  t.notMatch(stored, /s3cret/);
  const shown = redactSubscription(stored);
  t.same(JSON.parse(shown).channel.header, ['Authorization: [redacted]']);
  t.same(redactSubscription(JSON.stringify({ ...valid, channel: { type: 'rest-hook' } })).includes('header'), false);
  const opened = readSubscription(revealSubscription(JSON.parse(stored), secretsKeys), rules);
  t.same(opened.channel.headers, [['Authorization', 'Bearer s3cret']]);

  const kept = protectSubscription(JSON.parse(shown), stored, secretsKeys);
  t.same(readSubscription(revealSubscription(kept, secretsKeys), rules).channel.headers, opened.channel.headers);
  const moved = {
    ...JSON.parse(shown),
    channel: { ...JSON.parse(shown).channel, endpoint: 'https://la.example.org/b' },
  };
  for (const before of [undefined, stored]) {
    const refusal = t.throws(() => protectSubscription(moved, before, secretsKeys));
    t.match(refusal, { category: 'unprocessable', issues: [{ expression: ['Subscription.channel.header[0]'] }] });
  }
  const tampered = { ...JSON.parse(stored), id: 's2' };
  for (const unreadable of [
    revealSubscription(tampered, secretsKeys),
    revealSubscription(JSON.parse(stored), [Buffer.alloc(32)]),
  ]) {
    t.match(readSubscription(unreadable, rules).issues, [{ expression: ['Subscription.channel.header[0]'] }]);
  }
  const newKeys = [Buffer.alloc(32, 9), ...secretsKeys];
  const before = JSON.parse(stored);
  t.same(revealSubscription(before, newKeys), revealSubscription(before, secretsKeys), 'an old key opens');
  const resealed = resealSubscription(before, newKeys);
  t.same(revealSubscription(resealed, newKeys.slice(0, 1)), revealSubscription(before, secretsKeys));
  t.equal(resealSubscription(resealed, newKeys), undefined, 'once is enough');
  t.same(
    [newKeys, secretsKeys, newKeys.slice(0, 1), []].map((keys) => canReveal(before, keys)),
    [true, true, false, false],
  );
  t.equal(resealSubscription(before, newKeys.slice(0, 1)), undefined, 'what cannot be opened stays');

  const plain = revealSubscription(valid, secretsKeys);
  t.equal(readSubscription(plain, rules).issues.length, 1, 'a value that was never sealed is not sent');
});

t.test('the message', async (t) => {
  const to = {
    type: 'rest-hook',
    endpoint: 'https://la.example.org/a/?k=1',
    payload: 'application/fhir+json',
    headers: [],
  } as const;
  const event = { auditId: 'a1', body: '{}' };
  t.match(buildMessage(to, 'PUT', event, [], 'E99000001'), {
    method: 'PUT',
    url: 'https://la.example.org/a/AuditEvent/a1?k=1',
    body: '{}',
  });
  t.match(buildMessage(to, 'POST', event, [], 'E99000001'), {
    method: 'POST',
    url: 'https://la.example.org/a/?k=1',
    body: '{}',
  });
  t.same(buildMessage({ ...to, payload: undefined, headers: [['A', 'b']] }, 'PUT', event, [], 'E99000001'), {
    method: 'POST',
    url: 'https://la.example.org/a/?k=1',
    headers: ['A', 'b'],
    body: '',
    signing: { id: 'a1', secrets: [], recipient: 'E99000001' },
  });
});
