/** The worst inputs known of each kind, for `npm run bench -- --only holding`. */
import { buildFlag, buildPatient, type SyntheticPlan } from '../src/synthetic/synthetic-plan.ts';

export interface HostileInput {
  readonly name: string;
  readonly role: 'authority' | 'care-provider';
  readonly method: string;
  /** Relative to the FHIR base. */
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
}

const megabyte = 1024 * 1024;
const patientProfile = 'http://hl7.org/fhir/StructureDefinition/Patient';
const validateBase = `Patient/$validate?profile=${patientProfile}`;

function list(count: number, item: (index: number) => unknown): unknown[] {
  return Array.from({ length: count }, (_, index) => item(index));
}

/** Repeats a text up to a length. */
function fill(text: string, length: number): string {
  return text.repeat(Math.floor(length / text.length));
}

function batch(entry: readonly unknown[], type = 'batch'): string {
  return JSON.stringify({ resourceType: 'Bundle', type, entry });
}

const get = (url: string): unknown => ({ request: { method: 'GET', url } });

function extended(count: number, value: object): string {
  const extension = list(count, () => ({ url: 'https://x.example', ...value }));
  return JSON.stringify({ resourceType: 'Patient', extension });
}

function patchOf(paths: readonly string[]): object {
  const part = (path: string): unknown[] => [
    { name: 'type', valueCode: 'delete' },
    { name: 'path', valueString: path },
  ];
  return { resourceType: 'Parameters', parameter: paths.map((path) => ({ name: 'operation', part: part(path) })) };
}

/** Paths of the maximum length that no cache holds. */
function patchPaths(count: number, seed: string): string[] {
  return list(count, (index) => `Flag.identifier.where(value='${seed}${index}' ${fill("or use='a'", 70)})`).map(String);
}

function jsonInputs(): HostileInput[] {
  const texts: Readonly<Record<string, string>> = {
    'empty arrays': `[${fill('[],', 9.9 * megabyte)}1]`,
    'empty objects': `[${fill('{},', 9.9 * megabyte)}1]`,
    numbers: `[${fill('1,', 9.9 * megabyte)}1]`,
    'one long text': JSON.stringify(fill('x', 9.9 * megabyte)),
    'long texts with escapes': JSON.stringify(list(4, () => fill('\n', megabyte))),
    'white space': `${fill(' ', 9.9 * megabyte)}[]`,
    'spaced values': `[${fill(`${' '.repeat(60_000)}1,`, 9.9 * megabyte)}1]`,
    'many names': `{${list(90_000, (index) => `"k${index}":1`).join(',')}}`,
    'objects of many shapes': JSON.stringify(
      list(12_000, (index) =>
        Object.fromEntries(list(3, (key) => [`k${(index * 7 + Number(key) * 331) % 990}`, 1]) as [string, number][]),
      ),
    ),
  };
  return Object.entries(texts).flatMap(([name, body]): HostileInput[] => [
    { name: `JSON: ${name}`, role: 'authority', method: 'POST', path: 'Patient', body },
    { name: `JSON: ${name}`, role: 'care-provider', method: 'POST', path: '', body: body.slice(0, 1_000_000) },
  ]);
}

function resourceInputs(plan: SyntheticPlan): HostileInput[] {
  const contained = (count: number): string =>
    JSON.stringify({
      resourceType: 'Patient',
      contained: list(count, (index) => ({ resourceType: 'Organization', id: `o${index}`, name: 'x' })),
      extension: list(count, (index) => ({ url: 'https://x.example', valueReference: { reference: `#o${index}` } })),
    });
  const nested = (depth: number): unknown =>
    depth === 0 ? { url: 'x', valueString: 'x' } : { url: 'x', extension: [nested(depth - 1)] };
  const reference = `http://${fill('/Aa?', 1_000_000)} `;
  const bodies: Readonly<Record<string, string>> = {
    'contained and referred to': contained(500),
    'contained Parameters': JSON.stringify({ resourceType: 'Patient', contained: [{ resourceType: 'Parameters' }] }),
    periods: extended(1_600, { valuePeriod: { start: '2022', end: '2021-05-05T00:00:00Z' } }),
    ages: extended(1_200, { valueAge: { value: 1 } }),
    'wrong types': extended(2_400, { valueString: 1 }),
    'empty elements': JSON.stringify({ resourceType: 'Patient', extension: list(4_900, () => ({})) }),
    'nested extensions': JSON.stringify({ resourceType: 'Patient', extension: list(100, () => nested(15)) }),
    'a long reference': extended(1, { valueReference: { reference } }),
    narrative: JSON.stringify({
      resourceType: 'Patient',
      text: {
        status: 'generated',
        div: `<div xmlns="http://www.w3.org/1999/xhtml">${fill('<p>x</p>', 1_000_000)}</div>`,
      },
    }),
    base64: JSON.stringify({ resourceType: 'Patient', photo: [{ data: fill('AAAA', 1_000_000) }] }),
  };
  const path = validateBase;
  return [
    ...Object.entries(bodies).map(
      ([name, body]): HostileInput => ({ name: `resource: ${name}`, role: 'authority', method: 'POST', path, body }),
    ),
    { name: 'resource: contained', role: 'authority', method: 'POST', path: 'Patient', body: contained(500) },
    {
      name: 'resource: Subscription',
      role: 'authority',
      method: 'POST',
      path: 'Subscription',
      body: JSON.stringify({
        resourceType: 'Subscription',
        status: 'requested',
        reason: 'x',
        criteria: `AuditEvent?${fill('date=ge2026-01-01&', 1_000)}`,
        channel: {
          type: 'rest-hook',
          endpoint: 'https://x.example/',
          header: list(500, (index) => `X-${index}: ${index}`),
        },
      }),
    },
    {
      name: 'patch: 50 paths',
      role: 'authority',
      method: 'PATCH',
      path: `Flag/none`,
      body: JSON.stringify(patchOf(patchPaths(50, 'p'))),
    },
    {
      name: 'patch: large values',
      role: 'authority',
      method: 'PATCH',
      path: `Patient/${plan.nhsNumber}`,
      contentType: 'application/json-patch+json',
      body: JSON.stringify(list(50, () => ({ op: 'test', path: '/name', value: list(1_900, () => 1) }))),
    },
  ];
}

function bundleInputs(plans: readonly SyntheticPlan[], seed: string): HostileInput[] {
  const entries = plans.flatMap((plan) => [
    { fullUrl: `urn:p:${plan.nhsNumber}`, resource: buildPatient(plan), request: { method: 'POST', url: 'Patient' } },
    { fullUrl: `urn:f:${plan.reference}`, resource: buildFlag(plan), request: { method: 'POST', url: 'Flag' } },
  ]);
  const large = { resourceType: 'Flag', extension: list(45, () => ({ url: 'x', valueAge: { value: 1 } })) };
  const patches = list(100, (index) => ({
    resource: patchOf([`Flag.identifier.where(value='${seed}${index}' ${fill("or use='a'", 60)})`]),
    request: { method: 'PATCH', url: 'Flag/none' },
  }));
  const bundles: Readonly<Record<string, string>> = {
    'a batch of 1,000 records': batch(entries.slice(0, 1_000)),
    'a transaction of 1,000 records': batch(entries.slice(0, 1_000), 'transaction'),
    'a batch of 500 large resources': batch(
      list(500, () => ({ resource: large, request: { method: 'POST', url: 'Flag' } })),
    ),
    'a batch of 100 patches': batch(patches),
    'a batch of 1,000 pages of AuditEvents': batch(list(1_000, () => get('AuditEvent?_count=250'))),
    'a batch of 1,000 unsupported requests': batch(list(1_000, () => get(`Nope?${fill('a=1&', 8_000)}`))),
  };
  const reads = batch(list(1_000, () => get('AuditEvent?patient=9990000018&_count=250')));
  return [
    ...Object.entries(bundles).map(
      ([name, body]): HostileInput => ({ name: `Bundle: ${name}`, role: 'authority', method: 'POST', path: '', body }),
    ),
    { name: 'Bundle: a batch of 1,000 look-ups', role: 'care-provider', method: 'POST', path: '', body: reads },
  ];
}

function searchInputs({ nhsNumber }: SyntheticPlan): HostileInput[] {
  const urls: Readonly<Record<string, string>> = {
    'many values': `Flag?patient=${nhsNumber}&code=${fill('a|b,', 15_000)}`,
    'many parameters': `Flag?patient=${nhsNumber}${fill('&status=active', 3_500)}`,
    'formats in formats': `Flag?patient=${nhsNumber}&x=${fill('?_format=', 15_000)}`,
    'a page with line breaks': `AuditEvent?patient=${nhsNumber}&_count=250&_pretty=true`,
    'long percent encoding': `Flag?patient=${fill('%2C', 15_000)}`,
  };
  const ofAuthority: Readonly<Record<string, string>> = {
    'AuditEvents with included resources': 'AuditEvent?_count=250&_include=AuditEvent:entity&_pretty=true',
    'Patients with their Flags': 'Patient?_count=250&_revinclude=Flag:patient&_pretty=true',
    'history of all types': '_history?_count=250&_pretty=true',
  };
  const getAs = (role: HostileInput['role'], paths: Readonly<Record<string, string>>): HostileInput[] =>
    Object.entries(paths).map(([name, path]) => ({ name: `search: ${name}`, role, method: 'GET', path }));
  return [
    ...getAs('care-provider', urls),
    ...getAs('authority', ofAuthority),
    {
      name: 'search: a form',
      role: 'care-provider',
      method: 'POST',
      path: 'Flag/_search',
      contentType: 'application/x-www-form-urlencoded',
      body: `patient=${nhsNumber}&code=${fill('%61%7C%62%2C', 32_000)}`,
    },
  ];
}

/** Returns the inputs. `plans` are submitted; `seed` makes what a cache would know differ between rounds. */
export function buildCorpus(plans: readonly SyntheticPlan[], seed: string): readonly HostileInput[] {
  const [plan] = plans;
  if (plan === undefined) throw new Error('the corpus needs a plan');
  return [...jsonInputs(), ...resourceInputs(plan), ...bundleInputs(plans, seed), ...searchInputs(plan)];
}
