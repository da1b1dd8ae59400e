import type { Parameters } from 'fhir/r4.js';
import type { OperatorSession } from '../client/operator-session.ts';

export interface TransferRun {
  readonly session: OperatorSession;
  readonly from: string;
  readonly to: string;
  /** The children whose plans pass; undefined: all. */
  readonly numbers: readonly string[] | undefined;
  readonly onProgress: (counts: TransferCounts) => void;
}

const countNames = [
  'plans',
  'transferred',
  'transferred-before',
  'overlapping',
  'same-reference',
  'failed',
  'notifications',
  'without-plan',
] as const;

/** Sums of the counts of all steps. */
export type TransferCounts = Record<(typeof countNames)[number], number> & { vestingDay: string };

const numbersInStep = 100;

/** Looks at all plans in the scope, or passes them, step by step. Rejects with GaveUp or CommandError. */
export async function runSteps(run: TransferRun, check: boolean): Promise<TransferCounts> {
  const counts = { vestingDay: '', ...Object.fromEntries(countNames.map((name) => [name, 0])) } as TransferCounts;
  const { numbers } = run;
  if (numbers !== undefined) {
    for (let at = 0; at < numbers.length; at += numbersInStep) {
      const step = numbers.slice(at, at + numbersInStep).map((valueString) => ({ name: 'nhs-number', valueString }));
      add(counts, await send(run, [...step, { name: 'check', valueBoolean: check }]), true);
      run.onProgress(counts);
    }
    return counts;
  }
  let after: string | undefined;
  do {
    const from = after === undefined ? [] : [{ name: 'after', valueString: after }];
    const answer = await send(run, [
      { name: 'all', valueBoolean: true },
      { name: 'check', valueBoolean: check },
      ...from,
    ]);
    add(counts, answer, false);
    run.onProgress(counts);
    after = answer.find(({ name }) => name === 'next')?.valueString;
  } while (after !== undefined);
  return counts;
}

type Parameter = NonNullable<Parameters['parameter']>[number];

async function send({ session, from, to }: TransferRun, more: readonly Parameter[]): Promise<Parameter[]> {
  const body = { resourceType: 'Parameters', parameter: [{ name: 'to', valueString: to }, ...more] };
  const path = `Organization/${encodeURIComponent(from)}/$transfer`;
  return (await session.request<Parameters>('POST', path, body)).parameter ?? [];
}

/** Adds the counts of a step. The count of plans that passed before is that of a step only for listed children. */
function add(counts: TransferCounts, step: readonly Parameter[], isOfStep: boolean): void {
  counts.vestingDay = step.find(({ name }) => name === 'vesting-day')?.valueDate ?? '';
  for (const name of countNames) {
    const value = step.find((parameter) => parameter.name === name)?.valueInteger ?? 0;
    if (name === 'transferred-before' && !isOfStep) counts[name] = value;
    else counts[name] += value;
  }
}
