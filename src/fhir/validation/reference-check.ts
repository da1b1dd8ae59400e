import { type Check, isObject } from './check.ts';

const literal =
  /^(?:https?:\/\/\S+\/)?([A-Z][A-Za-z]{1,63})(?:\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[A-Za-z0-9\-.]{1,64})?|\?\S+)$/;

/** The expression takes quadratic time, and no type has to be found in a longer text. */
const maxLength = 2_048;

/** Builds the check that a Reference whose type is known, from its literal or `type`, has one of the allowed types. */
export function referenceCheck(targets: readonly string[]): Check {
  const rule = `The reference must be to one of ${targets.join(', ')}.`;
  return (value, visit) => {
    if (!isObject(value)) return;
    const { reference, type } = value;
    const [, target] =
      typeof reference === 'string' && reference.length <= maxLength ? (literal.exec(reference) ?? []) : [];
    if (target !== undefined && !targets.includes(target)) visit.report('value', rule, ['reference']);
    if (typeof type === 'string' && !targets.includes(type)) visit.report('value', rule, ['type']);
  };
}
