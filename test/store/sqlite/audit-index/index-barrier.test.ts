import t from 'tap';
import { type IndexProgress, openIndexBarrier } from '../../../../src/store/sqlite/audit-index/index-barrier.ts';

/** An index that indexes a chunk when the test says so. */
function openIndex() {
  const asked: { readonly upTo: number | undefined; readonly answer: PromiseWithResolvers<IndexProgress> }[] = [];
  const barrier = openIndexBarrier((upTo) => {
    const answer = Promise.withResolvers<IndexProgress>();
    asked.push({ upTo, answer });
    return answer.promise;
  });
  const settled: string[] = [];
  return {
    ...barrier,
    settled,
    asked: () => asked.map(({ upTo }) => upTo),
    search(name: string) {
      barrier.flush().then(
        () => settled.push(name),
        () => settled.push(`${name} failed`),
      );
    },
    async answer(progress: IndexProgress | Error) {
      const last = asked.at(-1);
      if (progress instanceof Error) last?.answer.reject(progress);
      else last?.answer.resolve(progress);
      await new Promise(setImmediate);
    },
  };
}

t.test('each search waits for what was committed before it, and one chunk is requested at a time', async (t) => {
  const index = openIndex();
  index.search('first');
  index.markPending();
  index.search('second');
  t.same(index.asked(), [undefined], 'the second arrived after the chunk was requested');
  await index.answer({ committed: 100, indexed: 10 });
  t.same(index.asked(), [undefined, undefined], 'how far the second must wait is not yet known');
  await index.answer({ committed: 150, indexed: 60 });
  t.same(index.asked(), [undefined, undefined, 150]);
  await index.answer({ committed: 400, indexed: 100 });
  t.same(index.settled, ['first']);
  t.equal(index.asked().length, 4);
  await index.answer({ committed: 500, indexed: 150 });
  t.same(index.settled, ['first', 'second']);
  t.equal(index.asked().length, 4, 'nobody waits any more');
  await index.flush();
  t.equal(index.asked().length, 4, 'nothing was committed since');
  index.markPending();
  index.search('third');
  t.equal(index.asked().length, 5);
  index.search('fourth, without a commit since the third');
  await index.answer({ committed: 500, indexed: 500 });
  t.same(index.settled, ['first', 'second', 'third']);
  await index.answer({ committed: 500, indexed: 500 });
  t.equal(index.settled.length, 4);
});

t.test('a failure rejects all waiting searches, and the next one requests again', async (t) => {
  const index = openIndex();
  index.search('first');
  index.search('second');
  await index.answer(new Error('full'));
  t.same(index.settled, ['first failed', 'second failed']);
  index.search('third');
  t.equal(index.asked().length, 2, 'although nothing was committed since');
  await index.answer({ committed: 5, indexed: 5 });
  t.same(index.settled, ['first failed', 'second failed', 'third']);
});
