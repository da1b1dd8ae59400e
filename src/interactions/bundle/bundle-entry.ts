import { refuseNotServed } from '../../cpis/access-policy.ts';
import { type InteractionCode, isTypeInteraction } from '../../cpis/interaction-table.ts';
import { spineCodingFor } from '../../cpis/spine-code.ts';
import { readPatchBody } from '../../fhir/bundle/patch-body.ts';
import { FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import { renderOperationOutcome } from '../../fhir/operation-outcome.ts';
import { readCompartment } from '../../fhir/patient-compartment.ts';
import { answerStatus, faultStatus, type ResponseStatus } from '../../fhir/response-status.ts';
import type { AccessContext, FhirAnswer, FhirRequest, Perform } from '../port/interaction.ts';

/** An entry of a batch or transaction, as a request of its own. */
export interface BundleEntry {
  readonly index: number;
  readonly fullUrl: string | undefined;
  readonly method: string;
  readonly request: FhirRequest;
}

interface RawEntry {
  readonly fullUrl?: string;
  readonly resource?: unknown;
  readonly request?: {
    method?: string;
    url?: string;
    ifMatch?: string;
    ifNoneMatch?: string;
    ifModifiedSince?: string;
    ifNoneExist?: string;
  };
}

const typePattern = /^[A-Z][A-Za-z]{1,63}$/;
const idPattern = /^[A-Za-z0-9\-.]{1,64}$/;

const reading: ReadonlySet<string> = new Set(['GET', 'HEAD']);

function historyOf([type, id, ...rest]: readonly string[]): InteractionCode | undefined {
  if (type === '_history' && id === undefined) return 'history-system';
  if (type === undefined || !typePattern.test(type)) return undefined;
  if (id === '_history') return rest.length === 0 ? 'history-type' : undefined;
  return id !== undefined && idPattern.test(id) && rest.length === 1 ? 'history-instance' : undefined;
}

function interactionOf(method: string, path: readonly string[], hasQuery: boolean): InteractionCode | undefined {
  const reads = reading.has(method);
  if (reads && path.at(-1) === '_history') return historyOf(path);
  const [type = '', id, history, versionId, ...rest] = path;
  if (!typePattern.test(type) || rest.length > 0) return undefined;
  if (id === undefined) {
    if (reads) return 'search-type';
    if (method === 'POST' && !hasQuery) return 'create';
    if (!hasQuery) return undefined;
    return method === 'PUT' ? 'update' : method === 'PATCH' ? 'patch' : method === 'DELETE' ? 'delete' : undefined;
  }
  if (!idPattern.test(id) || (hasQuery && !reads)) return undefined;
  if (history !== undefined) return reads && history === '_history' && versionId !== undefined ? 'vread' : undefined;
  if (reads) return 'read';
  if (method === 'PUT') return 'update';
  if (method === 'PATCH') return 'patch';
  return method === 'DELETE' ? 'delete' : undefined;
}

/** Maximum length of the URL of an entry. Outside a Bundle, the headers have a limit of that kind. */
const maxUrlLength = 16_384;
/** Maximum parameters of an entry, as in a URL outside a Bundle. */
const maxParameters = 256;

/** Returns the method and URL of an entry, verbatim up to the maximum length. */
export function rawOf(entry: unknown): string {
  const { request } = (entry ?? {}) as RawEntry;
  return `${request?.method ?? ''} ${(request?.url ?? '').slice(0, maxUrlLength)}`;
}

/**
 * Parses an entry as a request. Throws `not-supported` for a method or URL that this server does not serve in Bundles.
 */
export function parseEntry(entry: unknown, index: number, baseUrl: string): BundleEntry {
  const { fullUrl, resource, request } = (entry ?? {}) as RawEntry;
  const method = request?.method ?? '';
  const url = request?.url ?? '';
  // Examples of R4 itself write `/Patient/example`.
  const local = url.startsWith(`${baseUrl}/`) ? url.slice(baseUrl.length + 1) : url.replace(/^\//, '');
  const mark = local.indexOf('?');
  const asked = (mark < 0 ? local : local.slice(0, mark)).split('/');
  const compartment = reading.has(method) ? readCompartment(asked) : undefined;
  const path = compartment === undefined ? asked : [compartment.type];
  const interaction = interactionOf(method, path, mark >= 0);
  const expression = [`Bundle.entry[${index}].request`];
  if (url.length > maxUrlLength) {
    throw fault('invalid', `The URL has more than ${maxUrlLength} characters. Shorten it.`, {
      code: 'too-long',
      expression,
    });
  }
  const query = mark < 0 ? [] : [...new URLSearchParams(local.slice(mark + 1))];
  if (query.length > maxParameters) {
    throw fault('invalid', `The URL has more than ${maxParameters} parameters. Send fewer.`, { expression });
  }
  if (interaction === undefined) {
    throw fault('not-supported', 'This server does not serve this method and URL in a Bundle.', { expression });
  }
  // Outside a Bundle, an interaction that is not served has no route.
  if (isTypeInteraction(interaction)) refuseNotServed(path[0] ?? '', interaction, expression);
  const [type, id, , versionId] = interaction.startsWith('history-') ? path.slice(0, -1) : path;
  const body = interaction === 'patch' ? readPatchBody(resource, `Bundle.entry[${index}].resource`) : resource;
  return {
    index,
    fullUrl,
    method,
    request: {
      interaction,
      ...(type === undefined ? {} : { type }),
      ...(id === undefined ? {} : { id }),
      ...(versionId === undefined ? {} : { versionId }),
      query: [...(compartment === undefined ? [] : [compartment.criterion]), ...query],
      raw: rawOf(entry),
      ...(body === undefined ? {} : { body }),
      ...(request?.ifMatch === undefined ? {} : { ifMatch: request.ifMatch }),
      ...(request?.ifNoneMatch === undefined ? {} : { ifNoneMatch: request.ifNoneMatch }),
      ...(request?.ifModifiedSince === undefined ? {} : { ifModifiedSince: request.ifModifiedSince }),
      ...(request?.ifNoneExist === undefined ? {} : { ifNoneExist: request.ifNoneExist }),
    },
  };
}

/** Returns true if the entry reads. Reads are performed after all writes. */
export function isRead(entry: BundleEntry): boolean {
  return reading.has(entry.method);
}

/** Moves the expressions of an entry's issues under `Bundle.entry[index]`. */
export function issuesInBundle(issues: readonly Issue[], entry: Pick<BundleEntry, 'index' | 'request'>): Issue[] {
  const type = entry.request.type ?? '';
  const at = `Bundle.entry[${entry.index}]`;
  return issues.map((issue) => ({
    ...issue,
    expression: (issue.expression ?? [at]).map((expression) => {
      if (expression === type || expression.startsWith(`${type}.`))
        return `${at}.resource${expression.slice(type.length)}`;
      return expression.startsWith('Bundle.') ? expression : `${at}.request`;
    }),
  }));
}

function statusLine({ code, phrase }: ResponseStatus): string {
  return `${code} ${phrase}`;
}

const done: Issue = { severity: 'information', code: 'informational', diagnostics: 'Done.' };

/** Renders the response entry of an answer. It contains the resource only if the entry reads or asks for it. */
export function renderAnsweredEntry(
  entry: BundleEntry,
  answer: FhirAnswer,
  context: AccessContext,
  baseUrl: string,
): string {
  const wanted = isRead(entry) ? entry.method === 'GET' : context.preferReturn === 'representation';
  const given = answer.warnings ?? [];
  const warnings = given.length === 0 && !isRead(entry) && context.preferReturn === 'OperationOutcome' ? [done] : given;
  const response = JSON.stringify({
    status: statusLine(answerStatus[answer.kind]),
    ...(answer.location === undefined ? {} : { location: `${baseUrl}/${answer.location}` }),
    ...(answer.versionId === undefined ? {} : { etag: `W/"${answer.versionId}"` }),
    ...(answer.lastUpdatedMs === undefined ? {} : { lastModified: new Date(answer.lastUpdatedMs).toISOString() }),
  });
  const outcome =
    warnings.length === 0
      ? ''
      : `,"outcome":${renderOperationOutcome(issuesInBundle(warnings, entry), spineCodingFor())}`;
  const resource = wanted && answer.body !== undefined ? `"resource":${answer.body},` : '';
  return `{${resource}"response":${response.slice(0, -1)}${outcome}}}`;
}

/** Performs an entry, and renders its response entry, answered or refused. */
export async function performEntry(
  entry: BundleEntry,
  context: AccessContext,
  perform: Perform,
  baseUrl: string,
): Promise<string> {
  try {
    return renderAnsweredEntry(entry, await perform(entry.request, context), context, baseUrl);
  } catch (error) {
    return renderRefusedEntry(entry, error);
  }
}

/** Renders the response entry of a refusal. */
export function renderRefusedEntry(entry: Pick<BundleEntry, 'index' | 'request'>, error: unknown): string {
  const refused =
    error instanceof FhirFault
      ? error
      : fault(
          'exception',
          'The server failed on this entry. Report the X-Request-ID of this response to its operator.',
          { cause: error },
        );
  const status = JSON.stringify(statusLine(faultStatus[refused.category]));
  const outcome = renderOperationOutcome(issuesInBundle(refused.issues, entry), spineCodingFor(refused.category));
  return `{"response":{"status":${status},"outcome":${outcome}}}`;
}

/** Renders a response Bundle from rendered entries. */
export function renderResponseBundle(
  type: 'batch-response' | 'transaction-response',
  entries: readonly string[],
): string {
  const list = entries.length === 0 ? '' : `,"entry":[${entries.join(',')}]`;
  return `{"resourceType":"Bundle","type":"${type}"${list}}`;
}
