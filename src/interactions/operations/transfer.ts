import { authorise } from '../../cpis/access-policy.ts';
import type { LocalAuthority } from '../../cpis/caller.ts';
import { formerLabel, formersOf, ownerLabel, ownerOf } from '../../cpis/labels.ts';
import { londonDate } from '../../cpis/london-date.ts';
import { isNhsNumber } from '../../cpis/nhs-number.ts';
import { vestingDayOf } from '../../cpis/succession.ts';
import { FhirFault, fault } from '../../fhir/fault.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';
import type { StoredResource } from '../../store/store.ts';
import { plainAccess, recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { searchFlagsOf } from '../resource/view.ts';
import { runGroups } from '../yielding/run-groups.ts';
import { readOperationParameters } from './operation-parameters.ts';
import { passDeliveriesOf } from './pass-deliveries.ts';
import { assessPlan, type Transfer, transferPlan } from './transfer-plan.ts';

/** Maximum NHS numbers in a request, and maximum plans that a request with `all` looks at. */
const maxInStep = 100;
/** Children whose plans pass at the same time. Their commits share the writes of the store. */
const concurrency = 16;

interface Step extends Transfer {
  readonly check: boolean;
  /** The children whose plans pass; undefined: all, after this Flag id. */
  readonly numbers: readonly string[] | undefined;
  readonly after: string | undefined;
}

function invalid(expression: string, text: string): FhirFault {
  return fault('invalid', text, { code: 'value', expression: [expression] });
}

function isTrue(name: string, text: string | undefined): boolean {
  if (text !== undefined && text !== 'true' && text !== 'false') throw invalid(name, `${name} must be true or false.`);
  return text === 'true';
}

/** Reads the request. Throws unless the registry says that plans pass from the one authority to the other. */
function readStep(request: FhirRequest, authorities: ReadonlyMap<string, LocalAuthority>): Step {
  const parameters = readOperationParameters(request, {
    to: false,
    'nhs-number': true,
    all: false,
    after: false,
    check: false,
  });
  const authority = authorities.get(request.id ?? '');
  if (authority === undefined) throw fault('not-found', 'There is no local authority with this id.');
  const [to] = parameters.get('to') ?? [];
  const vestingDay = vestingDayOf(authority);
  if (to === undefined) throw fault('required', 'The parameter to is required.', { expression: ['to'] });
  if (vestingDay === undefined || authority.replacedBy?.includes(to) !== true) {
    throw fault('unprocessable', 'The registry does not name this successor in replacedBy of the authority.', {
      code: 'business-rule',
      expression: ['to'],
    });
  }
  const numbers = parameters.get('nhs-number');
  const all = isTrue('all', parameters.get('all')?.[0]);
  if ((numbers !== undefined) === all)
    throw invalid('nhs-number', 'Give either nhs-number, once or more, or all=true.');
  if ((numbers?.length ?? 0) > maxInStep) {
    throw invalid('nhs-number', `A request takes a maximum of ${maxInStep} NHS numbers. Send several requests.`);
  }
  if (numbers?.some((number) => !isNhsNumber(number))) {
    throw invalid('nhs-number', 'An NHS number must have ten digits with a correct check digit.');
  }
  const check = isTrue('check', parameters.get('check')?.[0]);
  const after = parameters.get('after')?.[0];
  if (after !== undefined && (!all || !/^[A-Za-z0-9.-]{1,64}$/.test(after))) {
    throw invalid('after', 'after must be the next of an earlier response, with all=true.');
  }
  return {
    from: authority.id,
    to,
    vestingDay,
    check,
    numbers: numbers === undefined ? undefined : [...new Set(numbers)],
    after,
  };
}

/** Returns the plans of one step by child, and the position of the next step. */
async function findPlans(step: Step, ports: InteractionPorts) {
  const owned: SearchClause = { kind: 'label', any: [ownerLabel(step.from)] };
  if (step.numbers !== undefined) {
    const groups: (readonly StoredResource[])[] = [];
    let withoutPlan = 0;
    let before = 0;
    for (const patientId of step.numbers) {
      const flags = await searchFlagsOf(ports.store, [patientId]);
      const held = flags.filter(({ labels }) => ownerOf(labels) === step.from);
      const passed = flags.filter(({ labels }) => formersOf(labels).includes(step.from));
      before += passed.filter(({ labels }) => ownerOf(labels) === step.to).length;
      if (held.length + passed.length === 0) withoutPlan += 1;
      groups.push(held);
    }
    return { groups, withoutPlan, before, next: undefined };
  }
  const page = await ports.store.search({
    type: 'Flag',
    clauses: [owned],
    sort: [],
    limit: maxInStep,
    total: false,
    ...(step.after === undefined ? {} : { after: [step.after] }),
  });
  const groups = [...Map.groupBy(page.matches, ({ body }) => JSON.parse(body).subject.reference as string).values()];
  const next = page.next === undefined ? undefined : page.matches.at(-1)?.id;
  return { groups, withoutPlan: 0, before: 0, next };
}

/** Counts the plans that `from` holds, and those that the successor took over from it. */
async function countAll({ from, to }: Step, { store }: InteractionPorts) {
  const count = async (...labels: string[]): Promise<number> => {
    const clauses = labels.map((label): SearchClause => ({ kind: 'label', any: [label] }));
    return (await store.search({ type: 'Flag', clauses, sort: [], limit: 0, total: true })).total ?? 0;
  };
  return { remaining: await count(ownerLabel(from)), passed: await count(ownerLabel(to), formerLabel(from)) };
}

/**
 * Performs `$transfer` on the Organization of a local authority, for operators: passes plans and undelivered notifications to
 * a successor, from the vesting day on, a bounded number in each request. profiles/cpis-transfer.json
 */
export async function transfer(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  authorise(context.caller, 'Organization', 'transfer');
  const step = readStep(request, ports.registry().authorities);
  const { from, vestingDay, check, numbers } = step;
  if (!check && londonDate(ports.clock()) < vestingDay) {
    throw fault(
      'unprocessable',
      `Plans pass on ${vestingDay} at 00:00 in London, not before. check=true is possible.`,
      {
        code: 'business-rule',
      },
    );
  }
  // The access is recorded before anything is changed or notified. No authority sees it: the list may name children of others.
  const access = { ...plainAccess, patientIds: numbers ?? [], resource: `Organization/${from}` };
  await recordAccess(request, context, access, ports);
  const found = await findPlans(step, ports);
  const counts = { plans: found.groups.flat().length, transferred: 0, overlapping: 0, 'same-reference': 0, failed: 0 };
  let notifications = 0;
  await runGroups(found.groups, concurrency, async (flag) => {
    try {
      const passing = check ? await assessPlan(flag, step, ports) : await transferPlan(flag.id, step, ports);
      if (passing === undefined) return;
      counts.transferred += check ? 0 : 1;
      counts.overlapping += passing.overlaps ? 1 : 0;
      counts['same-reference'] += passing.sharesReference ? 1 : 0;
    } catch (error) {
      if (!(error instanceof FhirFault) || error.category !== 'transient') throw error;
      counts.failed += 1;
    }
  });
  if (!check) {
    const children = numbers ?? found.groups.map(([flag]) => patientOf(flag));
    await runGroups(
      children.map((child) => [child]),
      concurrency,
      async (child) => {
        notifications += await passDeliveriesOf(from, child, ports);
      },
    );
  }
  const totals = numbers === undefined && check ? await countAll(step, ports) : undefined;
  const integers = {
    ...counts,
    notifications,
    'transferred-before': totals?.passed ?? found.before,
    ...(totals === undefined ? {} : { remaining: totals.remaining }),
    'without-plan': found.withoutPlan,
  };
  const parameter = [
    { name: 'vesting-day', valueDate: vestingDay },
    ...Object.entries(integers).map(([name, valueInteger]) => ({ name, valueInteger })),
    ...(found.next === undefined ? [] : [{ name: 'next', valueString: found.next }]),
  ];
  return { kind: 'ok', body: JSON.stringify({ resourceType: 'Parameters', id: ports.newId(), parameter }) };
}

function patientOf(flag: StoredResource | undefined): string {
  const { subject } = JSON.parse(flag?.body ?? '{}') as { subject?: { reference?: string } };
  return (subject?.reference ?? '').slice('Patient/'.length);
}
