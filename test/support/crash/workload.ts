/**
 * What is going on when a process is killed: networks of all kinds, sandboxes that come, change, move and go. Each round uses the names,
 * addresses and ports of the one before, and ends with nothing, so a round that succeeds shows that nothing was left held.
 */
import assert from 'node:assert/strict';
import type { CommandInput, CommandType } from '../../../events/commands.ts';
import { waitFor } from '../nats.ts';
import { hasKind, shIn, succeedsIn } from '../netns.ts';
import type { Place } from './place.ts';
import type { LogRecord } from './record.ts';

type Step = { readonly [T in CommandType]: readonly [type: T, data: CommandInput<T>, host?: string] }[CommandType];

/** What is sent together: the commands of a phase are decided in order, and executed as far as possible at once. */
export type Phase = readonly Step[];

/** What the kernel of the host can do. */
interface Features {
  readonly macvlan: boolean;
  readonly esp: boolean;
}

const featuresOf = (log: LogRecord): Features => ({
  macvlan: hasKind('macvlan'),
  esp: log.state.facts.get('host')?.capabilities.esp === true,
});

/** Where the kernel has what it takes. */
const only = (has: boolean, steps: Phase): Phase => (has ? steps : []);

const networksOf = ({ macvlan, esp }: Features): Phase => [
  [
    'CreateNetwork',
    { name: 'web', ipv6: true, ipam: { subnets: [{ subnet: '10.50.0.0/24' }, { subnet: 'fd50::/64' }] } },
  ],
  ['CreateNetwork', { name: 'back', internal: true, ipam: { subnets: [{ subnet: '10.51.0.0/24' }] } }],
  ['CreateNetwork', { name: 'ovl', driver: 'overlay', ipam: { subnets: [{ subnet: '10.60.0.0/24' }] } }],
  ...only(esp, [
    [
      'CreateNetwork',
      { name: 'sec', driver: 'overlay', options: { encrypted: '' }, ipam: { subnets: [{ subnet: '10.61.0.0/24' }] } },
    ],
  ]),
  ['CreateNetwork', { name: 'weave', driver: 'weave', ipam: { subnets: [{ subnet: '10.52.0.0/24' }] } }],
  ...only(macvlan, [
    [
      'CreateNetwork',
      {
        name: 'lan',
        driver: 'macvlan',
        options: { parent: 'par0' },
        ipam: { subnets: [{ subnet: '10.53.0.0/24' }] },
      },
    ],
    ['CreateNetwork', { name: 'stub', driver: 'macvlan', ipam: { subnets: [{ subnet: '10.54.0.0/24' }] } }],
  ]),
];

const attachesOf = ({ macvlan, esp }: Features, brought: string): Phase => [
  [
    'AttachSandbox',
    {
      sandbox: 's1',
      hostname: 'one',
      networks: [
        {
          network: 'web',
          interfaces: [{ ipv4: '10.50.0.10', ipv6: 'fd50::10' }],
          aliases: ['www'],
          ports: [
            { hostAddress: '0.0.0.0', hostPort: 18080, port: 80 },
            { protocol: 'udp', port: 53 },
          ],
        },
      ],
    },
  ],
  ['AttachSandbox', { sandbox: 's2', networks: [{ network: 'back' }, { network: 'web' }], ports: [{ port: 443 }] }],
  ['CreateEndpoint', { network: 'ovl', name: 'o1' }],
  ['JoinEndpoint', { network: 'ovl', endpoint: 'o1', sandbox: 's3' }],
  ['AttachSandbox', { sandbox: 'f1', networks: [{ network: 'ovl' }, ...(esp ? [{ network: 'sec' }] : [])] }, 'h2'],
  ['AttachSandbox', { sandbox: 's4', networks: [{ network: 'weave' }] }],
  ['AttachSandbox', { sandbox: 's5', netns: brought, networks: [{ network: 'web' }] }],
  ...only(esp, [['AttachSandbox', { sandbox: 's7', networks: [{ network: 'sec' }] }]]),
  ['CreateEndpoint', { network: 'web', name: 'left', gc: 1_000 }],
  ...only(macvlan, [['AttachSandbox', { sandbox: 's6', networks: [{ network: 'lan' }, { network: 'stub' }] }]]),
];

const changes: Phase = [
  [
    'UpdateEndpoint',
    {
      network: 'web',
      endpoint: 's1',
      aliases: ['shop'],
      ports: [{ hostAddress: '0.0.0.0', hostPort: 18081, port: 80 }],
    },
  ],
  ['UpdateNetwork', { network: 'web', labels: { tier: 'front' }, dns: { search: ['example.com'] } }],
  ['MoveSandbox', { sandbox: 's2', from: 'back', to: { network: 'ovl' } }],
  ['LeaveEndpoint', { network: 'ovl', endpoint: 'o1' }],
  [
    'JoinEndpoint',
    { network: 'ovl', endpoint: 'o1', sandbox: 's3', extraHosts: [{ name: 'db', address: '10.60.0.9' }] },
  ],
];

const leavesOf = ({ macvlan, esp }: Features): Phase => [
  ...['s1', 's2', 's4', 's5', ...(macvlan ? ['s6'] : []), ...(esp ? ['s7'] : [])].map(
    (sandbox): Step => ['DetachSandbox', { sandbox }],
  ),
  ['DetachSandbox', { sandbox: 'f1' }, 'h2'],
  ['LeaveEndpoint', { network: 'ovl', endpoint: 'o1' }],
  ['DeleteEndpoint', { network: 'ovl', endpoint: 'o1' }],
];

const deletionsOf = (networks: Phase): Phase =>
  networks.map(([, data]) => ['DeleteNetwork', { network: (data as CommandInput<'CreateNetwork'>).name }]);

/** Sends a phase and waits until all of it has succeeded. */
export const play = async (log: LogRecord, phase: Phase, timeoutMs: number): Promise<void> => {
  const sent: [id: string, what: string][] = [];
  for (const [type, data, host] of phase) {
    sent.push([await log.send(type, data as CommandInput<CommandType>, host), `${type} ${JSON.stringify(data)}`]);
  }
  await log.ended(
    sent.map(([id]) => id),
    timeoutMs,
  );
  const failed = sent.flatMap(([id, what]) => {
    const ending = log.endingOf(id);
    return ending?.status === 'succeeded' ? [] : [`${what}: ${ending?.status} ${ending?.text}`];
  });
  assert.deepEqual(failed, [], 'commands that did not succeed');
};

const keyOf = (place: Place, sandbox: string): string => `${place.runDir('h1')}/netns/${sandbox}`;

/** Sandboxes reach what they should: the gateway, and the one on the other host. */
export const assertReach = async (place: Place, log: LogRecord, timeoutMs: number): Promise<void> => {
  const far = [...log.on('h2').endpoints.values()].find(({ facts }) => facts.name === 'f1');
  const address = far?.facts.ipv4?.split('/')[0] ?? '';
  const probes = [
    ['s1', '10.50.0.1'],
    ['s3', address],
  ] as const;
  for (const [sandbox, to] of probes)
    await waitFor(() => succeedsIn(keyOf(place, sandbox), `ping -c1 -W1 ${to}`), {
      what: `${sandbox} to reach ${to}`,
      timeoutMs,
    });
  assert.match(shIn(keyOf(place, 's1'), 'ip -br address show eth0'), /10\.50\.0\.10\/24/);
};

/** Until the endpoint that nobody joins is collected. */
const collected = (log: LogRecord, timeoutMs: number): Promise<void> =>
  waitFor(() => ![...log.state.endpoints.values()].some(({ facts }) => facts.name === 'left'), {
    what: 'the endpoint without a sandbox to be collected',
    timeoutMs,
  });

export interface Round {
  readonly place: Place;
  readonly log: LogRecord;
  /** How long each wait may take. */
  readonly timeoutMs: number;
  /** While everything is there. */
  readonly meanwhile: () => Promise<void>;
}

/** From nothing to nothing. */
export const playRound = async ({ place, log, timeoutMs, meanwhile }: Round): Promise<void> => {
  const features = featuresOf(log);
  const networks = networksOf(features);
  await play(log, networks, timeoutMs);
  await play(log, attachesOf(features, place.brought), timeoutMs);
  await play(log, changes, timeoutMs);
  await assertReach(place, log, timeoutMs);
  await meanwhile();
  await play(log, leavesOf(features), timeoutMs);
  await collected(log, timeoutMs);
  await play(log, deletionsOf(networks), timeoutMs);
  await log.assertQuiet(timeoutMs);
};
