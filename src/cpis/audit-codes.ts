/** Codes of this server's AuditEvents, from DICOM, HL7 v3, FHIR and IHE BALP. */

export const cpisRoot = 'https://cpis-fhir.example.org/fhir';
export const auditEventProfile = `${cpisRoot}/StructureDefinition/cpis-audit-event`;
export const balpRoot = 'https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit';
export const restful = 'http://hl7.org/fhir/restful-interaction';
export const odsSystem = 'https://fhir.nhs.uk/Id/ods-organization-code';

const coded = (
  system: string,
  code: string,
  display: string,
): { coding: { system: string; code: string; display: string }[] } => ({
  coding: [{ system, code, display }],
});
const dicom = 'http://dicom.nema.org/resources/ontology/DCM';
export const sourceRole = coded(dicom, '110153', 'Source Role ID');
export const destinationRole = coded(dicom, '110152', 'Destination Role ID');
export const informationRecipient = coded(
  'http://terminology.hl7.org/CodeSystem/v3-ParticipationType',
  'IRCP',
  'information recipient',
);
export const author = coded('http://terminology.hl7.org/CodeSystem/v3-ParticipationType', 'AUT', 'author (originator)');
export const healthcareProvider = coded(
  'http://terminology.hl7.org/CodeSystem/v3-RoleClass',
  'PROV',
  'healthcare provider',
);
export const custodianType = coded(
  'http://terminology.hl7.org/CodeSystem/provenance-participant-type',
  'custodian',
  'Custodian',
);

const entityType = (code: string, display: string) => ({
  system: 'http://terminology.hl7.org/CodeSystem/audit-entity-type',
  code,
  display,
});
const objectRole = (code: string, display: string) => ({
  system: 'http://terminology.hl7.org/CodeSystem/object-role',
  code,
  display,
});
export const person = entityType('1', 'Person');
export const systemObject = entityType('2', 'System Object');
export const patientRole = objectRole('1', 'Patient');
export const domainResource = objectRole('4', 'Domain Resource');
export const queryRole = objectRole('24', 'Query');
export const requestIdType = {
  system: 'https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType',
  code: 'XrequestId',
};

/** Marks a resource from which elements have been left out. https://hl7.org/fhir/R4/resource.html#simple-tags */
export const subsetted = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };
