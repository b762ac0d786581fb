/** What clients ask for: commands over few names, so that they meet. */
import type { CommandInput, CommandType } from '../../events/commands.ts';
import type { Wish } from './client.ts';
import type { Dice } from './dice.ts';

/** `far` and `wide` are on all hosts, the others on one. */
const networks = ['one', 'two', 'inner', 'six', 'far', 'wide'] as const;
type Network = (typeof networks)[number];
const endpoints = ['e', 'f'];
const sandboxes = ['s1', 's2', 's3'];
const brought = ['/run/netns/brought1', '/run/netns/brought2'];
export const broughtNamespaces: readonly string[] = brought;

const weights = {
  createNetwork: 4,
  deleteNetwork: 1,
  prune: 0.3,
  updateNetwork: 1,
  createEndpoint: 3,
  deleteEndpoint: 1.5,
  updateEndpoint: 2,
  join: 5,
  leave: 3,
  attach: 6,
  detach: 4,
  move: 3,
  configure: 0.2,
} as const;
type Kind = keyof typeof weights;

const gc = (dice: Dice): { readonly gc?: number | 'off' } =>
  dice.chance(0.4) ? { gc: dice.pick([2_000, 8_000, 'off' as const]) } : {};

/** Small numbers, so that they clash; none is for the host to choose. */
const ports = (dice: Dice) =>
  dice.chance(0.3) ? [dice.chance(0.5) ? { port: 80 } : { hostPort: dice.pick([80, 81, 82]), port: 80 }] : [];

const networkData = (dice: Dice, name: Network): CommandInput<'CreateNetwork'> => ({
  name,
  driver: name === 'far' || name === 'wide' ? 'overlay' : 'bridge',
  ipv6: name === 'six',
  internal: name === 'inner',
  ...gc(dice),
});

const inside = (dice: Dice) => (dice.chance(0.12) ? { netns: dice.pick(brought) } : {});

const dataOf = (dice: Dice, kind: Kind): { readonly type: CommandType; readonly data: object } => {
  const network = dice.pick(networks);
  const endpoint = dice.pick(endpoints);
  const sandbox = dice.pick(sandboxes);
  switch (kind) {
    case 'createNetwork':
      return { type: 'CreateNetwork', data: networkData(dice, network) };
    case 'deleteNetwork':
      return { type: 'DeleteNetwork', data: { network } };
    case 'prune':
      return { type: 'PruneNetworks', data: {} };
    case 'updateNetwork':
      return {
        type: 'UpdateNetwork',
        data: { network, options: { 'com.docker.network.driver.mtu': String(1400 + dice.below(3)) } },
      };
    case 'createEndpoint':
      return { type: 'CreateEndpoint', data: { network, name: endpoint, ports: ports(dice), ...gc(dice) } };
    case 'deleteEndpoint':
      return { type: 'DeleteEndpoint', data: { network, endpoint } };
    case 'updateEndpoint': {
      const data = { network, endpoint: dice.pick([...endpoints, ...sandboxes]), ports: ports(dice), disrupt: true };
      return { type: 'UpdateEndpoint', data: { ...data, gatewayPriority: dice.below(3) } };
    }
    case 'join':
      return { type: 'JoinEndpoint', data: { network, endpoint, sandbox, ...inside(dice) } };
    case 'leave':
      return { type: 'LeaveEndpoint', data: { network, endpoint: dice.pick([...endpoints, ...sandboxes]) } };
    case 'attach': {
      const some = dice.some(networks).map((name) => ({ network: name }));
      return { type: 'AttachSandbox', data: { sandbox, networks: some, ports: ports(dice), ...inside(dice) } };
    }
    case 'detach':
      return { type: 'DetachSandbox', data: { sandbox } };
    case 'move':
      return {
        type: 'MoveSandbox',
        data: { sandbox, from: network, to: { network: dice.pick(networks), ports: ports(dice) } },
      };
    case 'configure':
      return { type: 'ConfigureDriver', data: { driver: 'bridge', options: {} } };
    default:
      return kind satisfies never;
  }
};

/** Mostly for the host that it is meant for, at times for whichever fits. */
export const wish = (dice: Dice, hosts: readonly string[]): Wish => {
  const { type, data } = dataOf(dice, dice.weighed(weights));
  const host = dice.chance(0.85) ? dice.pick(hosts) : null;
  const deadline = dice.chance(0.2) ? { deadlineMs: dice.pick([1, 500, 3_000]) } : {};
  const start = dice.chance(0.05) ? { startWithinMs: dice.pick([1, 2_000]) } : {};
  return { type, data, host, ...deadline, ...start } as Wish;
};

/** The networks that everything else happens in. */
export const foundations = (hosts: readonly string[]): readonly Wish[] => {
  const still = { chance: () => false } as unknown as Dice;
  const own = hosts.flatMap((host) =>
    networks.slice(0, 4).map((name) => ({ type: 'CreateNetwork' as const, data: networkData(still, name), host })),
  );
  const wide = networks.slice(4).map((name) => ({
    type: 'CreateNetwork' as const,
    data: networkData(still, name),
    host: null,
  }));
  return [...own, ...wide];
};
