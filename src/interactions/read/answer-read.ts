import type { Caller } from '../../cpis/caller.ts';
import type { StoredResource } from '../../store/store.ts';
import type { FhirAnswer } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { showResource } from '../resource/present-resource.ts';
import { unlessKnown } from './conditional-read.ts';
import type { ReadOptions } from './read-options.ts';

/** Builds the answer that carries a version, as its reader may see it and asked for it. */
export function answerRead(
  resource: StoredResource,
  caller: Caller,
  { isModified, shape }: ReadOptions,
  ports: InteractionPorts,
): FhirAnswer {
  const { version, lastUpdatedMs } = resource;
  const shown = showResource(caller, resource, ports);
  const body = shape === undefined ? shown : ports.shape(shown, shape);
  return unlessKnown({ kind: 'ok', body, versionId: String(version), lastUpdatedMs }, isModified);
}
