import type { AuditEventAgent } from 'fhir/r4.js';
import { normaliseText } from '../fhir/search/normalise-text.ts';
import type { AccessFacts, AuditPiece } from './access-facts.ts';
import {
  author,
  cpisRoot,
  custodianType,
  destinationRole,
  healthcareProvider,
  informationRecipient,
  odsSystem,
  sourceRole,
} from './audit-codes.ts';
import type { Caller } from './caller.ts';

function userAgent(caller: Caller): AuditEventAgent | undefined {
  const professional = caller.professional;
  if (professional === undefined) return undefined;
  const { role } = professional;
  return {
    type: informationRecipient,
    role: [
      {
        ...(role.code === undefined
          ? {}
          : {
              coding: [
                { ...(role.system === undefined ? {} : { system: role.system }), code: role.code, display: role.text },
              ],
            }),
        text: role.text,
      },
    ],
    who: {
      ...(professional.id === undefined ? {} : { identifier: professional.id }),
      display: professional.name,
    },
    name: professional.name,
    requestor: true,
    policy: [`urn:ietf:params:oauth:jti:${caller.tokenId}`],
  };
}

function organisationAgent(caller: Caller): AuditEventAgent | undefined {
  const professional = caller.professional;
  if (professional === undefined) return undefined;
  return {
    type: healthcareProvider,
    who: {
      identifier: { system: odsSystem, value: professional.organisationId },
      display: professional.organisationName,
    },
    requestor: false,
  };
}

/** Builds the agents of a change by the server itself, which is both source and destination. */
export function buildServerAgents(baseUrl: string): AuditEventAgent[] {
  const server = { who: { display: 'cpis-fhir' }, network: { address: baseUrl, type: '5' } } as const;
  return [
    { type: sourceRole, ...server, requestor: true },
    { type: destinationRole, ...server, requestor: false },
  ];
}

/** Builds the agents of BALP: client and server, whose roles swap on a read, then the user and the organisation. */
function buildCallerAgents(facts: AccessFacts, baseUrl: string): AuditEventAgent[] {
  if (facts.byServer === true) return buildServerAgents(baseUrl);
  const reads = facts.interaction === 'read' || facts.interaction === 'vread';
  const { caller } = facts;
  const user = caller === undefined ? undefined : userAgent(caller);
  const agents: AuditEventAgent[] = [
    {
      type: reads ? destinationRole : sourceRole,
      who:
        caller === undefined
          ? { display: 'Unauthenticated client' }
          : {
              identifier: { system: `${cpisRoot}/Id/client-id`, value: caller.clientId },
              display: caller.organisation.name,
            },
      requestor: user === undefined && caller?.role !== 'authority',
      network: { address: facts.clientAddress, type: '2' },
      ...(caller === undefined || user !== undefined
        ? {}
        : { policy: [`urn:ietf:params:oauth:jti:${caller.tokenId}`] }),
    },
    {
      type: reads ? sourceRole : destinationRole,
      who: { display: 'cpis-fhir' },
      requestor: false,
      network: { address: baseUrl, type: '5' },
    },
  ];
  if (user !== undefined) agents.push(user);
  const organisation = caller === undefined ? undefined : organisationAgent(caller);
  if (organisation !== undefined) agents.push(organisation);
  if (caller?.role === 'authority') {
    agents.push({
      type: reads || facts.interaction === 'search-type' ? informationRecipient : author,
      who: { reference: `Organization/${caller.organisation.id}`, display: caller.organisation.name },
      requestor: true,
    });
  }
  return agents;
}

/** Types of the references by which an AuditEvent is found besides those in it. No resource has them. */
export const agentKeyTypes = { client: 'client', professional: 'professional', name: 'name' } as const;

/** Returns the key by which the AuditEvents of a professional are found. */
export const professionalKey = (value: string, system: string | undefined): string => `${value}|${system ?? ''}`;

/** Returns references to the caller's client, organisation and professional, for searches of auditors. */
function indexedAgents(caller: Caller): readonly string[] {
  const { clientId, organisation, professional } = caller;
  return [
    `${agentKeyTypes.client}/${clientId}`,
    // An authority is an agent by its reference.
    ...(caller.role === 'authority' ? [] : [`Organization/${organisation.id}`]),
    ...(professional?.id === undefined
      ? []
      : [`${agentKeyTypes.professional}/${professionalKey(professional.id.value, professional.id.system)}`]),
    ...(professional === undefined ? [] : [`${agentKeyTypes.name}/${normaliseText(professional.name)}`]),
  ];
}

/** `AuditEvent.agent` as pieces of JSON text, and the references by which it is found. */
export interface RenderedAgents {
  readonly pieces: readonly AuditPiece[];
  readonly references: readonly string[];
}

const maxKept = 16;

interface KeptAgents extends Pick<AccessFacts, 'interaction' | 'clientAddress'> {
  readonly baseUrl: string;
  readonly rendered: RenderedAgents;
}

const callerAgents = new WeakMap<Caller, KeptAgents[]>();

/**
 * Renders the caller's agents, and keeps their text as long as the Caller because a token makes many requests. The
 * token's id is a piece of its own, so that the other pieces stay the same for the professional's next token.
 */
function renderCallerAgents(facts: AccessFacts, baseUrl: string): RenderedAgents {
  const { caller, interaction, clientAddress } = facts;
  const kept = (caller === undefined ? undefined : callerAgents.get(caller)) ?? [];
  for (const known of kept) {
    if (known.interaction === interaction && known.clientAddress === clientAddress && known.baseUrl === baseUrl)
      return known.rendered;
  }
  const agents = buildCallerAgents(facts, baseUrl);
  const text = `[${agents.map((agent) => JSON.stringify(agent)).join()}`;
  const tokenId = caller === undefined ? '' : JSON.stringify(caller.tokenId).slice(1, -1);
  const at = tokenId === '' ? -1 : text.indexOf(`jti:${tokenId}"`);
  const rendered = {
    pieces:
      at === -1
        ? [{ text }]
        : [{ text: text.slice(0, at + 4) }, tokenId, { text: text.slice(at + 4 + tokenId.length) }],
    references: [
      ...agents.flatMap((agent) => agent.who?.reference ?? []),
      ...(caller === undefined ? [] : indexedAgents(caller)),
    ],
  };
  if (kept.length === maxKept) kept.shift();
  kept.push({ interaction, clientAddress, baseUrl, rendered });
  if (caller !== undefined) callerAgents.set(caller, kept);
  return rendered;
}

const maxCustodians = 1_000;
const custodianTexts = new Map<string, { readonly reference: string; readonly piece: AuditPiece }>();

function renderCustodian(id: string): { readonly reference: string; readonly piece: AuditPiece } {
  const known = custodianTexts.get(id);
  if (known !== undefined) return known;
  const reference = `Organization/${id}`;
  const custodian: AuditEventAgent = { type: custodianType, who: { reference }, requestor: false };
  const rendered = { reference, piece: { text: `,${JSON.stringify(custodian)}` } };
  if (custodianTexts.size === maxCustodians) custodianTexts.clear();
  custodianTexts.set(id, rendered);
  return rendered;
}

/** Renders the caller's agents, then the custodians. */
export function renderAgents(facts: AccessFacts, baseUrl: string): RenderedAgents {
  const own = renderCallerAgents(facts, baseUrl);
  const pieces = [...own.pieces];
  const references = [...own.references];
  for (const id of facts.custodianIds) {
    const { reference, piece } = renderCustodian(id);
    pieces.push(piece);
    references.push(reference);
  }
  pieces.push(']');
  return { pieces, references };
}
