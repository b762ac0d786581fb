/** A kernel that nobody else uses, made to hold what a host held at some moment, and then at the next one. */
import { type Device, type KernelObject, objectKey, type Stub, type Tag, type Vlan } from '../../drivers/objects.ts';
import { diff, printPlan } from '../../drivers/plan.ts';
import type { Kernel, KernelFault, Operation, PeerTable } from '../../drivers/port.ts';
import type { PeerView } from '../../projections/peers.ts';
import { bareAddress } from '../../projections/projection.ts';
import { repairPlans } from '../worker/census.ts';

/** What could not be done, and the kernel's reason. */
export interface Failure {
  readonly operation: Operation;
  readonly fault: KernelFault;
}

export interface Scenery {
  /** What is to be there, at the paths of this place. */
  readonly objects: readonly KernelObject[];
  readonly peers: PeerView;
}

export interface StageOptions {
  readonly kernel: Pick<Kernel, 'apply' | 'setPeers'>;
  readonly realm: string;
  readonly host: string;
}

const ethernetMtu = 1500;
/** The only link of a new namespace. */
const loopback = 'lo';

const standsOnLink = (object: KernelObject): object is Vlan | Device =>
  object.kind === 'vlan' || object.kind === 'device';

const parentOf = (object: Vlan | Device): string | null => {
  if (object.kind === 'vlan') return object.parent;
  return object.source.type === 'moved' ? null : object.source.parent;
};

/** The name of a link in the host's namespace. */
const hostLinkOf = (object: KernelObject): readonly string[] =>
  'name' in object && object.kind !== 'device' ? [object.name] : [];

/** In the place of interfaces that the host had and nobody here makes: links that lead nowhere, of the same names. Pure. */
export const stubsFor = (objects: readonly KernelObject[], owner: Pick<Tag, 'realm' | 'host'>): readonly Stub[] => {
  const made = new Set(objects.flatMap(hostLinkOf));
  const stubs = new Map<string, Stub>();
  const tag: Tag = { realm: owner.realm, host: owner.host, entity: 'network', id: 'replay' };
  for (const object of objects.filter(standsOnLink)) {
    const name = parentOf(object);
    if (name === null || name === loopback || made.has(name)) continue;
    const asked = object.kind === 'device' ? (object.mtu ?? ethernetMtu) : ethernetMtu;
    const mtu = Math.max(asked, stubs.get(name)?.mtu ?? ethernetMtu);
    stubs.set(name, { kind: 'stub', name, mtu, tag });
  }
  return [...stubs.values()];
};

/** `veth cv01 on cb02 ...: KERNEL_ERROR: no interface eth9` */
export const describeFailure = ({ operation, fault }: Failure): string =>
  `${printPlan([operation]).slice('+ '.length)}: ${fault.code}: ${fault.text}`;

export class Stage {
  readonly #options: StageOptions;
  readonly #present = new Map<string, KernelObject>();

  constructor(options: StageOptions) {
    this.#options = options;
  }

  /** What it holds. */
  objects(): readonly KernelObject[] {
    return [...this.#present.values()];
  }

  /** What would have to be done. */
  changes({ objects }: Pick<Scenery, 'objects'>): readonly Operation[] {
    return diff([...stubsFor(objects, this.#options), ...objects], this.objects());
  }

  /** Makes it so; what cannot be is left out, whatever else is meant to be there. */
  async show(scenery: Scenery): Promise<readonly Failure[]> {
    const failures = await this.#apply(this.changes(scenery));
    await this.#tell(scenery.peers);
    return failures;
  }

  async #apply(operations: readonly Operation[]): Promise<readonly Failure[]> {
    const { kernel } = this.#options;
    const plans = repairPlans(operations);
    const results = await kernel.apply(plans);
    const failures: Failure[] = [];
    for (const [index, plan] of plans.entries()) {
      if (results[index]?.ok) this.#note(plan.operations);
      // One by one, so that as much of the place is there as can be.
      else failures.push(...(await this.#tryEach(plan.operations)));
    }
    return failures;
  }

  async #tryEach(operations: readonly Operation[]): Promise<readonly Failure[]> {
    const plans = operations.map((operation, index) => ({ id: `replay/${index}`, operations: [operation] }));
    const results = await this.#options.kernel.apply(plans);
    return operations.flatMap((operation, index): readonly Failure[] => {
      const result = results[index];
      if (result && !result.ok) return [{ operation, fault: result.fault }];
      this.#note([operation]);
      return [];
    });
  }

  #note(operations: readonly Operation[]): void {
    for (const { op, object } of operations) {
      if (op === 'delete') this.#present.delete(objectKey(object));
      else this.#present.set(objectKey(object), object);
    }
  }

  /** Tunnels know whom they knew; nobody is there to be reached. */
  async #tell(peers: PeerView): Promise<void> {
    const tables = this.objects().flatMap((object): readonly PeerTable[] =>
      object.kind === 'vxlan'
        ? [{ tunnel: object.name, bridge: object.bridge, peers: peersOf(peers, object.tag) }]
        : [],
    );
    if (tables.length > 0) await this.#options.kernel.setPeers(tables);
  }
}

const peersOf = (view: PeerView, { id, host: own }: Tag): PeerTable['peers'] =>
  [...view.of(id).values()].flatMap(({ host, mac, ipv4, ipv6 }) => {
    const vtep = host === own ? null : view.underlayOf(host);
    if (vtep === null) return [];
    return [{ mac, vtep, addresses: [ipv4, ipv6].flatMap((cidr) => (cidr === null ? [] : [bareAddress(cidr)])) }];
  });
