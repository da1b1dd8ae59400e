/** Limits, bindings and back-pressure of WebSockets, with the subscriber's end held by the test. */
import type { Bundle, Parameters } from 'fhir/r4.js';
import t from 'tap';
import { backport } from '../../../src/fhir/subscription/backport.ts';
import { type Binding, renderBindingToken } from '../../../src/notification/channels/binding-token.ts';
import type { SocketChannel } from '../../../src/notification/channels/socket-session.ts';
import { kent, leeds } from '../../support/authorities.ts';
import { type ManualClock, manualClock } from '../../support/manual-clock.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { bindingKey, type DeliveryWorld, world } from '../delivery-world.ts';

const startMs = Date.parse('2026-11-20T09:00:00Z');
const accessTopic = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/access-to-record';

const socketSubscription = (maxCount: number) => ({
  criteria: accessTopic,
  channel: {
    ...{ type: 'websocket', payload: 'application/fhir+json' },
    extension: [{ url: backport.maxCount, valuePositiveInt: maxCount }],
    _payload: { extension: [{ url: backport.payloadContent, valueCode: 'full-resource' }] },
  },
});

/** The subscriber's end of a connection. */
interface Subscriber {
  readonly texts: string[];
  /** Texts that were handed over and have not left yet. */
  readonly unsent: number;
  readonly maxUnsent: number;
  readonly closed: { readonly code: number; readonly reason: string } | undefined;
  say(text: string): void;
  /** Starts or stops reading. While stopped, nothing that is sent leaves. */
  read(reads: boolean): void;
}

function connect({ topics }: DeliveryWorld, address = '192.0.2.1'): Subscriber {
  const texts: string[] = [];
  const held: (() => void)[] = [];
  let reads = true;
  let maxUnsent = 0;
  let closed: Subscriber['closed'];
  let onMessage = (_text: string): void => undefined;
  let onClose = (): void => undefined;
  const channel: SocketChannel = {
    address,
    send: (text) => {
      if (closed !== undefined) return Promise.reject(new Error('closed'));
      texts.push(text);
      if (reads) return Promise.resolve();
      return new Promise((resolve) => {
        held.push(resolve);
        maxUnsent = Math.max(maxUnsent, held.length);
      });
    },
    close: (code, reason) => {
      closed ??= { code, reason };
      onClose();
    },
    onMessage: (listener) => {
      onMessage = listener;
    },
    onClose: (listener) => {
      onClose = listener;
    },
  };
  topics.websockets.accept(channel);
  return {
    texts,
    get unsent() {
      return held.length;
    },
    get maxUnsent() {
      return maxUnsent;
    },
    get closed() {
      return closed;
    },
    say: (text) => onMessage(text),
    read: (now) => {
      reads = now;
      if (now) for (const resolve of held.splice(0)) resolve();
    },
  };
}

let nonces = 0;
function tokenFor(clock: Pick<ManualClock, 'now'>, owner: string, ids: readonly string[], over: Partial<Binding> = {}) {
  nonces += 1;
  const binding = {
    owner,
    clientId: 'la',
    credential: {},
    subscriptionIds: ids,
    expiresAtMs: clock.now() + 60_000,
    nonce: `n${nonces}`,
  };
  return renderBindingToken({ ...binding, ...over }, bindingKey);
}

const statusIn = (text: string): Parameters => (JSON.parse(text) as Bundle).entry?.[0]?.resource as Parameters;
const typeIn = (text: string): string | undefined =>
  statusIn(text).parameter?.find(({ name }) => name === 'type')?.valueCode;
const numbersIn = (text: string): number[] =>
  (statusIn(text).parameter ?? [])
    .filter(({ name }) => name === 'notification-event')
    .map(({ part }) => Number(part?.find(({ name }) => name === 'event-number')?.valueString));

t.test('a subscriber that does not read is sent one Bundle only, delays nobody else, and misses nothing', async (t) => {
  const clock = manualClock(startMs);
  const opened = await world(t, { clock });
  const slowId = await opened.subscribe(leeds, '', socketSubscription(10));
  const otherId = await opened.subscribe(kent, '', socketSubscription(10));
  const [slow, other] = [connect(opened), connect(opened)];
  slow.say(`bind-with-token ${tokenFor(clock, leeds, [slowId])}`);
  other.say(`bind-with-token ${tokenFor(clock, kent, [otherId])}`);
  await waitUntil('handshakes', () => slow.texts.length === 1 && other.texts.length === 1);
  slow.read(false);
  for (let round = 0; round < 30; round += 1) {
    await opened.owe(leeds, 20);
    await opened.topics.numbers.allNumbered(leeds);
  }
  await waitUntil('a Bundle that does not leave', () => slow.unsent === 1);
  await opened.owe(kent, 25);
  await opened.topics.numbers.allNumbered(kent);
  await waitUntil('the events of the other subscriber', () => other.texts.flatMap(numbersIn).length === 25);
  t.equal(slow.maxUnsent, 1);
  t.ok(slow.texts.flatMap(numbersIn).length <= 10, 'one Bundle of ten');
  slow.read(true);
  await waitUntil('the rest', () => slow.texts.flatMap(numbersIn).length === 600);
  t.same(
    slow.texts.flatMap(numbersIn),
    Array.from({ length: 600 }, (_, index) => index + 1),
    'in order, each once',
  );
  t.ok(slow.texts.every((text) => numbersIn(text).length <= 10));
  t.match(await opened.backlogOf(leeds), { undelivered: 600, delivered: 0 }, 'what is sent is not yet delivered');
  slow.say(`ack ${slowId} 600`);
  await waitUntil('the acknowledgement', () => slow.texts.includes(`acknowledged ${slowId} 600`));
  await opened.pass(clock, 1_000);
  t.match(await opened.backlogOf(leeds), { undelivered: 0, delivered: 600 });
});

t.test('a connection that is not bound in time is closed, and the number of unbound ones is limited', async (t) => {
  const clock = manualClock(startMs);
  const opened = await world(t, { clock });
  const unbound = Array.from({ length: 20 }, () => connect(opened));
  t.same(connect(opened).closed, { code: 1013, reason: 'too many connections' }, 'of one address');
  const elsewhere = connect(opened, '192.0.2.2');
  t.notOk(elsewhere.closed, 'another address');
  await clock.advance(9_999, async () => undefined);
  t.ok(unbound.every(({ closed }) => closed === undefined));
  await clock.advance(1, async () => undefined);
  t.ok(unbound.every(({ closed }) => closed?.code === 1008));
  t.notOk(connect(opened).closed, 'there is room again');

  const many = Array.from({ length: 100 }, (_, index) => index).flatMap((index) =>
    Array.from({ length: 10 }, () => connect(opened, `198.51.100.${index}`)),
  );
  t.ok(
    many.some(({ closed }) => closed?.code === 1013),
    'over all addresses',
  );
  t.equal(many.filter(({ closed }) => closed === undefined).length, 999, 'beside the one that was there');
});

t.test('an authority may have ten connections, each with its own token', async (t) => {
  const clock = manualClock(startMs);
  const opened = await world(t, { clock });
  const id = await opened.subscribe(leeds, '', socketSubscription(10));
  const bound = Array.from({ length: 10 }, () => connect(opened));
  for (const socket of bound) socket.say(`bind-with-token ${tokenFor(clock, leeds, [id])}`);
  await waitUntil('handshakes', () => bound.every(({ texts }) => texts.length === 1));
  const eleventh = connect(opened);
  eleventh.say(`bind-with-token ${tokenFor(clock, leeds, [id])}`);
  await waitUntil('the eleventh is refused', () => eleventh.closed !== undefined);
  t.same(eleventh.closed, { code: 1013, reason: 'too many connections of this authority' });
  t.same(eleventh.texts, []);
  const otherId = await opened.subscribe(kent, '', socketSubscription(10));
  const other = connect(opened);
  other.say(`bind-with-token ${tokenFor(clock, kent, [otherId])}`);
  await waitUntil('another authority binds', () => other.texts.length === 1);
  await opened.owe(leeds, 1);
  await opened.topics.numbers.allNumbered(leeds);
  await waitUntil('each to be notified', () => bound.every(({ texts }) => texts.length === 2));
  t.equal(other.texts.length, 1);
});

t.test('recheck ends what the registry no longer allows, at once, and nothing more is sent', async (t) => {
  const clock = manualClock(startMs);
  const allowed = new Set(['first', 'key-1', 'second', 'key-2']);
  const opened = await world(t, {
    clock,
    mayConnect: (_owner, clientId, { key = '' }) => allowed.has(clientId) && allowed.has(key),
  });
  const id = await opened.subscribe(leeds, '', socketSubscription(10));
  const [first, second] = [connect(opened), connect(opened)];
  const unbound = connect(opened);
  first.say(`bind-with-token ${tokenFor(clock, leeds, [id], { clientId: 'first', credential: { key: 'key-1' } })}`);
  second.say(`bind-with-token ${tokenFor(clock, leeds, [id], { clientId: 'second', credential: { key: 'key-2' } })}`);
  await waitUntil('handshakes', () => first.texts.length === 1 && second.texts.length === 1);
  opened.topics.websockets.recheck();
  t.strictSame([first.closed, second.closed, unbound.closed], [undefined, undefined, undefined]);
  allowed.delete('key-1');
  opened.topics.websockets.recheck();
  t.match(first.closed, { code: 1008 });
  t.strictSame([second.closed, unbound.closed], [undefined, undefined]);
  await opened.owe(leeds, 1);
  await opened.topics.numbers.allNumbered(leeds);
  await waitUntil('the other is notified', () => second.texts.length === 2);
  t.equal(first.texts.length, 1);
  allowed.delete('second');
  opened.topics.websockets.recheck();
  t.match(second.closed, { code: 1008 });
});

t.test('after a failed binding nothing is sent and the connection is closed', async (t) => {
  const clock = manualClock(startMs);
  const opened = await world(t, { clock });
  const id = await opened.subscribe(leeds, '', socketSubscription(10));
  const otherId = await opened.subscribe(kent, '', socketSubscription(10));
  const refused = async (name: string, text: string, code = 1008): Promise<void> => {
    const socket = connect(opened);
    socket.say(text);
    await waitUntil(`${name}: closed`, async () => {
      await clock.advance(100, async () => undefined);
      return socket.closed !== undefined;
    });
    t.equal(socket.closed?.code, code, name);
    t.same(socket.texts, [], name);
  };
  await refused('expired', `bind-with-token ${tokenFor(clock, leeds, [id], { expiresAtMs: clock.now() })}`);
  const [payload = '', mac = ''] = tokenFor(clock, leeds, [id]).split('.');
  await refused('another signature', `bind-with-token ${payload}.${mac.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}`);
  await refused('a Subscription of another authority', `bind-with-token ${tokenFor(clock, leeds, [otherId])}`);
  await refused('no Subscription', `bind-with-token ${tokenFor(clock, leeds, [])}`);
  await refused('an acknowledgement before it is bound', `ack ${id} 1`);
  const token = tokenFor(clock, leeds, [id]);
  const first = connect(opened);
  first.say(`bind-with-token ${token}`);
  await waitUntil('the first use', () => first.texts.length === 1);
  await refused('used before', `bind-with-token ${token}`);
  t.equal(typeIn(first.texts[0] ?? ''), 'handshake');

  first.say(`bind-with-token ${tokenFor(clock, kent, [otherId])}`);
  await waitUntil('a bound connection does not go over to another authority', () => first.closed !== undefined);
  t.equal(first.closed?.code, 1008);

  const talker = connect(opened);
  talker.say(`bind-with-token ${tokenFor(clock, leeds, [id])}`);
  await waitUntil('bound', () => talker.texts.length === 1);
  for (let count = 0; count <= 100; count += 1) talker.say(`ack ${id} 1`);
  await waitUntil('too many messages at once', () => talker.closed !== undefined);
  t.equal(talker.closed?.code, 1008);
});
