/** What clients ask for: commands over few names, so that they meet. Mostly what can be done, at times anything. */
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { type BoundaryState, networkOf } from '../../events/state.ts';
import type { Wish } from './client.ts';
import type { Dice } from './dice.ts';

/** `far` and `wide` are on all hosts, the others on one. */
const networks = ['one', 'two', 'inner', 'six', 'far', 'wide'] as const;
type Network = (typeof networks)[number];
const endpoints = ['e', 'f', 'g'];
/** Who sends commands. */
export const actors = ['alice', 'bob'];
const owners = ['nomad', 'kubelet'];
const sandboxes = ['s1', 's2', 's3', 's4'];
export const broughtNamespaces: readonly string[] = ['/run/netns/brought1', '/run/netns/brought2'];

const weights = {
  createNetwork: 2,
  deleteNetwork: 1,
  prune: 0.3,
  updateNetwork: 1,
  createEndpoint: 3,
  deleteEndpoint: 1.5,
  updateEndpoint: 3,
  join: 5,
  leave: 3,
  attach: 7,
  detach: 3,
  move: 4,
  configure: 0.2,
  renew: 3,
  restore: 1,
  cancel: 2,
  declareLost: 1,
  quota: 0.7,
} as const;
type Kind = keyof typeof weights;

/** A host, and what is decided about it. */
export interface Known {
  readonly host: string;
  readonly state: BoundaryState;
}

interface Endpoint {
  readonly network: string;
  readonly endpoint: string;
  readonly sandbox: string | null;
}

const endpointsOf = (state: BoundaryState): readonly Endpoint[] =>
  [...state.endpoints.values()].map(({ facts, sandbox }) => ({
    network: networkOf(state, facts.networkId)?.facts.name ?? facts.networkId,
    endpoint: facts.name,
    sandbox: sandbox?.id ?? null,
  }));

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
  ...(dice.chance(0.1) ? { leaseMs: 15_000 } : {}),
});

const inside = (dice: Dice) => (dice.chance(0.12) ? { netns: dice.pick(broughtNamespaces) } : {});

/** Who asked for a sandbox may have to say again and again that it is wanted. */
const lease = (dice: Dice) =>
  dice.chance(0.3)
    ? { leaseMs: dice.pick([2_000, 10_000]), ...(dice.chance(0.5) ? { owner: dice.pick(owners) } : {}) }
    : {};

/** Little enough to be met, and lifted again. */
const limits = (dice: Dice) =>
  dice.chance(0.4) ? null : dice.chance(0.5) ? { endpoints: 1 + dice.below(5) } : { rate: 1 + dice.below(4), burst: 3 };

/** What is to become of it when its host is booted anew. */
const boot = (dice: Dice) =>
  dice.chance(0.4) ? { afterReboot: dice.pick(['recreate' as const, 'release' as const, 12_000]) } : {};

interface Asked {
  readonly type: CommandType;
  readonly data: object;
}

const aboutNetwork = (dice: Dice, kind: Kind, host: string): Asked | null => {
  const network = dice.pick(networks);
  switch (kind) {
    case 'createNetwork':
      return { type: 'CreateNetwork', data: networkData(dice, network) };
    case 'deleteNetwork':
      return { type: 'DeleteNetwork', data: { network } };
    case 'prune':
      return { type: 'PruneNetworks', data: {} };
    case 'updateNetwork': {
      const options = { 'com.docker.network.driver.mtu': String(1400 + dice.below(3)) };
      return { type: 'UpdateNetwork', data: { network, options } };
    }
    case 'cancel':
      // Of a command that the client knows.
      return { type: 'CancelCommand', data: { commandId: '' } };
    case 'quota':
      return { type: 'SetQuota', data: { actor: dice.pick(actors), limits: limits(dice) } };
    case 'declareLost':
      return { type: 'DeclareHostLost', data: { host, reason: 'nobody answers' } };
    case 'configure':
      return { type: 'ConfigureDriver', data: { driver: 'bridge', options: {} } };
    default:
      return null;
  }
};

/** @param fits of the endpoints that there are those that it can be done to; any name at times */
const aboutEndpoint = (dice: Dice, kind: Kind, there: readonly Endpoint[]): Asked => {
  const like = (fits: (endpoint: Endpoint) => boolean): Endpoint => {
    const some = there.filter(fits);
    if (some.length > 0 && dice.chance(0.8)) return dice.pick(some);
    return { network: dice.pick(networks), endpoint: dice.pick(endpoints), sandbox: dice.pick(sandboxes) };
  };
  switch (kind) {
    case 'deleteEndpoint': {
      const { network, endpoint } = like(({ sandbox }) => sandbox === null);
      return { type: 'DeleteEndpoint', data: { network, endpoint } };
    }
    case 'updateEndpoint': {
      const { network, endpoint } = like(() => true);
      const data = { network, endpoint, ports: ports(dice), disrupt: true, gatewayPriority: dice.below(3) };
      return { type: 'UpdateEndpoint', data };
    }
    case 'join': {
      const { network, endpoint } = like(({ sandbox }) => sandbox === null);
      return {
        type: 'JoinEndpoint',
        data: { network, endpoint, sandbox: dice.pick(sandboxes), ...inside(dice), ...lease(dice), ...boot(dice) },
      };
    }
    case 'leave': {
      const { network, endpoint } = like(({ sandbox }) => sandbox !== null);
      return { type: 'LeaveEndpoint', data: { network, endpoint } };
    }
    case 'renew': {
      const sandbox = like((one) => one.sandbox !== null).sandbox ?? '';
      return { type: 'RenewLease', data: { sandbox, ...(dice.chance(0.3) ? { owner: dice.pick(owners) } : {}) } };
    }
    case 'restore':
      return { type: 'RestoreSandbox', data: { sandbox: like((one) => one.sandbox !== null).sandbox ?? '' } };
    case 'detach':
      return { type: 'DetachSandbox', data: { sandbox: like(({ sandbox }) => sandbox !== null).sandbox } };
    case 'move': {
      const { network: from, sandbox } = like((one) => one.sandbox !== null);
      return { type: 'MoveSandbox', data: { sandbox, from, to: { network: dice.pick(networks), ports: ports(dice) } } };
    }
    case 'attach': {
      const some = dice.some(networks).map((network) => ({ network }));
      const data = {
        sandbox: dice.pick(sandboxes),
        networks: some,
        ports: ports(dice),
        ...inside(dice),
        ...lease(dice),
        ...boot(dice),
      };
      return { type: 'AttachSandbox', data };
    }
    default: {
      const data = { network: dice.pick(networks), name: dice.pick(endpoints), ports: ports(dice), ...gc(dice) };
      return { type: 'CreateEndpoint', data };
    }
  }
};

export const wish = (dice: Dice, known: readonly Known[]): Wish => {
  const { host, state } = dice.pick(known);
  const kind = dice.weighed(weights);
  const { type, data } = aboutNetwork(dice, kind, host) ?? aboutEndpoint(dice, kind, endpointsOf(state));
  const deadline = dice.chance(0.15) ? { deadlineMs: dice.pick([1, 500, 3_000]) } : {};
  const start = dice.chance(0.05) ? { startWithinMs: dice.pick([1, 2_000]) } : {};
  return { type, data, host: dice.chance(0.93) ? host : null, ...deadline, ...start } as Wish;
};

/** The networks that everything else happens in. */
export const foundations = (dice: Dice, hosts: readonly string[]): readonly Wish[] => {
  const creating = (name: Network, host: string | null): Wish => ({
    ...{ type: 'CreateNetwork', host },
    data: networkData(dice, name),
  });
  const own = hosts.flatMap((host) => networks.slice(0, 4).map((name) => creating(name, host)));
  return [...own, ...networks.slice(4).map((name) => creating(name, null))];
};
