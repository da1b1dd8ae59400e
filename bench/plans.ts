/** Submits the synthetic population as local authorities do. */
import { openFhirClient } from '../src/synthetic/fhir-client.ts';
import { buildBatch, type SyntheticPlan, syntheticNhsNumbers } from '../src/synthetic/synthetic-plan.ts';
import type { SyntheticClient } from '../src/synthetic/synthetic-registry.ts';
import type { ServerHome } from '../test/support/server-process.ts';

const kinds = [
  { code: '342191000000101', display: 'Subject to child protection plan' },
  { code: '764841000000100', display: 'Looked after child' },
];
const recordsPerBatch = 500;

export interface LoadedPlans {
  readonly records: number;
  readonly seconds: number;
  /** NHS numbers, by position of the authority that holds the plan. */
  readonly childrenOf: readonly (readonly string[])[];
}

/** Returns `count` plans, each on another child, spread evenly over the authorities, by position of the authority. */
export function makePlans(count: number, authorities: number): SyntheticPlan[][] {
  const numbers = syntheticNhsNumbers();
  const plansOf: SyntheticPlan[][] = Array.from({ length: authorities }, () => []);
  for (let index = 0; index < count; index += 1) {
    const authority = index % authorities;
    plansOf[authority]?.push(makePlan(numbers.next().value, index, authority));
  }
  return plansOf;
}

/** Submits `count` plans, each on another child, spread evenly over the authorities, which submit concurrently. */
export async function loadPlans(home: ServerHome, count: number): Promise<LoadedPlans> {
  const { authorities } = home.registry;
  const plansOf = makePlans(count, authorities.length);
  const startedMs = performance.now();
  await Promise.all(authorities.map((client, index) => submit(home, client, plansOf[index] ?? [])));
  return {
    records: count,
    seconds: (performance.now() - startedMs) / 1000,
    childrenOf: plansOf.map((plans) => plans.map(({ nhsNumber }) => nhsNumber)),
  };
}

function makePlan(nhsNumber: string, index: number, authority: number): SyntheticPlan {
  return {
    nhsNumber,
    family: `Example${index % 977}`,
    given: `Sam${index % 89}`,
    birthDate: new Date(Date.UTC(2012 + (index % 12), index % 12, 1 + (index % 28))).toISOString().slice(0, 10),
    kind: kinds[index % kinds.length] ?? { code: '', display: '' },
    start: `2026-0${1 + (index % 9)}-01`,
    reference: `CASE-${index}`,
    referenceSystem: `https://authority-${authority}.example.org/cases`,
  };
}

async function submit(home: ServerHome, client: SyntheticClient, plans: readonly SyntheticPlan[]): Promise<void> {
  const fhir = openFhirClient(home.baseUrl, client);
  for (let start = 0; start < plans.length; start += recordsPerBatch) {
    const batch = buildBatch(plans.slice(start, start + recordsPerBatch));
    const { status, body } = await fhir.request<{ entry?: { response?: { status?: string } }[] }>('POST', '', batch);
    const refused = body.entry?.find(({ response }) => !response?.status?.startsWith('20'));
    if (status !== 200 || refused !== undefined) {
      throw new Error(`a batch returned status ${status}: ${JSON.stringify(refused ?? body)}`);
    }
  }
}
