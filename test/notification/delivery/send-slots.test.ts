import t from 'tap';
import { SendSlots } from '../../../src/notification/delivery/send-slots.ts';

t.test('a free slot passes to the next queue if the first has nothing to send', async (t) => {
  const slots = new SendSlots(1, 4);
  const resumed: string[] = [];
  const queue = (name: string, wants: boolean) => {
    const own = {
      sending: 1,
      resume: (): void => {
        resumed.push(name);
        if (wants && slots.take(own)) own.sending += 1;
      },
    };
    return own;
  };
  const [holder, idle, eager, last] = [
    queue('holder', false),
    queue('idle', false),
    queue('eager', true),
    queue('last', true),
  ];
  t.ok(slots.take(holder));
  holder.sending = 2;
  for (const each of [idle, eager, last]) t.notOk(slots.take(each), 'the only shared slot is taken');
  holder.sending = 1;
  slots.giveBack(holder);
  t.same(resumed, ['idle', 'eager']);
  t.equal(eager.sending, 2);
  eager.sending = 1;
  slots.giveBack(eager);
  t.same(resumed, ['idle', 'eager', 'last']);
  t.equal(last.sending, 2);
});

t.test('the first slot of a queue is its own, and no queue has more than its maximum', async (t) => {
  const slots = new SendSlots(5, 2);
  t.ok(slots.take({ sending: 0, resume: () => t.fail() }));
  t.ok(slots.take({ sending: 1, resume: () => t.fail() }));
  t.notOk(slots.take({ sending: 2, resume: () => t.fail() }));
});
