import t from 'tap';
import { nextTurn, withTurnsOf } from '../../../src/interactions/yielding/in-turns.ts';

t.test('clients have their turns one after another, however much work one of them has', async (t) => {
  const order: string[] = [];
  const work = (client: string, name: string): Promise<void> =>
    withTurnsOf(client, async () => {
      await nextTurn();
      order.push(name);
      await nextTurn();
      order.push(name);
    });
  await Promise.all([work('a', 'a1'), work('a', 'a2'), work('a', 'a3'), work('b', 'b')]);
  t.ok(order.lastIndexOf('b') < 5, `b is done before the others of a: ${order.join()}`);
});

t.test('no two turns that are used up share a round of the event loop', async (t) => {
  let rounds = 0;
  let counting = true;
  const count = (): void => {
    rounds += 1;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  const seen: number[] = [];
  await Promise.all(
    Array.from({ length: 5 }, async () => {
      await nextTurn();
      seen.push(rounds);
      const startedMs = performance.now();
      while (performance.now() - startedMs < 6);
    }),
  );
  counting = false;
  t.equal(new Set(seen).size, 5);
});
