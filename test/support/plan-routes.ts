/** Every way to submit a plan, so that a rule can be tried on each. */
import type { Bundle, Flag, OperationOutcome, OperationOutcomeIssue } from 'fhir/r4.js';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { outcomeOf, postBundle } from './submissions.ts';

export interface RouteAnswer {
  readonly status: number;
  readonly issues: readonly OperationOutcomeIssue[];
}

/** A request: alone, or as the only entry of a batch or transaction. */
interface RouteRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly ifMatch?: string;
  readonly ifNoneExist?: string;
}

const carriers = ['alone', 'batch', 'transaction'] as const;

const jsonPatch = { 'content-type': 'application/json-patch+json' };
const asBinary = (patch: unknown) => ({
  resourceType: 'Binary',
  contentType: 'application/json-patch+json',
  data: Buffer.from(JSON.stringify(patch)).toString('base64'),
});

async function send(client: FhirClient, carrier: (typeof carriers)[number], request: RouteRequest) {
  const { method, path, body, ifMatch, ifNoneExist } = request;
  if (carrier === 'alone') {
    const { status, body: answer } = await client.request<OperationOutcome | undefined>(method, path, body, {
      prefer: 'return=OperationOutcome',
      ...(method === 'PATCH' ? jsonPatch : {}),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      ...(ifNoneExist === undefined ? {} : { 'if-none-exist': ifNoneExist }),
    });
    return { status, issues: answer?.issue ?? [] };
  }
  const { status, body: answer } = await postBundle(client, carrier, [
    {
      ...(body === undefined ? {} : { resource: method === 'PATCH' ? asBinary(body) : body }),
      request: {
        method,
        url: path,
        ...(ifMatch === undefined ? {} : { ifMatch }),
        ...(ifNoneExist === undefined ? {} : { ifNoneExist }),
      },
    },
  ]);
  if (status !== 200) return { status, issues: (answer as unknown as OperationOutcome).issue };
  const entry = (answer as Bundle).entry?.[0];
  return { status: Number(entry?.response?.status?.slice(0, 3)), issues: outcomeOf(entry)?.issue ?? [] };
}

/** Returns the criteria of a reference of the Flag. */
export const byReference = ({ identifier = [] }: Flag, index = 0): string =>
  `identifier=${encodeURIComponent(`${identifier[index]?.system}|${identifier[index]?.value}`)}`;

/** Each way to submit a new plan. */
export function createRoutes(client: FhirClient) {
  return carriers.flatMap((carrier) => [
    {
      name: `${carrier}: create`,
      send: (flag: Flag): Promise<RouteAnswer> => send(client, carrier, { method: 'POST', path: 'Flag', body: flag }),
    },
    {
      name: `${carrier}: conditional create`,
      send: (flag: Flag): Promise<RouteAnswer> =>
        send(client, carrier, { method: 'POST', path: 'Flag', body: flag, ifNoneExist: byReference(flag) }),
    },
    {
      name: `${carrier}: conditional update`,
      send: (flag: Flag): Promise<RouteAnswer> =>
        send(client, carrier, { method: 'PUT', path: `Flag?${byReference(flag)}`, body: flag }),
    },
  ]);
}

/** Each way to amend a plan; `from` is a reference that finds it. Of `flag`, a patch sends `elements`. */
export function amendRoutes(client: FhirClient, elements: readonly (keyof Flag)[]) {
  const patch = (flag: Flag) => elements.map((name) => ({ op: 'replace', path: `/${name}`, value: flag[name] }));
  return carriers.flatMap((carrier) => [
    {
      name: `${carrier}: update`,
      send: (id: string, _from: Flag, flag: Flag): Promise<RouteAnswer> =>
        send(client, carrier, { method: 'PUT', path: `Flag/${id}`, body: { ...flag, id } }),
    },
    {
      name: `${carrier}: conditional update`,
      send: (_id: string, from: Flag, flag: Flag): Promise<RouteAnswer> =>
        send(client, carrier, { method: 'PUT', path: `Flag?${byReference(from)}`, body: flag }),
    },
    {
      name: `${carrier}: patch`,
      send: (id: string, _from: Flag, flag: Flag): Promise<RouteAnswer> =>
        send(client, carrier, { method: 'PATCH', path: `Flag/${id}`, body: patch(flag) }),
    },
    {
      name: `${carrier}: conditional patch`,
      send: (_id: string, from: Flag, flag: Flag): Promise<RouteAnswer> =>
        send(client, carrier, { method: 'PATCH', path: `Flag?${byReference(from)}`, body: patch(flag) }),
    },
  ]);
}
