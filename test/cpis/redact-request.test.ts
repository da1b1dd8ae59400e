import { test } from 'tap';
import { redactRequest } from '../../src/cpis/redact-request.ts';

const jwt = `eyJhbGciOiJFUzM4NCJ9.${'a'.repeat(40)}.${'b'.repeat(86)}`;

test('a secret in a URL is not recorded, in whatever way it is written', async (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['GET Flag?patient=1&access_token=s3cret', 'GET Flag?patient=1&access_token=[redacted]'],
    ['GET Flag?access_token=s3cret&patient=1', 'GET Flag?access_token=[redacted]&patient=1'],
    ['GET Flag?ACCESS_TOKEN=s3cret', 'GET Flag?ACCESS_TOKEN=[redacted]'],
    ['GET Flag?access%5Ftoken=s3cret', 'GET Flag?access%5Ftoken=[redacted]'],
    ['GET Flag?%61ccess_token=s3cret', 'GET Flag?%61ccess_token=[redacted]'],
    ['GET Flag?access_token=s3cret%26more', 'GET Flag?access_token=[redacted]'],
    ['GET Flag?access_token=s3cret=more==', 'GET Flag?access_token=[redacted]'],
    ['GET Flag?access_token=a&access_token=b', 'GET Flag?access_token=[redacted]&access_token=[redacted]'],
    ...[
      ...['id_token', 'refresh_token', 'token', 'subject_token', 'actor_token', 'client_assertion', 'client_secret'],
      ...[
        'assertion',
        'code_verifier',
        'password',
        'api_key',
        'apikey',
        'x-api-key',
        'Authorization',
        'jwt',
        'accesstoken',
      ],
      ...['access_token', 'signature', 'sig'],
    ].map((name) => [`POST Flag/_search?${name}=s3cret`, `POST Flag/_search?${name}=[redacted]`] as const),
    ['GET callback?code=s3cret&state=x', 'GET callback?code=[redacted]&state=x'],
    [`GET Flag?patient=${jwt}`, 'GET Flag?patient=[redacted]'],
    [`GET Flag/${jwt}`, 'GET Flag/[redacted]'],
    [`GET Flag?x=${jwt.slice(0, 50)}`, 'GET Flag?x=[redacted]'],
    ['GET Flag?q=Bearer%20s3cret', 'GET Flag?q=Bearer%20[redacted]'],
    ['GET Flag?q=bearer+s3cret&a=1', 'GET Flag?q=bearer+[redacted]&a=1'],
    ['access_token=s3cret', 'access_token=[redacted]'],
  ];
  for (const [raw, recorded] of rows) t.equal(redactRequest(raw), recorded, raw);
});

test('what is no secret is recorded as it arrived', async (t) => {
  for (const raw of [
    'GET Flag?patient=9990000018',
    'GET Flag?patient=9990000018&code=http://snomed.info/sct%7C342191000000101',
    'GET Flag?patient:identifier=https://fhir.nhs.uk/Id/nhs-number%7C9990000018&_cursor=abcdef',
    'GET AuditEvent?patient=1&date=ge2026-01-01&_lastUpdated=gt2026&_tokens=1',
    'PUT Flag?identifier=https://la.example.org/case-reference%7CCASE-1',
    'GET Patient?family=%',
    'POST ',
    '',
  ])
    t.equal(redactRequest(raw), raw);
});
