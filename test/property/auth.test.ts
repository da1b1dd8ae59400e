import fc from 'fast-check';
import { test } from 'tap';
import { formatIua, parseIua } from '../../src/auth/iua.ts';
import { parseJwt } from '../../src/auth/jwt.ts';
import { formatGrants, type Grants, intersectScopes, parseScope, splitScopes } from '../../src/auth/smart-scope.ts';

const types = ['Flag', 'Patient', 'AuditEvent', '*'];
const letters = fc.subarray(['c', 'r', 'u', 'd', 's'], { minLength: 1 }).map((each) => each.join(''));
const suffix = fc.oneof(letters, fc.constantFrom('read', 'write', '*'));
const scope = fc.tuple(fc.constantFrom(...types), suffix).map(([type, end]) => `system/${type}.${end}`);
const scopes = fc.array(scope, { maxLength: 6 });
const meaning: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' };

/** The plain reading of SMART 2: some scope covers the type and has the letter. */
function covers(list: readonly string[], type: string, letter: string): boolean {
  return list.some((text) => {
    const [, of = '', end = ''] = /^system\/(.*)\.(.*)$/.exec(text) ?? [];
    return (of === '*' || of === type) && (meaning[end] ?? end).includes(letter);
  });
}

function allows(grants: Grants, type: string, letter: 'c' | 'r' | 'u' | 'd' | 's'): boolean {
  return grants.get(type)?.has(letter) === true || grants.get('*')?.has(letter) === true;
}

test('what is granted is exactly what both sides cover', async () => {
  fc.assert(
    fc.property(scopes, scopes, (asked, registered) => {
      const grants = intersectScopes(asked, registered);
      return ['Flag', 'Patient', 'AuditEvent', 'Subscription'].every((type) =>
        (['c', 'r', 'u', 'd', 's'] as const).every(
          (letter) =>
            allows(grants, type, letter) === (covers(asked, type, letter) && covers(registered, type, letter)),
        ),
      );
    }),
  );
});

test('a granted scope, asked for again, gives the same', async () => {
  fc.assert(
    fc.property(scopes, scopes, (asked, registered) => {
      const granted = formatGrants(intersectScopes(asked, registered));
      const again = formatGrants(intersectScopes(splitScopes(granted) ?? [], registered));
      return granted === again && (splitScopes(granted) ?? []).every((text) => parseScope(text) !== undefined);
    }),
  );
});

test('a scope parses exactly when it is a system scope with letters in order or of version 1', async () => {
  const near = fc.array(
    fc.constantFrom('system', 'patient', '/', 'Flag', '*', '.', 'c', 'r', 'u', 'd', 's', '?a=b', ' '),
    {
      maxLength: 9,
    },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        near.map((parts) => parts.join('')),
        scope,
      ),
      (text) => {
        const [, end = ''] = /^system\/(?:\*|[A-Z][A-Za-z]+)\.(.+)$/s.exec(text) ?? [];
        const places = [...end].map((letter) => 'cruds'.indexOf(letter));
        const inOrder = places.length > 0 && places.every((place, index) => place > (places[index - 1] ?? -1));
        const known = inOrder || Object.hasOwn(meaning, end);
        return (parseScope(text) !== undefined) === known || /[A-Za-z]{64}/.test(text);
      },
    ),
    { numRuns: 500 },
  );
});

test('IUA claims survive being written into an access token', async () => {
  const word = fc.string({ minLength: 1, maxLength: 40 });
  const coding = fc.record({ system: word, code: word, display: word }, { requiredKeys: ['code'] });
  const iua = fc.record(
    {
      subject_name: word,
      subject_role: fc.oneof(word, coding, fc.array(coding, { minLength: 1, maxLength: 3 })),
      subject_organization: word,
      subject_organization_id: fc.oneof(word, fc.tuple(word)),
      subject_id: word,
    },
    { requiredKeys: ['subject_name', 'subject_role', 'subject_organization', 'subject_organization_id'] },
  );
  fc.assert(
    fc.property(iua, (claims) => {
      const professional = parseIua({ extensions: { ihe_iua: claims } });
      if (typeof professional === 'string') return professional === 'invalid';
      const again = parseIua({ extensions: { ihe_iua: formatIua(professional) } });
      return JSON.stringify(again) === JSON.stringify(professional);
    }),
  );
  fc.assert(fc.property(fc.jsonValue(), (any) => parseIua({ extensions: { ihe_iua: any } }) !== undefined));
});

test('no text makes the JWT parser throw', async () => {
  const part = fc.oneof(
    fc.string(),
    fc.json().map((json) => Buffer.from(json).toString('base64url')),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      const jwt = parseJwt(parts.join('.'));
      return jwt === undefined || typeof jwt.header.kid === 'string';
    }),
  );
});
