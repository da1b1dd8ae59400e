import { randomUUID } from 'node:crypto';
import type { Bundle, BundleEntry, FhirResource, Flag, OperationOutcome } from 'fhir/r4.js';
import { planKinds } from '../../src/cpis/plan.ts';
import type { FhirClient, FhirResponse } from '../../src/synthetic/fhir-client.ts';
import { buildRecord, type SyntheticPlan, syntheticNhsNumbers } from '../../src/synthetic/synthetic-plan.ts';

const numbers = syntheticNhsNumbers();

/** An NHS number that no other case of this process has. */
export function freshNhsNumber(): string {
  return numbers.next().value;
}

export const referenceSystem = 'https://la.example.org/plan';
export const kindCodes = { CPP: '342191000000101', LAC: '764841000000100', UCPP: '818901000000100' } as const;

export function kindOf(short: keyof typeof kindCodes): SyntheticPlan['kind'] {
  const code = kindCodes[short];
  return { code, display: planKinds[code].display };
}

/** `YYYY-MM-DD`, so many days from today in UTC. */
export function daysFromNow(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
}

/** An open child protection plan on a child nobody else has. */
export function freshPlan(over: Partial<SyntheticPlan> = {}): SyntheticPlan {
  return {
    nhsNumber: freshNhsNumber(),
    family: 'Testchild',
    given: 'Ada',
    birthDate: '2019-03-04',
    kind: kindOf('CPP'),
    start: '2025-01-31',
    reference: randomUUID(),
    referenceSystem,
    ...over,
  };
}

/** An open unborn child's plan on a mother nobody else has. A mother can have several. */
export function unbornPlan(over: Partial<SyntheticPlan> = {}): SyntheticPlan {
  const dates = { birthDate: '1996-01-01', start: daysFromNow(-20), dueDate: daysFromNow(100) };
  return freshPlan({ kind: kindOf('UCPP'), ...dates, ...over });
}

/** An ended plan that NHS staff still see. Those of different places (0 to 29) do not overlap, and start in their order. */
export function endedPlan(place: number, over: Partial<SyntheticPlan> = {}): SyntheticPlan {
  return freshPlan({ start: daysFromNow(10 * place - 300), end: daysFromNow(10 * place - 295), ...over });
}

export function postBundle(
  client: FhirClient,
  type: 'batch' | 'transaction',
  entry: readonly unknown[],
  headers: Readonly<Record<string, string>> = {},
): Promise<FhirResponse<Bundle>> {
  return client.request<Bundle>('POST', '', { resourceType: 'Bundle', type, entry }, headers);
}

/** `201 Created` and the like, of each entry of a response Bundle. */
export function statusesOf({ body }: FhirResponse<Bundle>): string[] {
  return (body.entry ?? []).map((entry) => entry.response?.status ?? '');
}

export function outcomeOf(entry: BundleEntry | undefined): OperationOutcome {
  return entry?.response?.outcome as OperationOutcome;
}

/** Submits plans of one authority; the ids of their Flags. Throws when one was not accepted. */
export async function submit(client: FhirClient, ...plans: readonly SyntheticPlan[]): Promise<string[]> {
  const answer = await postBundle(client, 'batch', plans.flatMap(buildRecord));
  const refused = statusesOf(answer).filter((status) => !/^20[01]/.test(status));
  if (refused.length > 0) throw new Error(`${refused.join(', ')}: ${JSON.stringify(answer.body)}`);
  const entries = answer.body.entry ?? [];
  return entries.filter((_, index) => index % 2 === 1).map((entry) => idIn(entry.response?.location));
}

/** The id in `.../Type/<id>/_history/<version>`. */
export function idIn(location: string | null | undefined): string {
  return /\/([^/]+)\/_history\//.exec(location ?? '')?.[1] ?? '';
}

/** The resources of a searchset with this mode. */
export function resourcesOf<T extends FhirResource = Flag>(
  { body }: FhirResponse<Bundle>,
  mode: 'match' | 'include' | 'outcome' = 'match',
): T[] {
  return (body.entry ?? []).filter((entry) => entry.search?.mode === mode).map((entry) => entry.resource as T);
}

export function codesOf({ body }: { readonly body: unknown }): string[] {
  return ((body as OperationOutcome).issue ?? []).map(({ code }) => code);
}
