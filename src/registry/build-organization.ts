import type { Organisation } from '../cpis/caller.ts';

/** Systems of `Organization.identifier`. */
export const odsCodeSystem = 'https://fhir.nhs.uk/Id/ods-organization-code';
const gssCodeSystem = 'https://cpis-fhir.example.org/fhir/Id/gss-code';
const dfeCodeSystem = 'https://cpis-fhir.example.org/fhir/Id/dfe-code';
/** System of `Organization.contact.purpose`. Its codes are in profiles/. */
export const contactPurposeSystem = 'https://cpis-fhir.example.org/fhir/CodeSystem/contact-purpose';

const organizationTypeSystem = 'http://terminology.hl7.org/CodeSystem/organization-type';
const typeOf = {
  'local-authority': { code: 'govt', display: 'Government', text: 'Local authority' },
  'care-provider': { code: 'prov', display: 'Healthcare Provider', text: 'Care provider' },
  operator: { code: 'other', display: 'Other', text: 'Operator of this server' },
} as const;

/**
 * Builds the R4 Organization of a registered organisation. Its version and time are the `revision` of the registry
 * snapshot, so they are the same for every reader until the next reload. `contacts` has the name and the telephones to
 * show for it: those of its successor, if that has taken over.
 */
export function buildOrganization(
  organisation: Organisation,
  revision: number,
  { active, contacts }: { readonly active: boolean; readonly contacts: Organisation } = {
    active: true,
    contacts: organisation,
  },
) {
  const { code, display, text } = typeOf[organisation.kind];
  const base = {
    resourceType: 'Organization' as const,
    id: organisation.id,
    meta: { versionId: String(revision), lastUpdated: new Date(revision).toISOString() },
    active,
    type: [{ coding: [{ system: organizationTypeSystem, code, display }], text }],
    name: contacts.name,
  };
  const ods = { system: odsCodeSystem, value: organisation.odsCode };
  if (organisation.kind !== 'local-authority' || contacts.kind !== 'local-authority') {
    return { ...base, identifier: [ods] };
  }
  const office = contacts.officeHoursTelephone;
  const emergency = contacts.emergencyDutyTeamTelephone;
  return {
    ...base,
    identifier: [
      ods,
      { system: gssCodeSystem, value: organisation.gssCode },
      { system: dfeCodeSystem, value: organisation.dfeCode },
    ],
    telecom: [telephone(emergency, 1), telephone(office, 2)],
    contact: [
      contact('emergency-duty-team', 'Emergency duty team', emergency),
      contact('office-hours', 'Office hours', office),
    ],
  };
}

function telephone(value: string, rank: number) {
  return { system: 'phone' as const, value, use: 'work' as const, rank };
}

function contact(code: string, display: string, value: string) {
  return {
    purpose: { coding: [{ system: contactPurposeSystem, code, display }] },
    telecom: [{ system: 'phone' as const, value, use: 'work' as const }],
  };
}
