import { authorise } from '../../cpis/access-policy.ts';
import { mayReadVersions, versionAccess } from '../../cpis/version-access.ts';
import { fault } from '../../fhir/fault.ts';
import type { StoredResource } from '../../store/store.ts';
import { recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkId, notFound } from '../resource/find-resource.ts';
import { describeOwnAccess } from '../resource/present-resource.ts';
import { storeView, type View } from '../resource/view.ts';
import { answerRead } from './answer-read.ts';
import { parseReadOptions } from './read-options.ts';

const versionPattern = /^[1-9][0-9]{0,14}$/;

/**
 * Finds the version that a vread answers with. The view decides whether the caller may see it. Throws the fault that
 * refuses it.
 */
export async function findVersion(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<StoredResource> {
  const { caller } = context;
  const { type = '', id = '', versionId = '' } = request;
  authorise(caller, type, 'vread');
  checkId(type, id);
  // Access to a version depends on the current resource, even if it is withdrawn.
  const current = await view.read(type, id);
  const labels = current.kind === 'found' ? current.resource.labels : current.kind === 'deleted' ? current.labels : [];
  if (!mayReadVersions(caller, labels) || !versionPattern.test(versionId)) throw notFound();
  const wanted = Number(versionId);
  const isCurrent = current.kind === 'found' && current.resource.version === wanted;
  const stored = await ports.store.readVersion(type, id, wanted);
  // A version that only the view has is planned and not stored yet.
  const version = stored.kind === 'absent' && isCurrent ? current : stored;
  if (version.kind === 'deleted') throw fault('gone', 'This version deleted the resource. Read an earlier version.');
  const { written } = versionAccess(caller, labels);
  if (version.kind === 'absent' || !written.some((label) => version.resource.labels.includes(label))) throw notFound();
  return version.resource;
}

/** Performs a vread of an authority's own resource. https://hl7.org/fhir/R4/http.html#vread */
export async function vread(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const { caller } = context;
  const options = parseReadOptions(request, context);
  const version = await findVersion(request, context, storeView(ports.store), ports);
  await recordAccess(request, context, describeOwnAccess(version, caller), ports);
  return answerRead(version, caller, options, ports);
}
