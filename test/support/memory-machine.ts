import {
  type Device,
  type Element,
  encryptedPort,
  formatTag,
  type KernelObject,
  objectKey,
  type Vxlan,
} from '../../drivers/objects.ts';
import type {
  AssociationChange,
  Census,
  KernelFacts,
  KernelUse,
  Operation,
  Plan,
  PlanResult,
  PortSearch,
} from '../../drivers/port.ts';
import { stepOf } from '../../drivers/steps.ts';
import { MemoryAssociations } from './memory-associations.ts';
import {
  type Contents,
  checkNew,
  checkObject,
  type Failure,
  hasLink,
  noLink,
  Refused,
  refuse,
  rivals,
  sameTag,
} from './memory-checks.ts';
import { defaultFacts } from './memory-facts.ts';
import { MemoryNotices } from './memory-notices.ts';
import { seen } from './memory-objects.ts';
import { MemoryTunnels } from './memory-peers.ts';
import { findPort, type Listener } from './memory-ports.ts';

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

const wordsOf = ({ op, object }: Operation): string => `${op} ${objectKey(object)}`;

export class MemoryMachine {
  readonly #objects = new Map<string, KernelObject>();
  readonly #foreign = new Map<string, string>();
  readonly #namespaces = new Set<string>();
  readonly #unreadable = new Set<string>();
  readonly #edits = new Map<string, string>();
  readonly #listeners: Listener[] = [];
  /** What its tunnels know of other hosts. */
  readonly tunnels = new MemoryTunnels();
  /** What encrypts its packets. */
  readonly associations = new MemoryAssociations();
  readonly notices = new MemoryNotices();
  #failings: Failing[] = [];
  #asked = 0;
  #gate: Promise<void> = Promise.resolve();
  /** How often plans were handed in, whether they wait or not. */
  begun = 0;
  facts: KernelFacts = defaultFacts;
  /** What is in use of what all networks share. */
  uses: readonly KernelUse[] = [];
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

  /** Names of the interfaces inside a namespace that have no end on the host. */
  linksIn(path: string): readonly string[] {
    const all = [...this.#objects.values()];
    return all.flatMap((object) => (object.kind === 'device' && object.netns === path ? [object.name] : [])).sort();
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
    if (object === null) this.#vanish(key);
    else this.#objects.set(key, object);
  }

  #vanish(key: string): void {
    const object = this.#objects.get(key);
    if (object?.kind === 'vxlan') this.tunnels.remove(object.name);
    this.#objects.delete(key);
  }

  changeAssociations(change: AssociationChange): PlanResult {
    const isGuarded = (object: KernelObject) => object.kind === 'vxlan' && object.port === encryptedPort;
    return this.associations.change(change, this.objects().some(isGuarded));
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
    const tunnels = this.tunnels.save();
    const [namespaces, edits] = [new Set(this.#namespaces), new Map(this.#edits)];
    const foreign = new Map(this.#foreign);
    const missing = (plan.needs ?? []).find((name) => !hasLink(this.#contents, name));
    if (missing !== undefined) {
      const { failure } = noLink(missing);
      return { ok: false, fault: { ...failure, step: `look for interface ${missing}`, undoFaults: [] } };
    }
    for (const operation of plan.operations) {
      this.log.push(wordsOf(operation));
      const failing = this.#failing(operation);
      try {
        if (failing) throw new Refused({ ...defaultFault, ...failing.fault });
        this.#carryOut(operation);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.#restore(before, namespaces, edits);
        this.tunnels.restore(tunnels);
        this.#foreign.clear();
        for (const [key, label] of foreign) this.#foreign.set(key, label);
        const undoFaults = failing?.undoFaults ?? [];
        return { ok: false, fault: { ...error.failure, step: stepOf(operation.op, operation.object), undoFaults } };
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
    if (op === 'create') checkNew(this.#contents, object);
    const tags = op === 'update' ? [object.tag, operation.from.tag] : [object.tag];
    // Several networks may want one: the last has its tag on it.
    const isShared = object.kind === 'vlan' && present?.kind === 'vlan';
    if (present && !isShared && !tags.some((tag) => sameTag(tag, present.tag))) {
      throw refuse('FOREIGN_OBJECT', `${key} is there and not ours: ${formatTag(present.tag)}`);
    }
    checkObject(this.#contents, object);
    if (object.kind === 'vxlan') this.#makeTunnel(object);
    if (object.kind === 'netns') this.#namespaces.add(object.path);
    this.#objects.set(key, object.kind === 'device' ? this.#fetched(object, present) : object);
  }

  /** What comes from the host is there no more; and where it came from stays what it was. */
  #fetched(device: Device, present: KernelObject | undefined): Device {
    if (device.source.type !== 'moved') return device;
    if (present?.kind === 'device') return { ...device, birth: { ...device.birth, link: present.birth.link } };
    this.#foreign.delete(`link ${device.birth.link}`);
    return device;
  }

  get #contents(): Contents {
    return {
      objects: this.#objects,
      foreign: this.#foreign,
      namespaces: this.#namespaces,
      listeners: this.#listeners,
    };
  }

  /** A left-over of ours with its segment makes room for it. */
  #makeTunnel(vxlan: Vxlan): void {
    for (const rival of rivals(this.#contents, vxlan)) this.#remove(rival);
    if (vxlan.port === encryptedPort) this.associations.guarded = true;
    this.tunnels.add(vxlan.name);
  }

  #remove(object: KernelObject): void {
    this.#objects.delete(objectKey(object));
    if (object.kind === 'vxlan') this.tunnels.remove(object.name);
    if (object.kind === 'file') this.#edits.delete(object.path);
    if (object.kind === 'netns' && object.owned) {
      this.#namespaces.delete(object.path);
      this.#dropInside(object.path);
    } else if (object.kind === 'veth') this.#dropRoutes(object.netns, object.peer.name);
    else if (object.kind === 'device') {
      this.#dropRoutes(object.netns, object.name);
      if (object.source.type === 'moved') this.addForeign(`link ${this.#nameAtHome(object)}`);
    } else if (object.kind === 'bridge') {
      for (const port of this.#objects.values()) {
        if ((port.kind === 'veth' || port.kind === 'vxlan') && port.bridge === object.name)
          this.#objects.set(objectKey(port), { ...port, bridge: '' });
      }
    }
  }

  /** Its old name, or one of ours where that is taken. */
  #nameAtHome({ birth, tag }: Device): string {
    const isTaken = this.#foreign.has(`link ${birth.link}`) || this.#objects.has(`link ${birth.link}`);
    return isTaken ? `cn${tag.id}` : birth.link;
  }

  #dropRoutes(netns: string, device: string): void {
    for (const object of this.#objects.values()) {
      if (object.kind === 'route' && object.netns === netns && object.device === device) {
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
