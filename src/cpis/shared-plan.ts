import type { Coding, Flag, Meta } from 'fhir/r4.js';
import { subsetted } from './audit-codes.ts';
import { extractPlan, planKinds } from './plan.ts';

const displayOf = (kind: string): { readonly display?: string } =>
  Object.hasOwn(planKinds, kind) ? { display: planKinds[kind as keyof typeof planKinds].display } : {};

/**
 * Returns a plan as NHS staff see it: status, kind, patient, dates and authority, each in this server's own words, so that
 * nothing which an authority can write as it likes reaches them. Its identifiers are the authority's own. It is tagged
 * SUBSETTED.
 */
export function sharePlan(flag: Flag): Flag {
  const { id, meta, status, category, code, period } = flag;
  const { patientId, authorityId, kind } = extractPlan(flag);
  return {
    resourceType: 'Flag',
    ...(id === undefined ? {} : { id }),
    meta: { ...versionOf(meta), tag: [subsetted] },
    status,
    ...(category === undefined
      ? {}
      : { category: category.map(({ coding = [] }) => ({ coding: coding.map(codeOnly) })) }),
    code: { coding: (code.coding ?? []).map((coding) => ({ ...codeOnly(coding), ...displayOf(kind) })) },
    subject: { reference: `Patient/${patientId}` },
    ...(period === undefined ? {} : { period: datesOf(period) }),
    author: { reference: `Organization/${authorityId}` },
  };
}

function codeOnly({ system = '', code = '' }: Coding): Coding {
  return { system, code };
}

function datesOf({ start, end }: NonNullable<Flag['period']>) {
  return { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
}

/** A plan that the life cycle changed has no version. */
function versionOf({ versionId, lastUpdated }: Meta = {}): Meta {
  return {
    ...(versionId === undefined ? {} : { versionId }),
    ...(lastUpdated === undefined ? {} : { lastUpdated }),
  };
}
