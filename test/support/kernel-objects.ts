/** Kernel objects for tests: a network, and sandboxes attached to it. */
import { type Element, type KernelObject, objectKey, type Tag } from '../../drivers/objects.ts';
import type { Operation, Peer, Plan } from '../../drivers/port.ts';

export const owner = { realm: 'test', host: 'h-1' } as const;

export const tag = (entity: Tag['entity'], id: string): Tag => ({ ...owner, entity, id });

const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

export interface NetworkOptions {
  readonly internal?: boolean;
  readonly mtu?: number;
}

const element = (set: Element['set'], key: readonly string[], owned: Tag): Element => ({
  kind: 'element',
  set,
  key,
  data: [],
  tag: owned,
});

/** Network number `at`: bridge `cb<at>`, 10.<at>.0.0/16 and fd00:<at>::/64. */
export const network = (at: number, { internal = false, mtu = 1500 }: NetworkOptions = {}): readonly KernelObject[] => {
  const [name, owned] = [`cb${at}`, tag('network', `n${at}`)];
  const addresses = [`10.${at}.0.1/16`, `fd00:${at}::1/64`];
  const objects: KernelObject[] = [
    { kind: 'bridge', name, mac: `02:42:0a:${hex(at)}:00:01`, mtu, addresses, routed: !internal, tag: owned },
    element('bridges', [name], owned),
    element('own', [name, name], owned),
    element('icc', [name, name], owned),
  ];
  if (internal) objects.push(element('internal', [name], owned));
  return objects;
};

type VxlanObject = Extract<KernelObject, { kind: 'vxlan' }>;

/** The tunnel of overlay number `at`: VNI 4096 + `at`, from 10.99.0.1. */
export const vxlan = (at: number, changes: Partial<VxlanObject> = {}): VxlanObject => ({
  kind: 'vxlan',
  name: `cx${at}`,
  bridge: `cb${at}`,
  vni: 4096 + at,
  local: '10.99.0.1',
  port: 4789,
  mtu: 1450,
  tag: tag('network', `n${at}`),
  ...changes,
});

/** What there is of overlay number `at` on a host: a bridge that nothing is routed into, and its tunnel. */
export const overlay = (at: number, changes: Partial<VxlanObject> = {}): readonly KernelObject[] => [
  ...network(at, { internal: true, mtu: 1450 }).map(
    (object): KernelObject => (object.kind === 'bridge' ? { ...object, addresses: [] } : object),
  ),
  vxlan(at, changes),
];

/** Endpoint number `number` of overlay number `at`, on the host with this last byte in its address. */
export const peer = (at: number, number: number, host: number): Peer => {
  const { mac, addresses } = veth({ network: at, number, netns: '' }).peer;
  return { mac, addresses: addresses.map((cidr) => cidr.replace(/\/.*/, '')), vtep: `10.99.0.${host}` };
};

/** The bridge of a network, as the planner knows it. */
export const bridge = (at: number): Extract<KernelObject, { kind: 'bridge' }> => {
  const [first] = network(at);
  if (first?.kind !== 'bridge') throw new Error('a network starts with its bridge');
  return first;
};

export interface JoinOptions {
  readonly network: number;
  /** Number of the endpoint in its network, from 2. */
  readonly number: number;
  readonly netns: string;
  readonly device?: string;
  readonly mtu?: number;
}

type VethObject = Extract<KernelObject, { kind: 'veth' }>;

export const veth = ({ network: at, number, netns, device = 'eth0', mtu = 1500 }: JoinOptions): VethObject => {
  const [third, fourth] = [number >> 8, number & 255];
  const mac = `02:42:0a:${hex(at)}:${hex(third)}:${hex(fourth)}`;
  const addresses = [`10.${at}.${third}.${fourth}/16`, `fd00:${at}::${number.toString(16)}/64`];
  const peer = { name: device, mac, addresses };
  return {
    kind: 'veth',
    name: `cv${at}x${number}`,
    bridge: `cb${at}`,
    mtu,
    netns,
    peer,
    isolated: false,
    birth: { sysctls: {} },
    tag: tag('endpoint', `e${at}x${number}`),
  };
};

type RouteObject = Extract<KernelObject, { kind: 'route' }>;

export const defaultRoutes = (
  sandbox: string,
  { network: at, netns, device = 'eth0' }: JoinOptions,
): readonly RouteObject[] => [
  { kind: 'route', netns, destination: '0.0.0.0/0', gateway: `10.${at}.0.1`, device, tag: tag('sandbox', sandbox) },
  { kind: 'route', netns, destination: '::/0', gateway: `fd00:${at}::1`, device, tag: tag('sandbox', sandbox) },
];

export const netns = (path: string, id: string, owned = true): KernelObject => ({
  kind: 'netns',
  path,
  owned,
  tag: tag('sandbox', id),
});

/** A sandbox of its own with one interface and default routes. */
export const sandbox = (id: string, join: JoinOptions): readonly KernelObject[] => [
  netns(join.netns, id),
  veth(join),
  ...defaultRoutes(id, join),
];

export const create = (id: string, objects: readonly KernelObject[]): Plan => ({
  id,
  operations: objects.map((object): Operation => ({ op: 'create', object })),
});

/** Deletion goes the other way. */
export const remove = (id: string, objects: readonly KernelObject[]): Plan => ({
  id,
  operations: objects.map((object): Operation => ({ op: 'delete', object })).reverse(),
});

/** In the order of their keys, for comparison. */
export const byKey = (objects: readonly KernelObject[]): readonly KernelObject[] =>
  objects.toSorted((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1));
