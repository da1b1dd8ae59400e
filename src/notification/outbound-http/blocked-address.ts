import { BlockList, isIP } from 'node:net';

/**
 * Ranges that no notification is sent to: everything that is not a public unicast address.
 * https://www.iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry
 */
const blockedV4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];

/** Inside 2000::/3, which alone is global unicast: protocol assignments with Teredo, documentation, 6to4. */
const blockedV6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const blocked = new BlockList();
for (const [network, prefix] of blockedV4) blocked.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of blockedV6) blocked.addSubnet(network, prefix, 'ipv6');

const globalUnicastV6 = new BlockList();
globalUnicastV6.addSubnet('2000::', 3, 'ipv6');

// Two lists: a list with IPv4 rules also matches the IPv4-mapped form of an IPv6 address.
const loopbackV4 = new BlockList();
loopbackV4.addSubnet('127.0.0.0', 8, 'ipv4');
const loopbackV6 = new BlockList();
loopbackV6.addAddress('::1', 'ipv6');

/** Whether it is 127.0.0.0/8 or ::1; an IPv4-mapped address is neither. */
export function isLoopbackAddress(address: string): boolean {
  if (address.includes('%')) return false;
  const version = isIP(address);
  if (version === 4) return loopbackV4.check(address, 'ipv4');
  return version === 6 && loopbackV6.check(address, 'ipv6');
}

/**
 * Whether an IP address (no brackets) must not be connected to. Anything that is not an address, or has a zone, is
 * blocked. All IPv6 outside 2000::/3 is blocked: mapped and compatible IPv4, NAT64, ULA, link-local, multicast, SRv6.
 */
export function isBlockedAddress(address: string, allowLoopback: boolean): boolean {
  if (address.includes('%')) return true;
  const version = isIP(address);
  if (version === 0) return true;
  if (allowLoopback && isLoopbackAddress(address)) return false;
  if (version === 4) return blocked.check(address, 'ipv4');
  return !globalUnicastV6.check(address, 'ipv6') || blocked.check(address, 'ipv6');
}
