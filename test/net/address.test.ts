import fc from 'fast-check';
import { test } from 'tap';
import { networkOf, parseAddress } from '../../src/net/address.ts';

test('an address has one form', async (t) => {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:cb00:7107', '203.0.113.7'],
    ['0:0:0:0:0:ffff:cb00:7107', '203.0.113.7'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['64:ff9b::203.0.113.7', '64:ff9b::cb00:7107'],
    ['::', '::'],
    ['::1', '::1'],
    ['010.0.0.1', undefined],
    ['1.2.3', undefined],
    ['1.2.3.4 ', undefined],
    ['fe80::1%eth0', undefined],
    ['fe80::1%<script>', undefined],
    ['[::1]', undefined],
    ['localhost', undefined],
    ['', undefined],
  ];
  for (const [text, address] of rows) t.equal(parseAddress(text), address, text);
});

test('the limits count an IPv6 client by its 64-bit network', async (t) => {
  t.equal(networkOf('2001:db8:1:2::1'), networkOf('2001:DB8:1:2:ffff:ffff:ffff:ffff'));
  t.not(networkOf('2001:db8:1:2::1'), networkOf('2001:db8:1:3::1'));
  t.equal(networkOf('2001:db8::1'), networkOf('2001:db8:0:0:1::'));
  t.equal(networkOf('::1'), networkOf('::2'));
  t.equal(networkOf('1::203.0.113.7'), networkOf('1::203.0.113.8'));
  t.equal(networkOf('::ffff:203.0.113.7'), '203.0.113.7');
  t.not(networkOf('203.0.113.7'), networkOf('203.0.113.8'));
  fc.assert(
    fc.property(fc.ipV6(), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (address, rest) => {
      const canonical = parseAddress(address) ?? '';
      if (!canonical.includes(':')) return networkOf(address) === canonical;
      const network = networkOf(address);
      const groups = rest.toString(16).padStart(16, '0').match(/.{4}/g) ?? [];
      const [first = ''] = network.split('::/');
      const neighbour = `${first}:${groups.join(':')}`;
      // A neighbour may be an IPv4 address in IPv6, which counts by itself.
      return networkOf(neighbour) === network || !parseAddress(neighbour)?.includes(':');
    }),
    { seed: 15, numRuns: 300 },
  );
});
