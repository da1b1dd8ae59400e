import { authorise, mayRead } from '../../cpis/access-policy.ts';
import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkId, notFound, visibleToAuthority } from '../resource/find-resource.ts';
import { showResource } from '../resource/present-resource.ts';
import { overlayView, type View } from '../resource/view.ts';
import { inTurns } from '../yielding/in-turns.ts';
import { findOne, planCriteria } from './conditional.ts';
import { checkIfMatch } from './etag.ts';
import type { PlannedWrite } from './planned-write.ts';
import { namesVersion, planReplacement } from './update.ts';

/**
 * Elements that a patch cannot change: what the resource is, whose it is and whom it is about. `meta` is set by the
 * server.
 */
const keptElements = ['resourceType', 'id', 'meta', 'subject', 'author'] as const;

/** Finds the id of the match of a conditional patch. Throws `not-found` for none. */
async function findId(request: FhirRequest, context: AccessContext, ports: InteractionPorts): Promise<string> {
  const criteria = planCriteria(request.type ?? '', request.query, context, ports);
  const found = await findOne(criteria, ports);
  if (found === undefined) throw notFound();
  return found.id;
}

/**
 * Plans a patch or conditional patch (JSON Patch or FHIRPath Patch) as an update with the patched content. The patch
 * applies to the version as its client may see it. https://hl7.org/fhir/R4/http.html#patch
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
  const apply = await inTurns(ports.parsePatch(request.body, keptElements));
  if (request.id !== undefined) checkId(type, request.id);
  const id = request.id ?? (await findId(request, context, ports));
  // The view pins the version that was patched, so that the update does not replace a younger one.
  const pinned = overlayView(view);
  const current = visibleToAuthority(await pinned.read(type, id), type, caller);
  checkIfMatch(request.ifMatch, current.version);
  const body = await inTurns(apply(JSON.parse(showResource(caller, current, ports))));
  const planned = await planReplacement({ ...request, id, body }, id, context, pinned, ports, namesVersion(request));
  if (mayRead(caller, type)) return planned;
  // The response would disclose elements that the patch did not name to a client that may not read.
  const { body: _, ...answer } = planned.answer;
  return { ...planned, answer };
}
