import { authorise, bearsLabelFor } from '../cpis/access-policy.ts';
import { versionAccess } from '../cpis/version-access.ts';
import { fault } from '../fhir/fault.ts';
import { checkId, notFound } from './find-resource.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from './interaction.ts';
import type { InteractionPorts } from './ports.ts';
import { answerRead, ownAccess } from './read.ts';
import { parseReadOptions } from './read-options.ts';
import { recordAccess } from './record-access.ts';

const versionPattern = /^[1-9][0-9]{0,14}$/;

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
  const options = parseReadOptions(request, context);
  // Who may see a version is decided on the resource as it is now, withdrawn or not.
  const current = await ports.store.read(type, id);
  const labels = current.kind === 'found' ? current.resource.labels : current.kind === 'deleted' ? current.labels : [];
  if (!bearsLabelFor(caller, type, labels) || !versionPattern.test(versionId)) throw notFound();
  const version = await ports.store.readVersion(type, id, Number(versionId));
  if (version.kind === 'deleted') throw fault('gone', 'This version is the deletion of the resource.');
  const { written } = versionAccess(caller, type);
  if (version.kind === 'absent' || !written.some((label) => version.resource.labels.includes(label))) throw notFound();
  await recordAccess(request, context, ownAccess(version.resource, caller), ports);
  return answerRead(version.resource, caller, options, ports);
}
