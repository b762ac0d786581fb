/**
 * A host with networks of the bridge driver and sandboxes on them, and hosts outside that are joined to it by veth pairs. The host is
 * the namespace of the test itself. All that is outside has routes to the networks, so that nothing but rules keeps it away from them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { bridgeDriver } from '../../drivers/bridge.ts';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Element, KernelObject } from '../../drivers/objects.ts';
import type { Kernel, KernelFault, Operation, Plan } from '../../drivers/port.ts';
import type { EndpointFacts, NetworkFacts, PublishedPort, SandboxFacts } from '../../events/events.ts';
import * as facts from './driver-facts.ts';
import { create, defaultRoutes, netns, owner, remove } from './kernel-objects.ts';
import { sh, shIn } from './netns.ts';
import { type Address, Talker } from './talker.ts';

/** Network number `at`: bridge `cb<at>`, 10.<at>.0.0/16 and fd00:<at>::/64. */
export const networkFacts = (at: number, changes: Partial<NetworkFacts> = {}): NetworkFacts => ({
  ...facts.network,
  id: String(at),
  name: `n${at}`,
  subnets: [
    { family: 4, subnet: `10.${at}.0.0/16`, range: null, gateway: `10.${at}.0.1`, aux: {}, vni: null, pool: null },
    { family: 6, subnet: `fd00:${at}::/64`, range: null, gateway: `fd00:${at}::1`, aux: {}, vni: null, pool: null },
  ],
  mtu: 1500,
  ...changes,
});

/** Endpoint number `number`, from 2, of network `at`. */
export interface Place {
  readonly at: number;
  readonly number: number;
}

export const address = ({ at, number }: Place, family: 4 | 6): string =>
  family === 4 ? `10.${at}.0.${number}` : `fd00:${at}::${number.toString(16)}`;

const endpointFacts = (place: Place): EndpointFacts => ({
  ...facts.endpoint,
  id: `e${place.at}x${place.number}`,
  networkId: String(place.at),
  ipv4: `${address(place, 4)}/16`,
  ipv6: `${address(place, 6)}/64`,
  mac: `02:42:0a:0${place.at}:00:0${place.number}`,
});

/** An unprivileged port that the talker in each sandbox listens on, and one that nobody publishes. */
export const [servicePort, privatePort] = [80, 81];

export const port = facts.port;

export class Lab {
  readonly runDir = mkdtempSync('/run/cnm-test-');
  readonly #networks = new Map<number, NetworkFacts>();
  readonly #talkers = new Map<string, Talker>();
  #kernel: Kernel | null = null;

  get kernel(): Kernel {
    return this.#kernel ?? assert.fail('the lab is not open');
  }

  async open(): Promise<void> {
    this.#kernel = await linuxKernel({ ...owner, runDir: this.runDir });
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
    sh('ip link set lo up');
  }

  path(name: string): string {
    return `${this.runDir}/${name}`;
  }

  async apply(id: string, objects: readonly KernelObject[]): Promise<void> {
    assert.deepEqual(await this.kernel.apply([create(id, objects)]), [{ ok: true }]);
  }

  async remove(id: string, objects: readonly KernelObject[]): Promise<void> {
    assert.deepEqual(await this.kernel.apply([remove(id, objects)]), [{ ok: true }]);
  }

  async change(...operations: readonly Operation[]): Promise<void> {
    assert.deepEqual(await this.kernel.apply([{ id: 'change', operations }]), [{ ok: true }]);
  }

  async refused(plan: Plan): Promise<KernelFault> {
    const [result] = await this.kernel.apply([plan]);
    return result && !result.ok ? result.fault : assert.fail('the plan should fail');
  }

  /** A host outside at 192.0.<at>.2 and 2001:db8:<at>::2; ours is .1 there, on interface `up<at>`. */
  addOutside(name: string, at: number): void {
    const path = this.path(name);
    sh(`touch ${path}; unshare --net=${path} true; ip link add up${at} type veth peer name eth0 netns ${path}`);
    sh(`ip link set up${at} up; ip addr add 192.0.${at}.1/24 dev up${at}`);
    sh(`ip addr add 2001:db8:${at}::1/64 dev up${at} nodad`);
    const addresses = `ip addr add 192.0.${at}.2/24 dev eth0; ip addr add 2001:db8:${at}::2/64 dev eth0 nodad`;
    shIn(path, `ip link set lo up; ip link set eth0 up; ${addresses}`);
    // To everything by way of our host; 127.0.0.1 too, if it dares.
    shIn(path, `ip route add default via 192.0.${at}.1; ip route add default via 2001:db8:${at}::1`);
    this.#talkers.set(name, new Talker(path));
  }

  async addNetwork(at: number, changes: Partial<NetworkFacts> = {}): Promise<readonly KernelObject[]> {
    const network = networkFacts(at, changes);
    this.#networks.set(at, network);
    const { ensure } = bridgeDriver.createNetwork(owner, network);
    await this.apply(network.name, ensure);
    return ensure;
  }

  #network(at: number): NetworkFacts {
    return this.#networks.get(at) ?? assert.fail(`no network ${at}`);
  }

  #sandboxFacts({ at, number }: Place): SandboxFacts {
    return {
      ...facts.sandbox,
      id: `s${at}x${number}`,
      incarnation: `s${at}x${number}`,
      key: this.boxPath({ at, number }),
    };
  }

  boxPath({ at, number }: Place): string {
    return this.path(`s${at}x${number}`);
  }

  /** A sandbox whose talker listens at the service and the private port, for tcp and udp and both families. */
  async addBox(place: Place): Promise<void> {
    const [network, sandbox, key] = [this.#network(place.at), this.#sandboxFacts(place), this.boxPath(place)];
    const endpoint = endpointFacts(place);
    const joinId = `${place.at}x${place.number}`;
    const { ensure } = bridgeDriver.join(owner, { joinId, network, endpoint, sandbox, interface: 'eth0', plug: null });
    const routes = defaultRoutes(sandbox.incarnation, { network: place.at, number: place.number, netns: key });
    await this.apply(`box ${joinId}`, [
      netns(key, sandbox.incarnation),
      ...ensure,
      ...(network.internal ? [] : routes),
    ]);
    const talker = new Talker(key);
    this.#talkers.set(joinId, talker);
    for (const protocol of ['tcp', 'udp'] as const) {
      for (const at of ['0.0.0.0', '::'].slice(protocol === 'udp' ? 0 : 1)) {
        for (const listening of [servicePort, privatePort]) {
          await talker.do({ do: 'listen', name: joinId, protocol, address: at, port: listening });
        }
      }
    }
  }

  /** What publishes the ports of a sandbox, for both families. */
  published(place: Place, ports: readonly PublishedPort[]): readonly Element[] {
    const [network, sandbox, endpoint] = [this.#network(place.at), this.#sandboxFacts(place), endpointFacts(place)];
    return ([4, 6] as const)
      .flatMap((family) => bridgeDriver.publish(owner, { family, sandbox, network, endpoint, ports }))
      .map((object) => (object.kind === 'element' ? object : assert.fail(object.kind)));
  }

  /** The talker of an outside host or of a sandbox (`1x2`); of the host itself for `host`. */
  talker(name: string): Talker {
    const known = this.#talkers.get(name);
    if (known !== undefined) return known;
    assert.equal(name, 'host');
    const talker = new Talker(null);
    this.#talkers.set(name, talker);
    return talker;
  }

  /** What somebody answers (`NAME ADDRESS`, the address is the one that it saw); null when nobody does. */
  ask(from: string, to: Address, timeoutMs = 300): Promise<string | null> {
    return this.talker(from).do({ do: 'ask', timeoutMs, ...to });
  }

  async close(): Promise<void> {
    for (const talker of this.#talkers.values()) await talker.close();
    await this.kernel.close();
    sh(`umount -R ${this.runDir}; rmdir ${this.runDir}`);
  }

  /** The process ends and another one starts; in between `meanwhile` is done. */
  async restart(meanwhile: () => void | Promise<void> = () => undefined): Promise<void> {
    await this.kernel.close();
    await meanwhile();
    await this.open();
  }
}
