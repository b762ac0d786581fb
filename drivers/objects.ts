/**
 * The kernel objects that networks, endpoints and sandboxes are made of, as plain data.
 * Drivers answer them, the planner compares them, a `Kernel` makes and removes them.
 */

/** Owner of an object: written into the kernel (link alias, element comment), so that it is known after all local state is lost. */
export interface Tag {
  readonly realm: string;
  readonly host: string;
  readonly entity: 'network' | 'endpoint' | 'sandbox';
  /** The incarnation id of the network, endpoint or sandbox. */
  readonly id: string;
}

/** An address with its prefix length, canonical text: `10.200.0.2/24`, `fd00:1:2:3::2/64`. */
export type Cidr = string;

/** A network namespace, kept alive by a bind mount at `path`. One that a caller brought (`owned: false`) is used and never removed. */
export interface Netns {
  readonly kind: 'netns';
  readonly path: string;
  readonly owned: boolean;
  readonly tag: Tag;
}

/** A bridge in the host's namespace, with the gateway addresses it holds. */
export interface Bridge {
  readonly kind: 'bridge';
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly Cidr[];
  readonly tag: Tag;
}

/** A veth pair: the host end is a port of `bridge`, the peer is born inside the namespace at `netns`. */
export interface Veth {
  readonly kind: 'veth';
  readonly name: string;
  readonly bridge: string;
  readonly mtu: number;
  readonly netns: string;
  readonly peer: { readonly name: string; readonly mac: string; readonly addresses: readonly Cidr[] };
  readonly tag: Tag;
}

/** A route inside a sandbox. */
export interface Route {
  readonly kind: 'route';
  readonly netns: string;
  /** `0.0.0.0/0` and `::/0` are the default routes. */
  readonly destination: Cidr;
  readonly gateway: string;
  /** Name of the interface inside the namespace. */
  readonly device: string;
  readonly tag: Tag;
}

/** One element of a set in our nftables table; `key` is a list of interface names. */
export interface Element {
  readonly kind: 'element';
  readonly set: 'bridges' | 'internal' | 'own';
  readonly key: readonly string[];
  readonly tag: Tag;
}

export type KernelObject = Netns | Bridge | Veth | Route | Element;

/** Identity of an object on one host: two objects with one key are the same object in two states. */
export const objectKey = (object: KernelObject): string => {
  switch (object.kind) {
    case 'netns':
      return `netns ${object.path}`;
    case 'bridge':
    case 'veth':
      return `link ${object.name}`;
    case 'route':
      return `route ${object.netns} ${object.destination}`;
    case 'element':
      return `element ${object.set} ${object.key.join(' . ')}`;
    default:
      return object satisfies never;
  }
};

/** A tag as it is written into the kernel: at most 128 bytes, the limit of an nftables comment (libnftnl udata.h). */
export const formatTag = (tag: Tag): string => `cnm:${tag.realm}:${tag.host}:${tag.entity[0]}:${tag.id}`;

const entities = { n: 'network', e: 'endpoint', s: 'sandbox' } as const;

/** The tag that a text carries, or null when it is not one of ours. */
export const parseTag = (text: string): Tag | null => {
  const match = /^cnm:([^:]+):([^:]+):([nes]):([0-9a-z]+)$/.exec(text);
  if (!match) return null;
  const [, realm = '', host = '', letter = '', id = ''] = match;
  return { realm, host, entity: entities[letter as keyof typeof entities], id };
};
