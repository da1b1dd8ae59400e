import { authorise, mayRead } from '../../cpis/access-policy.ts';
import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkId, notFound, visibleToAuthority } from '../resource/find-resource.ts';
import { showResource } from '../resource/present-resource.ts';
import { overlayView, type View } from '../resource/view.ts';
import { serializedYield } from '../yielding/serialized-yield.ts';
import { findOne, planCriteria } from './conditional.ts';
import { checkIfMatch } from './etag.ts';
import type { PlannedWrite } from './planned-write.ts';
import { planReplacement } from './update.ts';

/** No patch changes what a resource is, whose it is and whom it is about; `meta` is the server's own. */
const keptElements = ['resourceType', 'id', 'meta', 'subject', 'author'] as const;

/** The one match of a conditional patch; nothing is created by it. */
async function findId(request: FhirRequest, context: AccessContext, ports: InteractionPorts): Promise<string> {
  const criteria = planCriteria(request.type ?? '', request.query, context, ports);
  const found = await findOne(criteria, ports);
  if (found === undefined) throw notFound();
  return found.id;
}

/**
 * patch and conditional patch, JSON Patch or FHIRPath Patch: an update with what the patch makes of the version as its
 * reader sees it. https://hl7.org/fhir/R4/http.html#patch
 */
export async function planPatch(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const type = request.type ?? '';
  const { caller } = context;
  authorise(caller, type, 'patch');
  // The paths of a FHIRPath Patch are costly to read.
  await serializedYield();
  const apply = ports.parsePatch(request.body, keptElements);
  if (request.id !== undefined) checkId(type, request.id);
  const id = request.id ?? (await findId(request, context, ports));
  // What was patched is what is replaced: the plan of the update sees no younger version.
  const pinned = overlayView(view);
  const current = visibleToAuthority(await pinned.read(type, id), type, caller);
  checkIfMatch(request.ifMatch, current.version);
  const body = apply(JSON.parse(showResource(caller, current, ports)));
  const planned = await planReplacement({ ...request, id, body }, id, context, pinned, ports);
  if (mayRead(caller, type)) return planned;
  // What the patch did not name would be read, by a client that may not read.
  const { body: _, ...answer } = planned.answer;
  return { ...planned, answer };
}
