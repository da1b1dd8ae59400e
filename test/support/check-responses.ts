/**
 * Every FHIR resource that a server of this test process answers with is validated, those of one form once: by the server's
 * own validator, against R4 and against the profile of its type, and by @medplum/core. The validators are loaded when the
 * first world closes.
 */
import { createHash } from 'node:crypto';
import { ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { Bundle, OperationOutcome, Parameters, Resource } from 'fhir/r4.js';
import { loadDefinitions } from '../../src/fhir/definitions/load-definitions.ts';
import { loadValidator } from '../../src/fhir/validation/load-validator.ts';
import type { Validator } from '../../src/fhir/validation/validator.ts';
import { secondOpinion } from './second-opinion.ts';

const root = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis';
const eventProfiles = [`${root}-plan-life-cycle-event`, `${root}-nhs-number-event`];
function profileOf({ resourceType, meta }: Resource): string {
  const own = meta?.profile?.find((profile) => eventProfiles.includes(profile));
  if (own !== undefined) return own;
  return `${root}-${resourceType.replace('AuditEvent', 'audit-event').toLowerCase()}`;
}
const profiled = new Set(['AuditEvent', 'Flag', 'Organization', 'Patient', 'Subscription']);
const resourceText = /^\s*\{\s*"resourceType"/;
const pending: string[] = [];
const noted = new Set<string>();
let isWatching = false;

/** What differs from answer to answer and has one form, by kind: ids, instants, NHS numbers, queries of AuditEvents. */
const varying: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['query', /(?<="query":")[\w+/]{4,}={0,2}(?=")/g],
  ['id', /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g],
  ['instant', /\b\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z/g],
  ['number', /\b999\d{7}\b/g],
  ['version', /(?<="versionId":")\d+(?=")/g],
];

/** The text with each such value as its kind and the place at which it came first: two of one form are valid, or neither. */
function formOf(text: string): string {
  let form = text;
  for (const [kind, pattern] of varying) {
    const places = new Map<string, string>();
    form = form.replace(pattern, (value) => {
      const place = places.get(value) ?? `<${kind} ${places.size}>`;
      places.set(value, place);
      return place;
    });
  }
  return form;
}

/** Validates what was answered since the last time. Throws with what is wrong, without the resource. */
export function checkResponses(): void {
  const problems = new Set(
    pending
      .splice(0)
      .filter(isOfNewForm)
      .flatMap((text) => findProblems(JSON.parse(text))),
  );
  if (problems.size === 0) return;
  const message = `responses that are not valid FHIR:\n${[...problems].join('\n')}`;
  process.stderr.write(`${message}\n`);
  throw new Error(message);
}

/** From now on what `fetch` is answered is checked too: the server is another process. */
export function watchFetch(): void {
  if (isWatching) return;
  isWatching = true;
  const { fetch } = globalThis;
  globalThis.fetch = async (...args) => {
    const response = await fetch(...args);
    const isFhir = response.headers.get('content-type')?.startsWith('application/fhir+json') === true;
    if (isFhir) response.clone().text().then(noteResponse, noteNothing);
    return response;
  };
}

/** The connection ended within the body. */
function noteNothing(): void {}

/** Takes the body of a response, to be checked. */
function noteResponse(body: string): void {
  if (resourceText.test(body)) pending.push(body);
}

function isOfNewForm(text: string): boolean {
  const form = createHash('sha256').update(formOf(text)).digest('base64');
  return noted.size < noted.add(form).size;
}

let loaded: { readonly validator: Validator; readonly types: ReadonlySet<string> } | undefined;
function load(): typeof loaded & object {
  if (loaded === undefined) {
    const { validator } = loadValidator(fileURLToPath(new URL('../../profiles', import.meta.url)));
    const types = new Set(
      [...loadDefinitions().types].filter(([, { kind }]) => kind === 'resource').map(([type]) => type),
    );
    loaded = { validator, types };
  }
  return loaded;
}

function findProblems(resource: Resource): string[] {
  const { validator, types } = load();
  const { resourceType: type } = resource;
  const own = types.has(type) ? validator.validate(resource, type) : [];
  const isWhole = resource.meta?.tag?.some(({ code }) => code === 'SUBSETTED') !== true;
  const byProfile = profiled.has(type) && isWhole ? validator.validate(resource, profileOf(resource)) : [];
  const problems = [...own, ...byProfile]
    // How much is validated at once is bounded; the AuditEvent of a page of 1,000 is more.
    .filter(({ severity, code }) => severity === 'error' && code !== 'too-costly')
    .map(({ expression, diagnostics }) => `${expression?.join()}: ${diagnostics}`);
  const theirs = secondOpinion(resource).map(({ details, diagnostics, expression }) => {
    return `${expression?.join()}: ${details?.text ?? diagnostics} (@medplum/core)`;
  });
  const others = inner(resource).filter((found) => isOfNewForm(JSON.stringify(found)));
  return [...problems, ...theirs, ...others.flatMap(findProblems)];
}

function inner(resource: Resource): Resource[] {
  if (resource.resourceType === 'Bundle') {
    return ((resource as Bundle).entry ?? []).flatMap((entry) =>
      [entry.resource, entry.response?.outcome as OperationOutcome | undefined].filter((found) => found !== undefined),
    );
  }
  if (resource.resourceType !== 'Parameters') return [];
  return ((resource as Parameters).parameter ?? []).flatMap((parameter) => parameter.resource ?? []);
}

const { end } = ServerResponse.prototype;
/** What a server of this process sends passes here, whichever client asked for it. */
ServerResponse.prototype.end = function endAndNote(this: ServerResponse, ...args: readonly unknown[]): ServerResponse {
  const [chunk] = args;
  if (typeof chunk === 'string' || Buffer.isBuffer(chunk)) noteResponse(String(chunk));
  return Reflect.apply(end, this, args);
};
