/**
 * docs/drivers/rulesets.md: what `nft` shows of our table in each scenario, made in a real namespace. To write it anew:
 * `unshare --net --mount node test/support/rulesets.ts`
 */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bridgeDriver } from '../../drivers/bridge.ts';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import type { NetworkFacts, PublishedPort } from '../../events/events.ts';
import * as facts from './driver-facts.ts';
import { create, remove } from './kernel-objects.ts';
import { sh } from './netns.ts';

export const rulesetsFile = join(import.meta.dirname, '../../docs/drivers/rulesets.md');

const host = { realm: 'prod', host: 'node1' } as const;
const table = tableName(host.realm, host.host);
const docker = 'com.docker.network';

interface Scenario {
  readonly title: string;
  readonly options: Readonly<Record<string, string>>;
  readonly network: Partial<NetworkFacts>;
  /** As the command line has them, and as leases. */
  readonly ports: Readonly<Record<string, PublishedPort>>;
  /** What it does, in words. */
  readonly effect: string;
}

const scenario = (title: string, effect: string, more: Partial<Omit<Scenario, 'title' | 'effect'>> = {}): Scenario => ({
  title,
  effect,
  options: {},
  network: {},
  ports: {},
  ...more,
});

const scenarios: readonly Scenario[] = [
  scenario(
    'A network',
    `Gateway mode nat, the default. Its endpoints talk to each other and reach out with the host's address. Nobody but the host reaches
them from outside the network.`,
  ),
  scenario(
    'Published ports',
    `One element per port and family. From left to right: the address of the host if it is one, the port of the host, the address and port
of the endpoint, here 10.1.0.2 and fd00:1::2. They are reached from outside, from the host, from other networks, and from the network
itself, where the endpoint sees the host's address on the bridge (the mark 0x02000000). A port at 127.0.0.1 is for the host alone.`,
    {
      ports: {
        'any:8080:80': facts.port({ hostPort: 8080, port: 80 }),
        '192.0.2.1:5000-5002:5000-5002/udp': facts.port({
          hostAddresses: ['192.0.2.1'],
          protocol: 'udp',
          hostPort: 5000,
          port: 5000,
          count: 3,
        }),
        '5432:5432': facts.port({ hostAddresses: ['127.0.0.1'], hostPort: 5432, port: 5432 }),
      },
    },
  ),
  scenario(
    'Endpoints that may not talk to each other',
    `No element in \`icc\`. The rules see bridged packets only where \`net.bridge.bridge-nf-call-iptables\` (and \`-ip6tables\`) is on;
elsewhere the ports of the bridge are isolated from each other instead. Published ports are reached by neighbours all the same.`,
    { options: { [`${docker}.bridge.enable_icc`]: 'false' } },
  ),
  scenario('An internal network', 'Nothing goes in or out but to and from the host itself.', {
    network: { internal: true },
  }),
  scenario(
    'An isolated network',
    'As an internal one, and the host has no address on the bridge: it is not reached either.',
    {
      network: { internal: true },
      options: {
        [`${docker}.bridge.gateway_mode_ipv4`]: 'isolated',
        [`${docker}.bridge.gateway_mode_ipv6`]: 'isolated',
      },
    },
  ),
  scenario(
    'Routed, with a published port',
    `Nothing is translated: endpoints leave with their own addresses, and are reached at them, but only at ports that are published.
Others on the way need a route to the subnet through this host.`,
    {
      options: { [`${docker}.bridge.gateway_mode_ipv4`]: 'routed', [`${docker}.bridge.gateway_mode_ipv6`]: 'routed' },
      ports: { '80:80': facts.port({ hostPort: 80, port: 80 }) },
    },
  ),
  scenario('Translated IPv4, routed IPv6', 'Each family goes by its own mode.', {
    options: { [`${docker}.bridge.gateway_mode_ipv6`]: 'routed' },
    ports: { 'any:8080:80': facts.port({ hostPort: 8080, port: 80 }) },
  }),
  scenario(
    'Unprotected',
    'As nat, and every port of every endpoint is reached by whoever has a route to it, endpoints of other networks among them.',
    {
      options: {
        [`${docker}.bridge.gateway_mode_ipv4`]: 'nat-unprotected',
        [`${docker}.bridge.gateway_mode_ipv6`]: 'nat-unprotected',
      },
    },
  ),
  scenario('Without masquerading', 'Endpoints leave with their own addresses; nobody reaches them.', {
    options: { [`${docker}.bridge.enable_ip_masquerade`]: 'false' },
  }),
  scenario(
    'A chosen source address',
    'Endpoints leave with this address of the host instead of the one that the route has.',
    {
      options: { [`${docker}.host_ipv4`]: '192.0.2.7', [`${docker}.host_ipv6`]: '2001:db8::7' },
    },
  ),
  scenario(
    'Trusted interfaces of the host',
    'What comes in at these interfaces reaches every port of every endpoint.',
    {
      options: { [`${docker}.bridge.trusted_host_interfaces`]: 'eth1:wg0' },
    },
  ),
];

const objectsOf = ({ network: changes, options, ports }: Scenario): readonly KernelObject[] => {
  const network: NetworkFacts = { ...facts.network, id: 'net1', options, ...changes };
  const [sandbox, leases] = [{ ...facts.sandbox, incarnation: 'box1' }, Object.values(ports)];
  const publications = ([4, 6] as const).flatMap((family) =>
    bridgeDriver.publish(host, { family, sandbox, network, endpoint: facts.endpoint, ports: leases }),
  );
  return [...bridgeDriver.createNetwork(host, network).ensure, ...publications];
};

/** What is different at each run, or printed by some versions of nft only. */
const listTable = (): string =>
  sh(`nft list table inet ${table}`)
    .replace(/ # progname .*/, '')
    .replace(/\n\tflags [a-z,]+/, '')
    .replace(/(:rules:)[0-9a-f]+/, '$1VERSION')
    .replaceAll('\t', '  ');

/** The sets that have elements, each element on a line of its own, in order: nft shows them in the order of their hashes. */
const listElements = (): string =>
  [...listTable().matchAll(/^ {2}((?:set|map) \S+) \{[^}]*?elements = \{([^}]*)\}/gm)]
    .map(([, name, elements = '']) => {
      const lines = elements.split(',').map((element) => `  ${element.trim().replaceAll(/\s+/g, ' ')}`);
      return `${name}\n${lines.sort().join('\n')}`;
    })
    .join('\n');

const describe = ({ options, network, ports }: Scenario): string => {
  const flags = Object.entries(options).map(([key, value]) => `-o ${key}=${value}`);
  const made = [`cnm network create web --ipv6${network.internal ? ' --internal' : ''}`, ...flags].join(' \\\n  ');
  const published = Object.keys(ports).map((text) => `-p ${text}`);
  if (published.length === 0) return made;
  return `${made}\ncnm endpoint create web a ${published.join(' ')}\ncnm endpoint join web a --sandbox box`;
};

const intro = `# Rulesets of the driver bridge

This page is made from what \`nft list table\` shows in a namespace (\`test/support/rulesets.ts\`), and a test compares the two.

Each worker has one table, \`inet cnm_<realm>_<host>\`. Its rules never change: networks, endpoints and published ports are elements of
hash sets and maps, so that the thousandth network costs what the first did. All elements of a plan go in or out in one transaction, and
each says in its comment whose it is ([README.md](README.md)). The table is owned by the worker's socket and persistent where the kernel
can (Linux 6.9): \`nft flush ruleset\` passes over it, nobody else can change it, and it outlives the worker.

## Beside other firewalls

- No other table is ever read or changed.
- A packet that we accept goes on to the chains of others, and theirs may drop it; what we drop they never see, since our filter comes
  first. Everything that we let into or out of a bridge carries the mark 0x01000000: a firewall whose policy is to drop needs one rule, such as
  \`iptables -I DOCKER-USER -m mark --mark 0x01000000/0x01000000 -j ACCEPT\` or \`nft insert rule inet theirs forward meta mark & 0x01000000 == 0x01000000 accept\`.
- Packets that neither come from a bridge of ours nor go to one pass unchanged and unmarked.
- A flow that was let through goes on until it ends, whatever changes afterwards. After each change of
  what is published, flows of udp that no longer go where they should are deleted before the change is reported, and connections of
  tcp and sctp as soon as their port leads elsewhere.
- Nothing is filtered on the way to the host itself: an endpoint reaches whatever its host listens on, on any address but those of 127.0.0.0/8.
`;

/** The page. Needs a network namespace of its own. */
export const rulesetsPage = async (): Promise<string> => {
  const runDir = mkdtempSync('/run/cnm-test-');
  // Ports are published at the host's own addresses alone.
  sh('ip link set lo up; ip addr add 192.0.2.1/32 dev lo');
  const kernel = await linuxKernel({ ...host, runDir });
  const parts = [intro, '## The table', '', '```', listTable().trim(), '```', ''];
  for (const each of scenarios) {
    const objects = objectsOf(each);
    assert.deepEqual(await kernel.apply([create('scenario', objects)]), [{ ok: true }]);
    parts.push(
      `## ${each.title}`,
      '',
      '```sh',
      describe(each),
      '```',
      '',
      '```',
      listElements(),
      '```',
      '',
      each.effect,
      '',
    );
    assert.deepEqual(await kernel.apply([remove('scenario', objects)]), [{ ok: true }]);
  }
  await kernel.settled();
  await kernel.close();
  sh(`ip addr del 192.0.2.1/32 dev lo; nft delete table inet ${table}; umount ${runDir}; rmdir ${runDir}`);
  return `${parts.join('\n').trimEnd()}\n`;
};

if (import.meta.main) writeFileSync(rulesetsFile, await rulesetsPage());
