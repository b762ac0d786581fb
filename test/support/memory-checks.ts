/** What the kernel in memory refuses, in the words of a real one. */
import {
  type Device,
  formatTag,
  type KernelObject,
  objectKey,
  type Route,
  type Tag,
  type Veth,
  type Vxlan,
} from '../../drivers/objects.ts';
import type { KernelFault } from '../../drivers/port.ts';
import { contains, settings } from './memory-objects.ts';
import { type Listener, listenerAt } from './memory-ports.ts';

/** BR_PORT_BITS 10, port number 0 unused (net/bridge/br_private.h). */
const portsMax = 1023;

export type Failure = Omit<KernelFault, 'step' | 'undoFaults'>;

export class Refused extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.text);
    this.failure = failure;
  }
}

export const refuse = (code: KernelFault['code'], text: string, errno = ''): Refused =>
  new Refused({ code, errno, text, retryable: false });

export const sameTag = (a: Tag, b: Tag): boolean => formatTag(a) === formatTag(b);

/** What is on a machine. */
export interface Contents {
  readonly objects: ReadonlyMap<string, KernelObject>;
  readonly foreign: ReadonlyMap<string, string>;
  readonly namespaces: ReadonlySet<string>;
  readonly listeners: readonly Listener[];
}

export const veths = ({ objects }: Contents): readonly Veth[] =>
  [...objects.values()].filter((object): object is Veth => object.kind === 'veth');

const requireNamespace = ({ namespaces }: Contents, path: string): void => {
  if (!namespaces.has(path)) throw refuse('NETNS_UNUSABLE', `no file ${path}`);
};

const requireBridge = ({ objects }: Contents, name: string): void => {
  if (objects.get(`link ${name}`)?.kind !== 'bridge') throw refuse('KERNEL_ERROR', `no bridge ${name}`, 'ENODEV');
};

export const noLink = (name: string): Refused => refuse('KERNEL_ERROR', `no interface ${name}`, 'ENODEV');

/** Whether the host has such a link, ours or not. */
export const hasLink = ({ objects, foreign }: Contents, name: string): boolean =>
  objects.has(`link ${name}`) || foreign.has(`link ${name}`);

const requireLink = (contents: Contents, name: string): void => {
  if (!hasLink(contents, name)) throw noLink(name);
};

/** Those of an interface inside a namespace, if there is one. */
const addressesOf = (contents: Contents, netns: string, name: string): readonly string[] | undefined => {
  const device = contents.objects.get(`device ${netns} ${name}`);
  if (device?.kind === 'device') return device.addresses;
  return veths(contents).find((veth) => veth.netns === netns && veth.peer.name === name)?.peer.addresses;
};

const checkRoute = (contents: Contents, route: Route): void => {
  requireNamespace(contents, route.netns);
  const addresses = addressesOf(contents, route.netns, route.device);
  if (!addresses) throw refuse('KERNEL_ERROR', `no interface ${route.device}`, 'ENODEV');
  if (route.gateway !== '' && !addresses.some((cidr) => contains(cidr, route.gateway))) {
    throw refuse('KERNEL_ERROR', 'Nexthop has invalid gateway', 'ENETUNREACH');
  }
};

const checkVeth = (contents: Contents, veth: Veth): void => {
  requireNamespace(contents, veth.netns);
  requireBridge(contents, veth.bridge);
  const others = veths(contents).filter(({ name }) => name !== veth.name);
  const taken = others.some(({ netns, peer }) => netns === veth.netns && peer.name === veth.peer.name);
  if (taken || contents.objects.has(`device ${veth.netns} ${veth.peer.name}`)) {
    throw refuse('FOREIGN_OBJECT', `veth ${veth.peer.name} in ${veth.netns} is there and not ours`);
  }
  if (others.filter((other) => other.bridge === veth.bridge).length >= portsMax) {
    throw refuse('BRIDGE_FULL', `bridge ${veth.bridge} has no free port`, 'EXFULL');
  }
};

/** Others with the same segment at the same port; a kernel has one in a namespace. */
export const rivals = ({ objects }: Pick<Contents, 'objects'>, vxlan: Vxlan): readonly Vxlan[] =>
  [...objects.values()].filter(
    (object): object is Vxlan =>
      object.kind === 'vxlan' && object.name !== vxlan.name && object.vni === vxlan.vni && object.port === vxlan.port,
  );

const checkVxlan = (contents: Contents, vxlan: Vxlan): void => {
  requireBridge(contents, vxlan.bridge);
  const holder = contents.foreign.get(`vni ${vxlan.vni} ${vxlan.port}`);
  if (holder !== undefined) {
    throw refuse('FOREIGN_OBJECT', `vxlan ${holder} has VNI ${vxlan.vni} at port ${vxlan.port}`, 'EEXIST');
  }
};

const checkDevice = (contents: Contents, device: Device): void => {
  requireNamespace(contents, device.netns);
  if (device.source.type !== 'moved') requireLink(contents, device.source.parent);
  else if (!contents.objects.has(objectKey(device))) {
    const ours = contents.objects.get(`link ${device.birth.link}`);
    if (ours) throw refuse('FOREIGN_OBJECT', `interface ${device.birth.link} is one of ours`);
    requireLink(contents, device.birth.link);
  }
  checkPassthru(contents, device);
  if (veths(contents).some(({ netns, peer }) => netns === device.netns && peer.name === device.name)) {
    throw refuse('FOREIGN_OBJECT', `interface ${device.name} in ${device.netns} is there and not ours`);
  }
};

/** A parent in mode passthru has one. */
const checkPassthru = ({ objects }: Contents, device: Device): void => {
  const { source } = device;
  if (source.type !== 'macvlan') return;
  const others = [...objects.values()].flatMap((one) =>
    one.kind === 'device' && objectKey(one) !== objectKey(device) && one.source.type === 'macvlan' ? [one.source] : [],
  );
  const mine = others.filter(({ parent }) => parent === source.parent);
  if (mine.length === 0 || (source.mode !== 'passthru' && mine.every(({ mode }) => mode !== 'passthru'))) return;
  const text = `interface ${source.parent} takes no macvlan of mode ${source.mode} beside those that it has`;
  throw refuse('KERNEL_ERROR', text, 'EINVAL');
};

/** What matters to an object whether it is there already or not. @throws Refused */
export const checkObject = (contents: Contents, object: KernelObject): void => {
  const { objects, namespaces } = contents;
  if (object.kind === 'netns') {
    if (!object.owned) requireNamespace(contents, object.path);
    else if (!objects.has(objectKey(object)) && namespaces.has(object.path)) {
      throw refuse('FOREIGN_OBJECT', `netns ${object.path} is there and not ours`);
    }
  } else if (object.kind === 'veth') checkVeth(contents, object);
  else if (object.kind === 'vxlan') checkVxlan(contents, object);
  else if (object.kind === 'vlan') requireLink(contents, object.parent);
  else if (object.kind === 'device') checkDevice(contents, object);
  else if (object.kind === 'route') checkRoute(contents, object);
  else if (object.kind === 'resolver') requireNamespace(contents, object.netns);
};

const checkSettings = (sysctls: Readonly<Record<string, string>>, device: string): void => {
  for (const [key, value] of Object.entries(sysctls)) {
    const name = key.replace('IFNAME', device);
    if (!settings.test(key)) throw refuse('SYSCTL_INVALID', `${name} = ${value}: no such file or directory`, 'ENOENT');
    if (!/^-?\d+$/.test(value)) throw refuse('SYSCTL_INVALID', `${name} = ${value}: invalid argument`, 'EINVAL');
  }
};

/** What matters to an object that is not there yet. @throws Refused */
export const checkNew = ({ objects, listeners }: Contents, object: KernelObject): void => {
  const present = objects.get(objectKey(object));
  if (object.kind === 'route' && present?.kind === 'route' && present.device !== object.device) {
    const text = `${object.destination} in ${object.netns} leads over ${present.device} already`;
    throw refuse('KERNEL_ERROR', text, 'EEXIST');
  }
  if (present) return;
  if (object.kind === 'veth') checkSettings(object.birth.sysctls, object.peer.name);
  if (object.kind === 'device') checkSettings(object.birth.sysctls, object.name);
  const listener = object.kind === 'element' ? listenerAt(listeners, object) : undefined;
  if (listener) {
    const { protocol, address, port, holder } = listener;
    const place = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    throw refuse('PORT_IN_USE', `${protocol} ${place} is held by ${holder}`);
  }
};
