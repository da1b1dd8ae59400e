/**
 * Where a delivery stands in its AuditEvent. Its place never changes, so a change of it names the place in its filter and
 * in what it sets, and is atomic on every server. It is found by two texts in `queue`: what is to be done with it, with
 * the time where it waits for one, and what it counts as. Equality and prefixes of them are all that is asked for.
 */
import type { Document } from 'mongodb';
import type { AuditDocument, Collections, DeliveryDocument, DeliveryState } from './documents.ts';
import { keyPart, keyPartText } from './key-text.ts';

export const oldestFirst = { recordedMs: 1, seq: 1 } as const;

/** What an undelivered one counts as; `owed` are those that are neither parked nor unwanted. */
export type Tally = 'owed' | 'parked' | 'unwanted' | 'delivered';

/** The text of a delivery that is ready or delivered, and what those of the others begin with. */
export function taskText(state: DeliveryState, authority: string): string {
  const text = `${state}|${keyPart(authority)}`;
  return state === 'ready' || state === 'delivered' ? text : `${text}|`;
}

/** Of one that waits, is leased or unwanted, in the order of times. */
export function timedText(state: 'waiting' | 'leased' | 'unwanted', authority: string, untilMs: number): string {
  return taskText(state, authority) + timeText(untilMs);
}

export function tallyText(tally: Tally, authority: string): string {
  return `${tally}|${keyPart(authority)}`;
}

/** Whose text it is: of one without a time. */
export function authorityOf(text: string): string {
  return keyPartText(text.slice(text.indexOf('|') + 1));
}

/** Both texts, as they stand in `queue` one after the other. */
export function queueTexts(
  delivery: Pick<DeliveryDocument, 'authority' | 'state' | 'waitUntilMs' | 'parked'>,
): readonly [task: string, tally: string] {
  const { authority, state, waitUntilMs, parked } = delivery;
  const task =
    state === 'ready' || state === 'delivered' ? taskText(state, authority) : timedText(state, authority, waitUntilMs);
  if (state === 'unwanted' || state === 'delivered') return [task, tallyText(state, authority)];
  return [task, tallyText(parked ? 'parked' : 'owed', authority)];
}

const mostMs = 9e15;

/** As many characters for every time, so that texts are in the order of times; a time before 1970 comes first. */
function timeText(ms: number): string {
  const whole = Math.max(-mostMs, Math.min(mostMs, Math.floor(ms)));
  return whole < 0 ? `0${String(mostMs + whole).padStart(16, '0')}` : `1${String(whole).padStart(16, '0')}`;
}

export interface DeliveryPlace {
  readonly auditId: string;
  readonly position: number;
}

/** The path of the first text in `queue`. */
export const taskPath = (position: number): string => `queue.${2 * position}`;

/** Conditions on fields of the delivery, or values that they are set to. */
export function atPlace(position: number, fields: Document): Document {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`deliveries.${position}.${name}`, value]));
}

/** What `$set` takes to bring it into a state, with other fields that change; `tally` only where that changes. */
export function setState(
  position: number,
  authority: string,
  to:
    | { readonly state: 'ready' | 'delivered' }
    | { readonly state: 'waiting' | 'leased' | 'unwanted'; readonly waitUntilMs: number },
  { tally, ...fields }: Partial<DeliveryDocument> & { readonly tally?: Tally },
): Document {
  const task = 'waitUntilMs' in to ? timedText(to.state, authority, to.waitUntilMs) : taskText(to.state, authority);
  return {
    [taskPath(position)]: task,
    ...(tally === undefined ? {} : { [`queue.${2 * position + 1}`]: tallyText(tally, authority) }),
    ...atPlace(position, { ...to, ...fields }),
  };
}

/** The place of the authority's delivery: it has one of an AuditEvent. */
export function placeOf(
  { _id, deliveries }: Pick<AuditDocument, '_id' | 'deliveries'>,
  authority: string,
  isMeant: (delivery: DeliveryDocument) => boolean = () => true,
): DeliveryPlace | undefined {
  const position = deliveries.findIndex((delivery) => delivery.authority === authority && isMeant(delivery));
  return position < 0 ? undefined : { auditId: _id, position };
}

/** What comes behind an AuditEvent, oldest first. */
export function behind({ recordedMs, seq }: Pick<AuditDocument, 'recordedMs' | 'seq'>): Document {
  return { $or: [{ recordedMs: { $gt: recordedMs } }, { recordedMs: { $eq: recordedMs }, seq: { $gt: seq } }] };
}

/** The oldest deliveries of the authority that are meant, among AuditEvents that meet the filter. */
export async function findOldest(
  { audit }: Pick<Collections, 'audit'>,
  authority: string,
  filter: Document,
  isMeant: (delivery: DeliveryDocument) => boolean,
  limit: number,
): Promise<readonly DeliveryPlace[]> {
  const places: DeliveryPlace[] = [];
  let page: Document = { undelivered: { $gt: 0 }, ...filter };
  while (true) {
    const asked = limit - places.length;
    const options = { projection: { recordedMs: 1, seq: 1, deliveries: 1 }, sort: oldestFirst, limit: asked };
    const found = await audit.find(page, options).toArray();
    places.push(...found.flatMap((document) => placeOf(document, authority, isMeant) ?? []));
    const last = found.at(-1);
    if (last === undefined || found.length < asked || places.length === limit) return places;
    page = { $and: [{ undelivered: { $gt: 0 }, ...filter }, behind(last)] };
  }
}

/** How many were changed: another server may have changed some since they were found, so the condition is given again. */
export async function changePlaces(
  { audit }: Pick<Collections, 'audit'>,
  places: readonly DeliveryPlace[],
  condition: (position: number) => Document,
  set: (position: number) => Document,
): Promise<number> {
  let changed = 0;
  for (const [position, ofPosition] of Map.groupBy(places, (place) => place.position)) {
    const ids = ofPosition.map(({ auditId }) => auditId);
    const filter = { _id: { $in: ids }, ...condition(position) };
    changed += (await audit.updateMany(filter, { $set: set(position) })).modifiedCount;
  }
  return changed;
}
