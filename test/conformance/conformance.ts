/**
 * What the cases of this folder have in common: a running server, and requests to it as a stranger would send them. A
 * test file imports cases, which share one server, and runs them.
 */
import { createRequire } from 'node:module';
import { MedplumClient } from '@medplum/core';
import type { Resource } from 'fhir/r4.js';
import { Client } from 'fhir-kit-client';
import t, { type Test } from 'tap';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { openWorld, type RunningWorld, type WorldOptions } from '../support/running-server.ts';

/** What is used of fhirclient, whose own types would bring those of a browser into all tests. */
export interface SmartClient {
  create(resource: Resource): Promise<Resource>;
  update(resource: Resource): Promise<Resource>;
  patch(path: string, operations: readonly object[]): Promise<Resource>;
  delete(path: string): Promise<unknown>;
  request(path: string, options?: object): Promise<unknown>;
}
type SmartApi = (request: object, response: object) => { client(state: object): SmartClient };

/** A response as it came, and its JSON where it has any. */
export interface RawResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a server answers is looked at with matches, of no type
  readonly json: any;
}

interface RawRequest {
  readonly headers?: Readonly<Record<string, string>>;
  /** A string or bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown;
}

/** Sends to a path below the FHIR base, with the token of one client. */
export type Send = (method: string, path: string, request?: RawRequest) => Promise<RawResponse>;

export interface ConformanceWorld extends RunningWorld {
  /** A local authority. */
  readonly la: FhirClient;
  readonly otherLa: FhirClient;
  /** A care provider. */
  readonly epr: FhirClient;
  /** Raw HTTP. */
  readonly asLa: Send;
  readonly asOtherLa: Send;
  readonly asEpr: Send;
  /** Without a token. */
  readonly asNobody: Send;
}

const cases: { readonly name: string; readonly check: (t: Test) => Promise<void> }[] = [];

/** Adds one requirement of a specification, by its link, and the test that shows it. docs/conformance.md lists them. */
export function conforms(_link: string, requirement: string, check: (t: Test) => Promise<void>): void {
  cases.push({ name: requirement, check });
}

/** Adds what is not served, by its link, with the reason, and the test that shows what is answered instead. */
export function notServed(_link: string, what: string, _reason: string, check: (t: Test) => Promise<void>): void {
  cases.push({ name: what, check });
}

/** Runs the cases of the modules that have been imported, in their order. */
export function runCases(): void {
  for (const { name, check } of cases) void t.test(name, check);
}

let shared: Promise<ConformanceWorld> | undefined;

/** Opens the server of a test file, which its cases share; options open another one. Every response is validated. */
export function openConformanceWorld(options?: WorldOptions): Promise<ConformanceWorld> {
  if (options !== undefined) return openOwnWorld(options);
  shared ??= openOwnWorld({});
  return shared;
}

async function openOwnWorld(options: WorldOptions): Promise<ConformanceWorld> {
  const world = await openWorld(t, options);
  const [la, otherLa] = world.authorities;
  const [epr] = world.careProviders;
  if (la === undefined || otherLa === undefined || epr === undefined) throw new Error('the registry is incomplete');
  const { baseUrl } = world.server;
  return {
    ...world,
    la,
    otherLa,
    epr,
    asLa: sendAs(baseUrl, la),
    asOtherLa: sendAs(baseUrl, otherLa),
    asEpr: sendAs(baseUrl, epr),
    asNobody: sendAs(baseUrl, undefined),
  };
}

function sendAs(baseUrl: string, client: FhirClient | undefined): Send {
  return async (method, path, { headers = {}, body } = {}) => {
    const isRaw = typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(path === '' ? baseUrl : `${baseUrl}/${path}`, {
      method,
      headers: {
        ...(client === undefined ? {} : { authorization: `Bearer ${await client.token()}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
      redirect: 'manual',
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true && text !== '';
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  };
}

/** fhir-kit-client, as an application would set it up. */
export async function openKitClient({ server }: RunningWorld, client: FhirClient): Promise<Client> {
  return new Client({ baseUrl: server.baseUrl, bearerToken: await client.token() });
}

/** The client of @medplum/core, as an application would set it up, on this server. */
export async function openMedplumClient({ server }: RunningWorld, client: FhirClient): Promise<MedplumClient> {
  const { origin, pathname } = new URL(server.baseUrl);
  const accessToken = await client.token();
  return new MedplumClient({ baseUrl: `${origin}/`, fhirUrlPath: pathname.slice(1), accessToken, cacheTime: 0 });
}

/** fhirclient, the client library of SMART, as the back end of an application would set it up. */
export async function openSmartClient({ server }: RunningWorld, client: FhirClient): Promise<SmartClient> {
  const smart = createRequire(import.meta.url)('fhirclient') as SmartApi;
  // In its place an application has the request of its user, of which nothing but the session is looked at.
  return smart({ session: {} }, {}).client({
    serverUrl: server.baseUrl,
    tokenResponse: { access_token: await client.token() },
  });
}
