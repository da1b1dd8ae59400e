import type { AuditEvent } from 'fhir/r4.js';
import { renderAgents } from './access-agents.ts';
import { renderEntities } from './access-entities.ts';
import type { AccessFacts, AuditPiece, AuditSource } from './access-facts.ts';
import { auditEventProfile, balpRoot, restful } from './audit-codes.ts';
import { type AuditSubtype, auditSubtypeOf, type InteractionCode, interactionTable } from './interaction-table.ts';
import { accessHistoryLabel, viewerLabel } from './labels.ts';

const typeText = JSON.stringify({
  system: 'http://terminology.hl7.org/CodeSystem/audit-event-type',
  code: 'rest',
  display: 'RESTful Operation',
});

let lastSource: { readonly baseUrl: string; readonly piece: AuditPiece } | undefined;

/** Returns `AuditEvent.source`, which is the same in each event. */
export function auditSource(baseUrl: string): AuditEvent['source'] {
  return {
    observer: { display: 'cpis-fhir' },
    site: baseUrl,
    type: [
      {
        system: 'http://terminology.hl7.org/CodeSystem/security-source-type',
        code: '4',
        display: 'Application Server',
      },
    ],
  };
}

/** Renders `AuditEvent.source` and the name of the next member, which are the same in each event. */
function renderSource({ baseUrl }: AuditSource): AuditPiece {
  if (lastSource?.baseUrl !== baseUrl) {
    lastSource = { baseUrl, piece: { text: `,"source":${JSON.stringify(auditSource(baseUrl))},"entity":` } };
  }
  return lastSource.piece;
}

type Kind = 'of a patient' | 'of none or several' | 'without profile';

function kindOf({ interaction, outcome, patientIds }: AccessFacts): Kind {
  if (outcome !== '0' || interactionTable[interaction].balpProfile === undefined) return 'without profile';
  return patientIds.length === 1 ? 'of a patient' : 'of none or several';
}

const kinds = new Map<InteractionCode, Map<Kind, AuditPiece>>();

/**
 * Renders the text between `meta.lastUpdated` and `recorded`, which is the same in each event of a kind. A refusal
 * claims no profile of BALP.
 */
function renderKind(facts: AccessFacts): AuditPiece {
  const { interaction } = facts;
  const kind = kindOf(facts);
  const known = kinds.get(interaction)?.get(kind);
  if (known !== undefined) return known;
  const { action, balpProfile } = interactionTable[interaction];
  const subtype = auditSubtypeOf(interaction);
  const balp = `${balpRoot}.${kind === 'of a patient' ? 'Patient' : ''}${balpProfile}`;
  const profile = kind === 'without profile' ? [auditEventProfile] : [auditEventProfile, balp];
  const subtypes: AuditEvent['subtype'] = [{ system: restful, code: subtype, display: subtype }];
  const piece = {
    text:
      `","profile":${JSON.stringify(profile)}},"type":${typeText},"subtype":${JSON.stringify(subtypes)},` +
      `"action":"${action}","recorded":"`,
  };
  kinds.set(interaction, (kinds.get(interaction) ?? new Map<Kind, AuditPiece>()).set(kind, piece));
  return piece;
}

let lastInstant: { readonly ms: number; readonly text: string } | undefined;

function renderInstant(ms: number): string {
  if (lastInstant?.ms !== ms) lastInstant = { ms, text: new Date(ms).toISOString() };
  return lastInstant.text;
}

/**
 * Builds the AuditEvent of one access after IHE BALP (PatientRead, PatientQuery, Query, PatientCreate, PatientUpdate),
 * with a custodian agent for each owning authority, so that `AuditEvent?agent=Organization/<id>` is plain R4.
 */
export function buildAccessRecord(facts: AccessFacts, source: AuditSource): AccessRecord {
  return new AccessRecord(facts, source);
}

interface RenderedRecord {
  readonly pieces: readonly AuditPiece[];
  readonly agents: readonly string[];
  readonly entities: readonly string[];
}

function render(facts: AccessFacts, source: AuditSource): RenderedRecord {
  const recorded = renderInstant(facts.recordedMs);
  const agents = renderAgents(facts, source.baseUrl);
  const entities = renderEntities(facts);
  const outcomeDesc = facts.outcomeReason === undefined ? '' : `,"outcomeDesc":${JSON.stringify(facts.outcomeReason)}`;
  const pieces: readonly AuditPiece[] = [
    `{"resourceType":"AuditEvent","id":${JSON.stringify(facts.id)},"meta":{"versionId":"1","lastUpdated":"${recorded}`,
    renderKind(facts),
    `${recorded}","outcome":"${facts.outcome}"${outcomeDesc},"agent":`,
    ...agents.pieces,
    renderSource(source),
    ...entities.pieces,
    '}',
  ];
  return { pieces, agents: agents.references, entities: entities.references };
}

/**
 * The `AuditWrite` of an access. Its text is rendered on first use, so that a store that writes many AuditEvents
 * renders them one after another.
 */
class AccessRecord {
  readonly #facts: AccessFacts;
  readonly #source: AuditSource;
  #rendered: RenderedRecord | undefined;
  readonly id: string;
  readonly recordedMs: number;
  readonly type = 'rest';
  readonly subtype: AuditSubtype;
  readonly action: 'C' | 'R' | 'U' | 'D' | 'E';
  readonly outcome: AccessFacts['outcome'];
  readonly deliverTo: readonly string[];

  constructor(facts: AccessFacts, source: AuditSource) {
    this.#facts = facts;
    this.#source = source;
    this.id = facts.id;
    this.recordedMs = facts.recordedMs;
    this.subtype = auditSubtypeOf(facts.interaction);
    this.action = interactionTable[facts.interaction].action;
    this.outcome = facts.outcome;
    this.deliverTo = facts.notifyIds;
  }

  get #text(): RenderedRecord {
    this.#rendered ??= render(this.#facts, this.#source);
    return this.#rendered;
  }

  get pieces(): readonly AuditPiece[] {
    return this.#text.pieces;
  }

  get body(): string {
    return this.pieces.map((piece) => (typeof piece === 'string' ? piece : piece.text)).join('');
  }

  get patients(): readonly string[] {
    return this.#facts.patientIds.map((id) => `Patient/${id}`);
  }

  get agents(): readonly string[] {
    return this.#text.agents;
  }

  get entities(): readonly string[] {
    return this.#text.entities;
  }

  get labels(): readonly string[] {
    return labelsOf(this.#facts);
  }
}

/**
 * Labels the event for those who may see it: its custodians, the acting authority, and NHS staff if it belongs to the
 * access history. Auditors need no label.
 */
function labelsOf({ custodianIds, caller, inAccessHistory, isSilent }: AccessFacts): readonly string[] {
  if (isSilent === true) return [];
  const labels = custodianIds.map(viewerLabel);
  const acting = caller?.role === 'authority' ? caller.organisation.id : undefined;
  if (acting !== undefined && !custodianIds.includes(acting)) labels.push(viewerLabel(acting));
  if (inAccessHistory) labels.push(accessHistoryLabel);
  return labels;
}
