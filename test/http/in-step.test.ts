import t from 'tap';
import { buildInStep } from '../../src/http/in-step.ts';

t.test('what has arrived together goes on together, in order, each once', async (t) => {
  const inStep = buildInStep();
  const seen: string[] = [];
  const go = (name: string) => async (): Promise<void> => {
    seen.push(`${name} begins`);
    await undefined;
    seen.push(`${name} goes on`);
  };
  inStep(go('a'));
  await undefined;
  inStep(go('b'));
  t.strictSame(seen, [], 'what arrives in the same turn is waited for');
  await new Promise(setImmediate);
  t.strictSame(seen, ['a begins', 'b begins', 'a goes on', 'b goes on']);
});

t.test('what arrives while others go on is of the next turn', async (t) => {
  const inStep = buildInStep();
  const seen: string[] = [];
  inStep(() => {
    seen.push('first');
    inStep(() => seen.push('second'));
  });
  inStep(() => seen.push('also first'));
  await new Promise(setImmediate);
  t.strictSame(seen, ['first', 'also first']);
  await new Promise(setImmediate);
  t.strictSame(seen, ['first', 'also first', 'second']);
});
