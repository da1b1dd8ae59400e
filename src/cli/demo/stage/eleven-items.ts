import type { Bundle, Flag, Organization } from 'fhir/r4.js';
import { planKinds } from '../../../cpis/plan.ts';
import { contactPurposeSystem } from '../../../registry/build-organization.ts';

/** Start and end of the latest plan of a kind, `YYYY-MM-DD`; empty if there is none. */
interface PlanDates {
  readonly start: string;
  readonly end: string;
}

/** The eleven data items that NHS staff see, for one child and one authority. */
export interface ElevenItems {
  readonly nhsNumber: string;
  readonly authorityName: string;
  readonly authorityCode: string;
  readonly emergencyDutyTeamTelephone: string;
  readonly officeHoursTelephone: string;
  readonly childProtectionPlan: PlanDates;
  readonly lookedAfter: PlanDates;
  readonly unbornChildProtectionPlan: PlanDates;
}

function telephoneOf(organization: Organization | undefined, purpose: string): string {
  const contact = organization?.contact?.find((candidate) =>
    candidate.purpose?.coding?.some((coding) => coding.system === contactPurposeSystem && coding.code === purpose),
  );
  return contact?.telecom?.[0]?.value ?? '';
}

function datesOf(flags: readonly Flag[], short: 'CPP' | 'LAC' | 'UCPP'): PlanDates {
  const dates = flags
    .filter(({ code }) =>
      code.coding?.some((coding) => Object.entries(planKinds).some(([c, k]) => c === coding.code && k.short === short)),
    )
    .map(({ period }) => ({ start: period?.start ?? '', end: period?.end ?? '' }))
    .sort((a, b) => b.start.localeCompare(a.start));
  return dates[0] ?? { start: '', end: '' };
}

/**
 * Extracts the data items from the response to `Flag?patient=`: one set for each authority with a plan, ordered by its
 * code.
 */
export function extractElevenItems(searchset: Bundle<Flag | Organization>): ElevenItems[] {
  const resources = (searchset.entry ?? []).map((entry) => entry.resource);
  const flags = resources.filter((resource) => resource?.resourceType === 'Flag');
  const organizations = resources.filter((resource) => resource?.resourceType === 'Organization');
  const authors = [...new Set(flags.map((flag) => flag.author?.reference ?? ''))].sort();
  return authors.map((author) => {
    const own = flags.filter((flag) => flag.author?.reference === author);
    const organization = organizations.find(({ id }) => author === `Organization/${id}`);
    return {
      nhsNumber: (own[0]?.subject.reference ?? '').slice('Patient/'.length),
      authorityName: organization?.name ?? '',
      authorityCode: author.slice('Organization/'.length),
      emergencyDutyTeamTelephone: telephoneOf(organization, 'emergency-duty-team'),
      officeHoursTelephone: telephoneOf(organization, 'office-hours'),
      childProtectionPlan: datesOf(own, 'CPP'),
      lookedAfter: datesOf(own, 'LAC'),
      unbornChildProtectionPlan: datesOf(own, 'UCPP'),
    };
  });
}
