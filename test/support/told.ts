/** A log that is told event by event, for tests of views: nothing decides, so that it may hold what no decider of today would record. */
import { type Event, eventVersions } from '../../events/envelope.ts';
import {
  decisionTypes,
  type EndpointFacts,
  type EventData,
  type EventType,
  type NetworkFacts,
  type PortBinding,
  type PublishedPort,
  type SandboxFacts,
} from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import { applyCommit, createViews, type Views } from '../../projections/views.ts';
import { fault, startMs } from './world.ts';

const decisions: ReadonlySet<string> = new Set(decisionTypes);
const noDns = { servers: null, search: null, options: null };

export const lease = (hostPort: number, port: number, more: Partial<PublishedPort> = {}): PublishedPort => ({
  protocol: 'tcp',
  hostAddresses: ['127.0.0.1'],
  hostPort,
  choice: null,
  port,
  count: 1,
  ...more,
});

/** What a worker reports of a lease on its first address. */
export const binding = (
  { protocol, hostAddresses, hostPort, port, count }: PublishedPort,
  address: string,
): PortBinding => ({
  protocol,
  hostAddress: hostAddresses[0] ?? '',
  hostPort,
  address,
  port,
  count,
});

/** Events of one host, each a commit of its own. */
export class Told {
  readonly commits: { readonly subject: string; readonly position: number; readonly event: Event }[] = [];
  nowMs = startMs;
  actor = 'alice';
  readonly #joins = new Map<string, SandboxFacts>();
  readonly #networks = new Map<string, string>();

  /** @returns the event's id, which outcomes name as their cause */
  tell<T extends EventType>(type: T, data: EventData<T>, cause?: string, command = `c${this.commits.length}`): string {
    const position = this.commits.length + 1;
    const isDecision = decisions.has(type);
    const id = `event${position}.0`;
    const event = {
      type,
      version: eventVersions[type],
      data,
      meta: {
        ...{ id, source: '/test', subject: 'test', time: new Date(this.nowMs).toISOString(), actor: this.actor },
        ...{ commandid: command, correlationid: command, causationid: cause ?? command },
        ...(isDecision ? { commandtype: 'Told', commandseq: position } : {}),
      },
    } as unknown as Event;
    const subject = isDecision ? subjects.host('h1') : subjects.outcome('h1');
    this.commits.push({ subject, position, event });
    return id;
  }

  views(from = 0, views: Views = createViews()): Views {
    for (const { subject, position, event } of this.commits.slice(from)) applyCommit(views, subject, position, [event]);
    return views;
  }

  network(name: string, more: Partial<NetworkFacts> = {}): string {
    const gateway = `10.${this.#networks.size}.0.1`;
    const intent = this.tell('NetworkCreateRequested', {
      network: {
        ...{ id: `net${name}`, name, driver: 'bridge', ipv4: true, ipv6: false, internal: false },
        ipam: { driver: 'default', options: {}, overlap: false },
        subnets: [
          {
            family: 4,
            subnet: `10.${this.#networks.size}.0.0/24`,
            range: null,
            gateway,
            aux: {},
            vni: null,
            pool: null,
          },
        ],
        ...{ mtu: 1500, options: {}, labels: {}, gc: null, configOnly: false, configFrom: null, dns: noDns },
        ...{ scope: 'host', defaultRoute: 'gateway', outlet: false, tunnel: null, parent: null },
        ...{ owner: null, leaseMs: null, drift: 'repair' },
        ...more,
      },
    });
    this.#networks.set(name, gateway);
    this.tell('NetworkCreated', { networkId: `net${name}`, name }, intent);
    return intent;
  }

  endpoint(network: string, name: string, more: Partial<EndpointFacts> = {}): string {
    return this.tell('EndpointCreateRequested', {
      endpoint: {
        ...{ id: `end${name}`, networkId: `net${network}`, name, ipv4: null, ipv6: null, mac: null },
        ...{ wanted: null, static: false },
        ...{ aliases: [], ports: [], gatewayPriority: 0, interface: null, sysctls: {}, linkLocal: [], routes: [] },
        ...{ links: {}, services: [], options: {}, labels: {}, gc: null, origin: 'endpoint' },
        ...more,
      },
    });
  }

  sandbox(id: string, more: Partial<SandboxFacts> = {}): SandboxFacts {
    const known = this.#joins.get(id);
    if (known) return known;
    const facts: SandboxFacts = {
      ...{ id, incarnation: `box${id}`, key: `/run/${id}`, owned: true, hostname: null, domainname: null },
      ...{
        dns: noDns,
        extraHosts: [],
        ports: [],
        owner: null,
        leaseMs: null,
        afterReboot: 'recreate',
        files: `/run/files/${id}`,
        ...more,
      },
    };
    this.#joins.set(id, facts);
    return facts;
  }

  readonly #of = (network: string, name: string) => ({ endpointId: `end${name}`, networkId: `net${network}`, name });
  readonly #none = { ipv4: null, ipv6: null };

  join(network: string, name: string, sandbox: string, link = 'eth0'): string {
    return this.tell('EndpointJoinRequested', {
      ...this.#of(network, name),
      joinId: `join${name}`,
      sandbox: this.sandbox(sandbox),
      interface: link,
      ...{ ipv4: null, ipv6: null, mac: null, gateways: this.#none },
    });
  }

  joined(
    network: string,
    name: string,
    sandbox: string,
    intent: string,
    ports: PortBinding[] = [],
    routes: EventData<'EndpointJoined'>['routes'] = [],
  ): void {
    const { id, incarnation, key } = this.sandbox(sandbox);
    const at = { ...this.#of(network, name), sandbox: { id, incarnation }, key, interface: 'eth0' };
    this.tell('EndpointJoined', { ...at, ipv4: null, ipv6: null, mac: null, routes, ports, peer: null }, intent);
    this.tell('SandboxCreated', { sandbox: this.sandbox(sandbox) }, intent);
  }

  leave(network: string, name: string, sandbox: string, last = false, index = 0): string {
    return this.tell('EndpointLeaveRequested', {
      ...{ ...this.#of(network, name), joinId: `join${name}`, sandbox: this.sandbox(sandbox), interface: 'eth0', last },
      ...{ gateways: this.#none, before: { index, gateways: this.#none } },
    });
  }

  left(network: string, name: string, sandbox: string, intent: string): void {
    const { id, incarnation } = this.sandbox(sandbox);
    this.tell('EndpointLeft', { ...this.#of(network, name), sandbox: { id, incarnation } }, intent);
  }

  leaveReverted(network: string, name: string, sandbox: string, intent: string, index = 0): void {
    this.tell(
      'EndpointLeaveReverted',
      {
        ...{ ...this.#of(network, name), joinId: `join${name}`, sandbox: this.sandbox(sandbox), interface: 'eth0' },
        ...{ before: { index, gateways: this.#none }, fault: fault() },
      },
      intent,
    );
  }

  update(network: string, name: string, settings: EventData<'EndpointUpdateRequested'>['settings']): string {
    const about = { ...this.#of(network, name), settings, sandbox: null, gateways: this.#none };
    return this.tell('EndpointUpdateRequested', about);
  }

  updated(network: string, name: string, intent: string, ports: PortBinding[] = [], command?: string): void {
    this.tell('EndpointUpdated', { ...this.#of(network, name), ports, peer: null }, intent, command);
  }

  failed(type: 'EndpointCreateFailed' | 'EndpointUpdateFailed', network: string, name: string, intent: string): void {
    this.tell(type, { ...this.#of(network, name), fault: fault() }, intent);
  }
}
