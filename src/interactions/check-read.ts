import { checkHistory } from './history.ts';
import type { AccessContext, FhirRequest } from './interaction.ts';
import type { InteractionPorts } from './ports.ts';
import { findReadable } from './read.ts';
import { parseReadOptions } from './read-options.ts';
import { checkSearch } from './search-type.ts';
import type { View } from './view.ts';
import { findVersion } from './vread.ts';

/**
 * Throws what would refuse a read, vread or search that was performed on what the view shows. It discloses nothing and
 * records nothing: a transaction asks it before it is committed, as one failing entry fails the whole.
 */
export async function checkRead(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<void> {
  switch (request.interaction) {
    case 'search-type':
      checkSearch(request, context, ports);
      break;
    case 'history-instance':
    case 'history-type':
    case 'history-system':
      await checkHistory(request, context, view, ports);
      break;
    case 'vread':
      parseReadOptions(request, context);
      await findVersion(request, context, view, ports);
      break;
    default:
      parseReadOptions(request, context);
      await findReadable(request, context, view, ports);
  }
}
