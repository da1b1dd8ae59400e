/** Method and path of each interaction on a resource type. https://hl7.org/fhir/R4/http.html */
import type { HTTPMethods } from 'fastify';
import {
  type InteractionCode,
  interactionTable,
  isOperation,
  isTypeInteraction,
  type OperationCode,
  type TypeInteraction,
} from '../cpis/interaction-table.ts';
import type { BodyContent } from './begin-fhir.ts';

interface RouteShape {
  readonly method: HTTPMethods;
  /** Path after `[base]/[type]`. */
  readonly path: string;
  readonly content?: BodyContent;
}

interface TypeRoute extends RouteShape {
  readonly interaction: TypeInteraction;
}

const shapes: Readonly<Record<Exclude<TypeInteraction, OperationCode>, readonly RouteShape[]>> = {
  read: [{ method: 'GET', path: '/:id' }],
  vread: [{ method: 'GET', path: '/:id/_history/:vid' }],
  'history-instance': [{ method: 'GET', path: '/:id/_history' }],
  'history-type': [{ method: 'GET', path: '/_history' }],
  create: [{ method: 'POST', path: '', content: 'json' }],
  update: [
    { method: 'PUT', path: '/:id', content: 'json' },
    { method: 'PUT', path: '', content: 'json' },
  ],
  patch: [
    { method: 'PATCH', path: '/:id', content: 'patch' },
    { method: 'PATCH', path: '', content: 'patch' },
  ],
  delete: [
    { method: 'DELETE', path: '/:id' },
    { method: 'DELETE', path: '' },
  ],
  'search-type': [
    { method: 'GET', path: '' },
    { method: 'POST', path: '/_search', content: 'form' },
  ],
};

function operationShapes(code: OperationCode): readonly RouteShape[] {
  const { levels = [], byGet = false } = interactionTable[code].operation ?? {};
  return levels.flatMap((level): readonly RouteShape[] => {
    const path = `${level === 'instance' ? '/:id' : ''}/$${code}`;
    const post: RouteShape = { method: 'POST', path, content: 'json' };
    return byGet ? [{ method: 'GET', path }, post] : [post];
  });
}

function shapesOf(interaction: TypeInteraction): readonly RouteShape[] {
  return isOperation(interaction) ? operationShapes(interaction) : shapes[interaction];
}

/** Returns the routes of a resource type on which these interactions are served, in the order of the interaction table. */
export function routesOf(served: readonly TypeInteraction[]): readonly TypeRoute[] {
  const codes = Object.keys(interactionTable) as InteractionCode[];
  return codes
    .filter(isTypeInteraction)
    .filter((code) => served.includes(code))
    .flatMap((interaction) => shapesOf(interaction).map((shape) => ({ ...shape, interaction })));
}
