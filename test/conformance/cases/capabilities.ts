/** https://hl7.org/fhir/R4/http.html#capabilities */
import { requiredValues } from '../../../src/interactions/search/check-values.ts';
import { conforms, openConformanceWorld } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { asLa, asNobody } = world;
const statement = (await asNobody('GET', 'metadata')).json;

conforms(`${spec}/http.html#capabilities`, 'GET metadata answers the CapabilityStatement of this server', async (t) => {
  t.match(statement, {
    resourceType: 'CapabilityStatement',
    kind: 'instance',
    fhirVersion: '4.0.1',
    implementation: { url: world.server.baseUrl },
    rest: [{ mode: 'server' }],
  });
});

conforms(`${spec}/capabilitystatement.html`, 'each type that it lists answers, no other does', async (t) => {
  const types: string[] = statement.rest[0].resource.map(({ type }: { type: string }) => type);
  for (const type of types) t.not((await asLa('GET', `${type}/no-such-id`)).status, 405, type);
  for (const type of ['Observation', 'Encounter', 'Practitioner', 'Group', 'Binary']) {
    t.equal(types.includes(type), false);
    t.equal((await asLa('GET', `${type}/1`)).status, 404, type);
  }
});

conforms(
  `${spec}/capabilitystatement.html`,
  'each search parameter that it lists is taken under handling=strict',
  async (t) => {
    const samples: Readonly<Record<string, string>> = {
      date: '2025-01-01',
      token: 'x',
      string: 'x',
      reference: 'x',
      uri: 'urn:x',
    };
    for (const { type, searchParam = [] } of statement.rest[0].resource) {
      for (const { name, type: kind } of searchParam) {
        const { status } = await asLa('GET', `${type}?${name}=${samples[kind] ?? 'x'}`, {
          headers: { prefer: 'handling=strict' },
        });
        t.ok([200, 400, 403].includes(status), `${type}?${name}`);
        if (status === 400) {
          const value = requiredValues[type]?.[name]?.[0] ?? (name === 'code' ? '342191000000101' : '9990000018');
          const again = await asLa('GET', `${type}?${name}=${value}`, { headers: { prefer: 'handling=strict' } });
          t.ok([200, 403].includes(again.status), `${type}?${name}=${value}`);
        }
      }
    }
  },
);

conforms(
  'https://hl7.org/fhir/smart-app-launch/conformance.html',
  'SMART configuration names the token endpoint and its keys',
  async (t) => {
    const { json } = await asNobody('GET', '.well-known/smart-configuration');
    t.match(json, { token_endpoint: /^http/, grant_types_supported: ['client_credentials'] });
  },
);
