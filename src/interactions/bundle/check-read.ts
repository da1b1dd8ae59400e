import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkHistory } from '../read/history.ts';
import { findReadable } from '../read/read.ts';
import { parseReadOptions } from '../read/read-options.ts';
import { findVersion } from '../read/vread.ts';
import type { View } from '../resource/view.ts';
import { checkSearch } from '../search/search-type.ts';

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
