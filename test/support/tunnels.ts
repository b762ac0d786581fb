/** Tunnels as `ip` and `bridge` see them: what they lead to, and changes behind our back. */
import type { Peer } from '../../drivers/port.ts';
import { sh } from './netns.ts';

interface Station {
  readonly mac: string;
  readonly dst?: string;
  readonly master?: string;
  readonly flags: readonly string[];
  readonly state: string;
  readonly vlan?: number;
}

interface Neighbour {
  readonly dst: string;
  readonly lladdr?: string;
  readonly state: readonly string[];
}

/** All entries of a tunnel apart from its own hardware address, a line each. */
export const entriesOf = (tunnel: string): readonly string[] => {
  const stations = JSON.parse(sh(`bridge -j fdb show dev ${tunnel}`)) as readonly Station[];
  const neighbours = JSON.parse(sh(`ip -j neigh show dev ${tunnel} nud all`)) as readonly Neighbour[];
  const ways = stations.filter(({ master }) => master === undefined);
  const bridged = stations.filter(({ master, state, vlan }) => master && state !== 'permanent' && vlan === undefined);
  return [
    ...ways.map(({ mac, dst, state }) => `way ${mac} ${dst} ${state}`),
    ...bridged.map(({ mac, flags }) => `station ${mac} ${flags.includes('extern_learn') ? 'ours' : 'learnt'}`),
    ...neighbours
      .filter(({ state }) => !state.includes('NOARP'))
      .map(({ dst, lladdr, state }) => `neighbour ${dst} ${lladdr} ${state.join()}`),
  ].sort();
};

/** The entries that peers should have. */
export const entriesFor = (peers: readonly Peer[]): readonly string[] =>
  peers
    .flatMap(({ mac, addresses, vtep }) => [
      `way ${mac} ${vtep} permanent`,
      `station ${mac} ours`,
      ...addresses.map((address) => `neighbour ${address} ${mac} PERMANENT`),
    ])
    .sort();

/** What a tunnel leads to: peers with both a way and a place on the bridge, and the addresses that lead to them. */
export const peersOf = (tunnel: string): readonly Peer[] => {
  const lines = entriesOf(tunnel).map((line) => line.split(' '));
  const ways = lines.filter(([kind]) => kind === 'way');
  return ways.flatMap(([, mac = '', vtep = '']) => {
    const bridged = lines.some(([kind, other]) => kind === 'station' && other === mac);
    const neighbours = lines.filter(([kind, , other]) => kind === 'neighbour' && other === mac);
    const addresses = neighbours.map(([, address = '']) => address);
    const [four, six] = [
      addresses.filter((text) => !text.includes(':')),
      addresses.filter((text) => text.includes(':')),
    ];
    return bridged ? [{ mac, addresses: [...four, ...six], vtep }] : [];
  });
};

/** One of the entries of a peer goes: which one is said by its number. */
export const losePeer = (tunnel: string, { mac, addresses }: Peer, which = 0): void => {
  const commands = [
    `bridge fdb del ${mac} dev ${tunnel} self`,
    `bridge fdb del ${mac} dev ${tunnel} master`,
    ...addresses.map((address) => `ip neigh del ${address} dev ${tunnel}`),
  ];
  sh(commands[which % commands.length] ?? '');
};

export const addPeer = (tunnel: string, { mac, addresses, vtep }: Peer): void => {
  sh(`bridge fdb add ${mac} dev ${tunnel} self dst ${vtep}; bridge fdb add ${mac} dev ${tunnel} master static`);
  for (const address of addresses) sh(`ip neigh add ${address} dev ${tunnel} lladdr ${mac} nud permanent`);
};
