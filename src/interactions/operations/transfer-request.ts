import type { LocalAuthority } from '../../cpis/caller.ts';
import { isNhsNumber } from '../../cpis/nhs-number.ts';
import { vestingDayOf } from '../../cpis/succession.ts';
import { type FhirFault, fault } from '../../fhir/fault.ts';
import type { FhirRequest } from '../port/interaction.ts';
import { readOperationParameters } from './operation-parameters.ts';
import type { Transfer } from './transfer-plan.ts';

/** Maximum NHS numbers in a request, and maximum plans that a request with `all` looks at. */
export const maxInStep = 100;

/** What one request for `$transfer` asks for. */
export interface TransferStep extends Transfer {
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
export function readTransferStep(request: FhirRequest, authorities: ReadonlyMap<string, LocalAuthority>): TransferStep {
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
