import { authorise, bearsLabelFor } from '../cpis/access-policy.ts';
import type { Caller } from '../cpis/caller.ts';
import { submittersOf } from '../cpis/labels.ts';
import { fault } from '../fhir/fault.ts';
import { checkId, notFound } from './find-resource.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from './interaction.ts';
import type { InteractionPorts } from './ports.ts';
import { answerRead, ownAccess } from './read.ts';
import { recordAccess } from './record-access.ts';

const versionPattern = /^[1-9][0-9]{0,14}$/;

/** Whether a Patient was the authority's as well when this version was written: what was corrected before stays unseen. */
function wasMatched(caller: Caller, type: string, labels: readonly string[]): boolean {
  return (
    type !== 'Patient' || bearsLabelFor(caller, type, labels) || submittersOf(labels).includes(caller.organisation.id)
  );
}

/** vread: an authority reads a version of its own resource. https://hl7.org/fhir/R4/http.html#vread */
export async function vread(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const { caller } = context;
  const { type = '', id = '', versionId = '' } = request;
  authorise(caller, type, 'vread');
  checkId(type, id);
  // Who may see a version is decided on the resource as it is now, withdrawn or not.
  const current = await ports.store.read(type, id);
  const labels = current.kind === 'found' ? current.resource.labels : current.kind === 'deleted' ? current.labels : [];
  if (!bearsLabelFor(caller, type, labels) || !versionPattern.test(versionId)) throw notFound();
  const version = await ports.store.readVersion(type, id, Number(versionId));
  if (version.kind === 'deleted') throw fault('gone', 'This version is the deletion of the resource.');
  if (version.kind === 'absent' || !wasMatched(caller, type, version.resource.labels)) throw notFound();
  await recordAccess(request, context, ownAccess(version.resource, caller), ports);
  return answerRead(version.resource, caller, ports);
}
