/**
 * The kernel in memory, behind the port of drivers/kernel. The machine outlives its kernels, as a real one outlives the processes
 * that drive it; it can be told to fail, to hang, and to hold objects of other people.
 */
import { SOCK } from '../../drivers/kernel/constants.ts';
import { openListener } from '../../drivers/kernel/listener.ts';
import {
  type Element,
  formatTag,
  type KernelObject,
  objectKey,
  type Route,
  type Tag,
  type Veth,
} from '../../drivers/objects.ts';
import type {
  Census,
  Kernel,
  KernelFacts,
  KernelFault,
  Operation,
  Plan,
  PlanResult,
  PortSearch,
} from '../../drivers/port.ts';
import { contains, seen, settings } from './memory-objects.ts';
import { findPort, type Listener, listenerAt } from './memory-ports.ts';

/** BR_PORT_BITS 10, port number 0 unused (net/bridge/br_private.h). */
const portsMax = 1023;

type Failure = Omit<KernelFault, 'step' | 'undoFaults'>;

export interface Failing {
  /** Which operation, counted from 0 over all that this machine is asked to do from now on; or those for which it is true. */
  readonly when: number | ((operation: Operation) => boolean);
  readonly fault?: Partial<Failure>;
  /** What its undoing reports. */
  readonly undoFaults?: readonly string[];
  /** Fails once and no more. */
  readonly once?: boolean;
}

const defaultFault: Failure = { code: 'KERNEL_ERROR', errno: 'EIO', text: 'injected', retryable: false };

const defaultFacts: KernelFacts = {
  kernel: '6.18.0-memory',
  bootId: '00000000-0000-4000-8000-000000000000',
  routes: ['192.168.0.0/24'],
  capabilities: { netAdmin: true, sysAdmin: true, bridge: true, veth: true, nftables: true, netns: true, ipv6: true },
  mtu: 1500,
  underlay: null,
};

class Refused extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.text);
    this.failure = failure;
  }
}

const refuse = (code: KernelFault['code'], text: string, errno = ''): Refused =>
  new Refused({ code, errno, text, retryable: false });

const stepOf = ({ op, object }: Operation): string => `${op} ${objectKey(object)}`;

const sameTag = (a: Tag, b: Tag): boolean => formatTag(a) === formatTag(b);

export class MemoryMachine {
  readonly #objects = new Map<string, KernelObject>();
  readonly #foreign = new Map<string, string>();
  readonly #namespaces = new Set<string>();
  readonly #unreadable = new Set<string>();
  readonly #edits = new Map<string, string>();
  readonly #listeners: Listener[] = [];
  #failings: Failing[] = [];
  #asked = 0;
  #gate: Promise<void> = Promise.resolve();
  facts: KernelFacts = defaultFacts;
  /** Every operation that was carried out or tried, for assertions. */
  readonly log: string[] = [];

  /** All objects of one realm and host, or of all. */
  objects(realm?: string, host?: string): readonly KernelObject[] {
    const all = [...this.#objects.values()];
    return all.filter(({ tag }) => (realm ?? tag.realm) === tag.realm && (host ?? tag.host) === tag.host);
  }

  /** Somebody else's object under a key (`objectKey`): `link br0`, `netns /run/x`. */
  addForeign(key: string, label = ''): void {
    this.#foreign.set(key, label);
  }

  removeForeign(key: string): void {
    this.#foreign.delete(key);
  }

  get foreign(): readonly string[] {
    return [...this.#foreign.keys()];
  }

  /** A namespace that a runtime made. */
  addNamespace(path: string): void {
    this.#namespaces.add(path);
  }

  removeNamespace(path: string): void {
    this.#namespaces.delete(path);
    this.#dropInside(path);
  }

  hasNamespace(path: string): boolean {
    return this.#namespaces.has(path);
  }

  /** Makes what is in a namespace unreadable, or readable again. */
  setUnreadable(path: string, unreadable: boolean): void {
    if (unreadable) this.#unreadable.add(path);
    else this.#unreadable.delete(path);
  }

  /** A file as it is: what its user made of it, or what it was told to be. */
  fileContent(path: string): string | null {
    const object = this.#objects.get(`file ${path}`);
    return object?.kind === 'file' ? (this.#edits.get(path) ?? object.content) : null;
  }

  /** Its user changes a file. */
  editFile(path: string, content: string): void {
    this.#edits.set(path, content);
  }

  /** A process of the host that is none of ours begins to listen. */
  addListener(listener: Listener): void {
    this.#listeners.push(listener);
  }

  removeListener(port: number): void {
    const at = this.#listeners.findIndex((listener) => listener.port === port);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  findPort(search: PortSearch): number | null {
    const elements = [...this.#objects.values()].filter((object): object is Element => object.kind === 'element');
    return findPort(search, this.#listeners, elements);
  }

  fail(failing: Failing): void {
    const when = typeof failing.when === 'number' ? failing.when + this.#asked : failing.when;
    this.#failings.push({ ...failing, when });
  }

  /** No more failures. */
  heal(): void {
    this.#failings = [];
  }

  /** Everything waits until the answered function is called. */
  hang(): () => void {
    let release = (): void => undefined;
    this.#gate = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  /** Changes an object behind everybody's back; null removes it. */
  tamper(key: string, object: KernelObject | null): void {
    if (object === null) this.#objects.delete(key);
    else this.#objects.set(key, object);
  }

  get gate(): Promise<void> {
    return this.#gate;
  }

  census(realm: string, host: string): Census {
    const unknown = [...this.#unreadable].map((what) => ({ what, reason: 'not readable' }));
    const hidden = (object: KernelObject): boolean => unknown.some(({ what }) => this.#path(object) === what);
    const links = this.objects(realm, host).filter((object) => object.kind === 'veth' && hidden(object));
    return {
      objects: this.objects(realm, host).flatMap((object) => (hidden(object) ? [] : [seen(object)])),
      unknown: [...unknown, ...links.map((link) => ({ what: objectKey(link), reason: 'not readable' }))],
    };
  }

  #path(object: KernelObject): string {
    return object.kind === 'netns' ? object.path : 'netns' in object ? object.netns : '';
  }

  /** All or nothing. */
  apply(plan: Plan): PlanResult {
    const before = new Map(this.#objects);
    const [namespaces, edits] = [new Set(this.#namespaces), new Map(this.#edits)];
    for (const operation of plan.operations) {
      this.log.push(stepOf(operation));
      const failing = this.#failing(operation);
      try {
        if (failing) throw new Refused({ ...defaultFault, ...failing.fault });
        this.#carryOut(operation);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.#restore(before, namespaces, edits);
        const undoFaults = failing?.undoFaults ?? [];
        return { ok: false, fault: { ...error.failure, step: stepOf(operation), undoFaults } };
      }
    }
    return { ok: true };
  }

  #restore(
    objects: ReadonlyMap<string, KernelObject>,
    namespaces: ReadonlySet<string>,
    edits: ReadonlyMap<string, string>,
  ): void {
    this.#edits.clear();
    for (const [path, content] of edits) this.#edits.set(path, content);
    this.#objects.clear();
    for (const [key, object] of objects) this.#objects.set(key, object);
    this.#namespaces.clear();
    for (const path of namespaces) this.#namespaces.add(path);
  }

  #failing(operation: Operation): Failing | undefined {
    const asked = this.#asked++;
    const failing = this.#failings.find(({ when }) => (typeof when === 'number' ? when === asked : when(operation)));
    if (failing?.once) this.#failings = this.#failings.filter((other) => other !== failing);
    return failing;
  }

  #carryOut(operation: Operation): void {
    const { op, object } = operation;
    const key = objectKey(object);
    const foreign = this.#foreign.get(key);
    if (foreign !== undefined) throw refuse('FOREIGN_OBJECT', `${key} is there and not ours: ${foreign}`);
    const present = this.#objects.get(key);
    if (op === 'delete') {
      if (present && sameTag(present.tag, object.tag)) this.#remove(present);
      return;
    }
    if (op === 'create') this.#checkNew(object);
    const tags = op === 'update' ? [object.tag, operation.from.tag] : [object.tag];
    if (present && !tags.some((tag) => sameTag(tag, present.tag))) {
      throw refuse('FOREIGN_OBJECT', `${key} is there and not ours: ${formatTag(present.tag)}`);
    }
    this.#check(object);
    if (object.kind === 'netns') this.#namespaces.add(object.path);
    this.#objects.set(key, object);
  }

  #check(object: KernelObject): void {
    if (object.kind === 'netns') {
      if (!object.owned && !this.#namespaces.has(object.path)) throw refuse('NETNS_UNUSABLE', `no file ${object.path}`);
      if (object.owned && !this.#objects.has(objectKey(object)) && this.#namespaces.has(object.path)) {
        throw refuse('FOREIGN_OBJECT', `netns ${object.path} is there and not ours`);
      }
    } else if (object.kind === 'veth') this.#checkVeth(object);
    else if (object.kind === 'route') this.#checkRoute(object);
    else if (object.kind === 'resolver' && !this.#namespaces.has(object.netns)) {
      throw refuse('NETNS_UNUSABLE', `no file ${object.netns}`);
    }
  }

  /** What matters to an object that is not there yet. */
  #checkNew(object: KernelObject): void {
    const present = this.#objects.get(objectKey(object));
    if (object.kind === 'route' && present?.kind === 'route' && present.device !== object.device) {
      const text = `${object.destination} in ${object.netns} leads over ${present.device} already`;
      throw refuse('KERNEL_ERROR', text, 'EEXIST');
    }
    if (present) return;
    if (object.kind === 'veth') {
      for (const [key, value] of Object.entries(object.birth.sysctls)) {
        const name = key.replace('IFNAME', object.peer.name);
        if (!settings.test(key))
          throw refuse('KERNEL_ERROR', `${name} = ${value}: no such file or directory`, 'ENOENT');
        if (!/^-?\d+$/.test(value)) throw refuse('KERNEL_ERROR', `${name} = ${value}: invalid argument`, 'EINVAL');
      }
    }
    const listener = object.kind === 'element' ? listenerAt(this.#listeners, object) : undefined;
    if (listener) {
      const { protocol, address, port, holder } = listener;
      const place = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
      throw refuse('PORT_IN_USE', `${protocol} ${place} is held by ${holder}`);
    }
  }

  #checkRoute(route: Route): void {
    if (!this.#namespaces.has(route.netns)) throw refuse('NETNS_UNUSABLE', `no file ${route.netns}`);
    const veth = this.#veths().find(({ netns, peer }) => netns === route.netns && peer.name === route.device);
    if (!veth) throw refuse('KERNEL_ERROR', `no interface ${route.device}`, 'ENODEV');
    if (route.gateway !== '' && !veth.peer.addresses.some((cidr) => contains(cidr, route.gateway))) {
      throw refuse('KERNEL_ERROR', 'Nexthop has invalid gateway', 'ENETUNREACH');
    }
  }

  #checkVeth(veth: Veth): void {
    if (!this.#namespaces.has(veth.netns)) throw refuse('NETNS_UNUSABLE', `no file ${veth.netns}`);
    const bridge = this.#objects.get(`link ${veth.bridge}`);
    if (bridge?.kind !== 'bridge') throw refuse('KERNEL_ERROR', `no bridge ${veth.bridge}`, 'ENODEV');
    const others = this.#veths().filter(({ name }) => name !== veth.name);
    if (others.some(({ netns, peer }) => netns === veth.netns && peer.name === veth.peer.name)) {
      throw refuse('FOREIGN_OBJECT', `veth ${veth.peer.name} in ${veth.netns} is there and not ours`);
    }
    if (others.filter((other) => other.bridge === veth.bridge).length >= portsMax) {
      throw refuse('BRIDGE_FULL', `bridge ${veth.bridge} has no free port`, 'EXFULL');
    }
  }

  #veths(): readonly Veth[] {
    return [...this.#objects.values()].filter((object): object is Veth => object.kind === 'veth');
  }

  #remove(object: KernelObject): void {
    this.#objects.delete(objectKey(object));
    if (object.kind === 'file') this.#edits.delete(object.path);
    if (object.kind === 'netns' && object.owned) {
      this.#namespaces.delete(object.path);
      this.#dropInside(object.path);
    } else if (object.kind === 'veth') this.#dropRoutes(object);
    else if (object.kind === 'bridge') {
      for (const veth of this.#veths()) {
        if (veth.bridge === object.name) this.#objects.set(objectKey(veth), { ...veth, bridge: '' });
      }
    }
  }

  #dropRoutes({ netns, peer }: Veth): void {
    for (const object of this.#objects.values()) {
      if (object.kind === 'route' && object.netns === netns && object.device === peer.name) {
        this.#objects.delete(objectKey(object));
      }
    }
  }

  /** A namespace takes along what is in it. */
  #dropInside(path: string): void {
    for (const object of this.#objects.values()) {
      if ('netns' in object && object.netns === path) {
        this.#objects.delete(objectKey(object));
      }
    }
  }
}

export interface MemoryKernelOptions {
  readonly realm: string;
  readonly host: string;
}

/** A kernel on a machine. Closing it leaves the machine as it is. */
export const memoryKernel = (machine: MemoryMachine, { realm, host }: MemoryKernelOptions): Kernel => {
  let closed = false;
  const ask = async <T>(answer: () => T): Promise<T> => {
    await machine.gate;
    if (closed) throw new Error('kernel is closed');
    return structuredClone(answer());
  };
  return {
    apply: (plans) => ask(() => plans.map((plan) => machine.apply(structuredClone(plan)))),
    census: () => ask(() => machine.census(realm, host)),
    facts: () => ask(() => machine.facts),
    findPorts: (searches) => ask(() => searches.map((search) => machine.findPort(search))),
    openResolver: (netns) =>
      ask(() => {
        if (!machine.hasNamespace(netns)) {
          const fault = { code: 'NETNS_UNUSABLE', errno: '', text: `no file ${netns}`, retryable: false } as const;
          return { ok: false, fault: { ...fault, step: `open resolver in ${netns}`, undoFaults: [] } };
        }
        // One machine has one loopback: a port of each sandbox's own stands in for a namespace of its own.
        return { ok: true, udp: openListener(SOCK.DGRAM, 0), tcp: openListener(SOCK.STREAM, 0) };
      }),
    settled: () => ask(() => undefined),
    close: async () => {
      closed = true;
    },
  };
};
