/** Histories of several hosts, made from the state tables: decisions that the tables allow, and reports that come in any order, late and twice. */
import { type Event, eventVersions } from '../../events/envelope.ts';
import { type Fact, type Gateways, isIntent, type SandboxFacts } from '../../events/events.ts';
import { evolve } from '../../events/evolve.ts';
import { electGateways } from '../../events/gateways.ts';
import { openLeases } from '../../events/leases.ts';
import { commandId, subjects } from '../../events/names.ts';
import { type BoundaryState, type EndpointRow, initialState, isMoving } from '../../events/state.ts';
import { endpointAnswers, endpointTransitions, networkAnswers, networkTransitions } from '../../events/states.ts';
import { bindingsOf, endpointFacts, ends, networkFacts, pick, portsAt } from './random-facts.ts';
import { fault, hostFacts, outcomeOf, startMs } from './world.ts';

export interface RandomCommit {
  readonly subject: string;
  readonly position: number;
  readonly events: readonly Event[];
}

/** Four numbers from 0 to 1 that decide what happens next: what, to which, how, and how exactly. */
export type Roll = readonly [what: number, which: number, how: number, more: number];

const noDns = { servers: null, search: null, options: null };
const said = { owner: null, leaseMs: 60_000, afterReboot: 'recreate' as const };
const plain = { hostname: null, domainname: null, extraHosts: [], dns: noDns, ...said };
const HOSTS = ['h1', 'h2'];
interface Command {
  readonly actor: string;
  readonly id: string;
  readonly type: string;
}

type Move = (host: string, roll: Roll) => void;

export class RandomHistory {
  readonly commits: RandomCommit[] = [];
  readonly states: ReadonlyMap<string, BoundaryState> = new Map(HOSTS.map((host) => [host, initialState()]));
  private readonly intents = new Map<string, Event[]>(HOSTS.map((host) => [host, []]));
  private serial = 0;
  private nowMs = startMs;
  private readonly moves: readonly Move[] = [
    (host, roll) => this.createNetwork(host, roll),
    (host, roll) => this.deleteNetwork(host, roll),
    (host, roll) => this.createEndpoint(host, roll),
    (host, roll) => this.attach(host, roll),
    (host, roll) => this.join(host, roll),
    (host, roll) => this.join(host, roll),
    (host, roll) => this.leave(host, roll),
    (host, roll) => this.detach(host, roll),
    (host, roll) => this.deleteEndpoint(host, roll),
    (host, roll) => this.move(host, roll),
    (host, roll) => this.updateEndpoint(host, roll),
    (host, roll) => this.updateNetwork(host, roll),
    (host, roll) => this.lease(host, roll),
    (host, roll) => this.suspect(host, roll),
    (host, roll) => this.speak(host, roll),
    (host, roll) => this.refuse(host, roll),
    (host, roll) => this.timeOut(host, roll),
    (host, roll) => this.configure(host, roll),
    (host, roll) => this.reportSandbox(host, roll),
    ...Array.from({ length: 12 }, (): Move => (host, roll) => this.report(host, roll)),
  ];

  constructor() {
    const opening: Fact = { type: 'RealmOpened', data: { realm: 'test', epoch: this.newId() } };
    this.append(subjects.realm, null, [this.event(opening, {})]);
    for (const host of HOSTS) this.speak(host, [0, 0, 1, 0]);
  }

  /** One more commit, or none where the roll asks for what no state allows. */
  roll(roll: Roll): void {
    const [what, which] = roll;
    this.nowMs += Math.floor(which * 20_000_000);
    const host = which * 7 - Math.floor(which * 7) < 0.7 ? 'h1' : 'h2';
    pick(this.moves, what)?.(host, roll);
  }

  private newId(): string {
    this.serial += 1;
    return this.serial.toString(36).padStart(12, '0');
  }

  private state(host: string): BoundaryState {
    const state = this.states.get(host);
    if (!state) throw new Error(`no host ${host}`);
    return state;
  }

  private event(fact: Fact, more: Partial<Event['meta']>): Event {
    const meta = {
      id: `${this.newId()}.0`,
      source: '/cnm/test',
      subject: 'test/1',
      time: new Date(this.nowMs).toISOString(),
      actor: '',
      commandid: '',
      correlationid: '',
      causationid: '',
      ...more,
    };
    return { ...fact, version: eventVersions[fact.type], meta } as Event;
  }

  private append(subject: string, host: string | null, events: readonly Event[]): void {
    if (events.length === 0) return;
    const position = this.commits.length + 1;
    this.commits.push({ subject, position, events });
    if (host === null) return;
    for (const event of events) {
      evolve(this.state(host), event, position);
      if (isIntent(event.type)) this.intents.get(host)?.push(event);
    }
  }

  private command(type: string): Command {
    return { actor: this.serial % 3 === 0 ? 'bob' : 'alice', id: commandId(this.nowMs, this.newId()), type };
  }

  private decide(host: string, type: string, facts: readonly Fact[]): void {
    const { actor, id } = this.command(type);
    const common = { actor, commandid: id, correlationid: id, causationid: id, commandtype: type };
    const decided = { ...common, commandseq: this.serial, commanddigest: 'd' };
    const events = facts.map((fact) =>
      this.event(fact, isIntent(fact.type) ? { ...decided, executors: host, deadline: 'later' } : decided),
    );
    this.append(subjects.host(host), host, events);
  }

  private say(host: string, said: readonly { readonly fact: Fact; readonly intent: Event | null }[]): void {
    const events = said.map(({ fact, intent }) => {
      const { actor = '', commandid = '', correlationid = '', id = '' } = intent?.meta ?? {};
      return this.event(fact, { actor, commandid, correlationid, causationid: id });
    });
    this.append(subjects.outcome(host), host, events);
  }

  private createNetwork(host: string, roll: Roll): void {
    const network = networkFacts(this.newId(), this.serial, roll);
    this.decide(host, 'CreateNetwork', [{ type: 'NetworkCreateRequested', data: { network } }]);
  }

  private deleteNetwork(host: string, [, which]: Roll): void {
    const rows = [...this.state(host).networks.values()];
    const row = pick(
      rows.filter(({ status }) => 'NetworkDeleteRequested' in networkTransitions[status]),
      which,
    );
    if (!row) return;
    const data = { networkId: row.facts.id, name: row.facts.name };
    this.decide(host, 'DeleteNetwork', [{ type: 'NetworkDeleteRequested', data }]);
  }

  private endpointFact(host: string, roll: Roll): Extract<Fact, { type: 'EndpointCreateRequested' }> {
    const networks = [...this.state(host).networks.values()];
    const networkId = pick(networks, roll[1])?.facts.id ?? 'networkgone00';
    const endpoint = endpointFacts(this.newId(), this.serial, networkId, roll);
    return { type: 'EndpointCreateRequested', data: { endpoint } };
  }

  private createEndpoint(host: string, roll: Roll): void {
    this.decide(host, 'CreateEndpoint', [this.endpointFact(host, roll)]);
  }

  private joinFact(host: string, facts: EndpointRow['facts'], how: number): Fact {
    const state = this.state(host);
    const id = pick(['web', 'db', 'job'], how) ?? 'web';
    // A sandbox that is not ours to make comes again as the same incarnation, even while it is being removed.
    const removing = [...state.sandboxes.values()].find(
      (row) => row.facts.id === id && how * 10 - Math.floor(how * 10) < 0.3,
    );
    const known = state.sandboxes.get(state.sandboxIds.get(id) ?? '') ?? removing;
    const incarnation = known?.facts.incarnation ?? this.newId();
    const sandbox = known?.facts ?? {
      ...{ id, incarnation, key: `/run/${incarnation}`, owned: true },
      ...{ ...plain, ports: portsAt(this.serial, how), files: null },
    };
    return this.joinInto(host, facts, sandbox);
  }

  private joinInto(host: string, facts: EndpointRow['facts'], sandbox: SandboxFacts): Fact {
    const joinId = this.newId();
    const about = { endpointId: facts.id, networkId: facts.networkId, name: facts.name };
    const { ipv4, ipv6, mac } = facts;
    const members = this.state(host).sandboxes.get(sandbox.incarnation)?.members ?? [];
    const gateways = this.elect(host, [...members, facts.id], facts);
    return {
      type: 'EndpointJoinRequested',
      data: { ...about, joinId, sandbox, interface: 'eth0', ipv4, ipv6, mac, gateways },
    };
  }

  private attach(host: string, roll: Roll): void {
    const create = this.endpointFact(host, roll);
    this.decide(host, 'AttachSandbox', [create, this.joinFact(host, create.data.endpoint, roll[2])]);
  }

  private endpointIn(host: string, intent: string, which: number): EndpointRow | undefined {
    const rows = [...this.state(host).endpoints.values()];
    return pick(
      rows.filter(({ status }) => intent in endpointTransitions[status]),
      which,
    );
  }

  private join(host: string, [, which, how]: Roll): void {
    const row = this.endpointIn(host, 'EndpointJoinRequested', which);
    if (row) this.decide(host, 'JoinEndpoint', [this.joinFact(host, row.facts, how)]);
  }

  /** Who carries the default routes. @param more an endpoint that is not there yet */
  private elect(host: string, members: readonly string[], more?: EndpointRow['facts']): Gateways {
    const { endpoints, networks } = this.state(host);
    const candidates = members.flatMap((id) => {
      const facts = more?.id === id ? more : endpoints.get(id)?.facts;
      const network = networks.get(facts?.networkId ?? '')?.facts;
      return facts && network ? [{ id, gatewayPriority: facts.gatewayPriority, network }] : [];
    });
    return electGateways(candidates);
  }

  /** @param more an endpoint that joins before in the same command */
  private leaveFact(host: string, { facts, sandbox: membership }: EndpointRow, more?: EndpointRow['facts']): Fact {
    const { id = 'web', incarnation = 'nowhere00000', joinId = 'nojoin000000' } = membership ?? {};
    const row = this.state(host).sandboxes.get(incarnation);
    const members = [...(row?.members ?? []), ...(more ? [more.id] : [])];
    const last = members.every((member) => member === facts.id);
    const sandbox = row?.facts ?? {
      ...{ id, incarnation, key: `/run/${incarnation}`, owned: true },
      ...{ ...plain, ports: [], files: null },
    };
    const about = { endpointId: facts.id, networkId: facts.networkId, name: facts.name };
    const staying = members.filter((member) => member !== facts.id);
    const before = { index: Math.max(0, members.indexOf(facts.id)), gateways: this.elect(host, members, more) };
    const gateways = this.elect(host, staying, more);
    return {
      type: 'EndpointLeaveRequested',
      data: { ...about, joinId, sandbox, interface: null, last, gateways, before },
    };
  }

  /** To another network, in which it is made an endpoint. */
  private move(host: string, roll: Roll): void {
    const [, which, , more] = roll;
    const rows = [...this.state(host).endpoints.values()];
    const row = pick(
      rows.filter(({ status }) => status === 'joining' || status === 'joined'),
      which,
    );
    const sandbox = row && this.state(host).sandboxes.get(row.sandbox?.incarnation ?? '');
    if (!row || !sandbox || isMoving(this.state(host), sandbox)) return;
    const create = this.endpointFact(host, roll);
    const joined = this.joinInto(host, create.data.endpoint, sandbox.facts);
    const gone = more < 0.5 ? [this.deleteFact(row)] : [];
    this.decide(host, 'MoveSandbox', [create, joined, this.leaveFact(host, row, create.data.endpoint), ...gone]);
  }

  private updateEndpoint(host: string, [, which, how]: Roll): void {
    const rows = [...this.state(host).endpoints.values()];
    const row = pick(
      rows.filter(({ status }) => endpointAnswers.UpdateEndpoint[status] === 'accepted'),
      which,
    );
    if (!row) return;
    const { id: endpointId, networkId, name } = row.facts;
    const settings = { aliases: [], ports: portsAt(this.serial, how), gatewayPriority: Math.floor(how * 4) };
    const sandbox = this.state(host).sandboxes.get(row.sandbox?.incarnation ?? '');
    const gateways = this.elect(host, sandbox?.members ?? [], { ...row.facts, ...settings });
    const data = { endpointId, networkId, name, settings, sandbox: sandbox?.facts ?? null, gateways };
    this.decide(host, 'UpdateEndpoint', [{ type: 'EndpointUpdateRequested', data }]);
  }

  private updateNetwork(host: string, [, which, how]: Roll): void {
    const rows = [...this.state(host).networks.values()];
    const open = rows.filter(({ status }) => networkAnswers.UpdateNetwork[status] === 'accepted');
    const row = pick(open, which);
    if (!row) return;
    const labels = { tier: String(Math.floor(how * 3)) };
    const settings = { labels, mtu: 1400, dns: noDns, options: {}, drift: 'report' as const };
    const { id: networkId, name } = row.facts;
    this.decide(host, 'UpdateNetwork', [{ type: 'NetworkUpdateRequested', data: { networkId, name, settings } }]);
  }

  /** A host port for something that an open intent waits for. */
  private lease(host: string, [, which]: Roll): void {
    const state = this.state(host);
    const open = [...state.intents.values()].flatMap((intent) =>
      openLeases(state, intent).map(({ holder, index }) => ({ intent: intent.meta.id, holder, index })),
    );
    const one = pick(open, which);
    if (!one) return;
    const { intent, ...port } = one;
    const data = { intent, ports: [{ ...port, hostPort: 30_000 + (this.serial % 10_000) }] };
    this.decide(host, 'LeasePorts', [{ type: 'PortsLeased', data }]);
  }

  private deleteFact({ facts }: EndpointRow): Fact {
    const about = { endpointId: facts.id, networkId: facts.networkId, name: facts.name };
    return { type: 'EndpointDeleteRequested', data: { ...about, cause: 'command', garbage: null } };
  }

  private leave(host: string, [, which]: Roll): void {
    const row = this.endpointIn(host, 'EndpointLeaveRequested', which);
    if (row) this.decide(host, 'LeaveEndpoint', [this.leaveFact(host, row)]);
  }

  private detach(host: string, [, which]: Roll): void {
    const row = this.endpointIn(host, 'EndpointLeaveRequested', which);
    if (row) this.decide(host, 'DetachSandbox', [this.leaveFact(host, row), this.deleteFact(row)]);
  }

  private deleteEndpoint(host: string, [, which]: Roll): void {
    const row = this.endpointIn(host, 'EndpointDeleteRequested', which);
    if (row) this.decide(host, 'DeleteEndpoint', [this.deleteFact(row)]);
  }

  private suspect(host: string, [, which, how]: Roll): void {
    const leased = how < 0.4 ? ends.lease(this.state(host), which, how) : null;
    const rows = [...this.state(host).endpoints.values()].filter(({ status }) => status === 'created');
    const row = pick(rows, which);
    if (leased) this.decide(host, 'RenewLease', [leased]);
    else if (row) this.decide(host, 'SuspectEndpoint', [ends.suspect(row)]);
  }

  /** A worker states facts, in its epoch or a new one, or is found to be away. */
  private speak(host: string, [, , how]: Roll): void {
    const epoch = this.state(host).facts.get('host')?.epoch ?? 0;
    const data = hostFacts(host, { epoch: how < 0.7 ? epoch + 1 : Math.max(1, epoch) });
    if (how < 0.05 && epoch > 0) this.decide(host, 'DeclareHostLost', [ends.lost(this.state(host), host)]);
    else if (how < 0.3) this.decide(host, 'LapseHost', [{ type: 'HostLapsed', data: { host, epoch, since: 'x' } }]);
    else this.say(host, [{ fact: { type: 'HostFacts', data }, intent: null }]);
  }

  private refuse(host: string, [, which, how]: Roll): void {
    const culprits = [{ kind: 'network', id: pick([...this.state(host).networks.keys()], which) ?? 'none' }];
    const data = { command: 'DeleteNetwork', code: 'NETWORK_HAS_ENDPOINTS', detail: 'd', culprits };
    if (how < 0.7) {
      this.decide(host, 'DeleteNetwork', [{ type: 'CommandRefused', data }]);
      return;
    }
    const { actor, id, type } = this.command('DeleteNetwork');
    const meta = {
      actor,
      commandid: id,
      correlationid: id,
      causationid: id,
      commandtype: type,
      commandseq: this.serial,
    };
    this.append(subjects.realm, null, [this.event({ type: 'CommandRefused', data }, meta)]);
  }

  private timeOut(host: string, [, which, how]: Roll): void {
    const record = pick([...this.state(host).progress.values()], which);
    if (record) this.decide(host, how < 0.5 ? 'ExpireCommand' : 'CancelCommand', [ends.cut(record, how < 0.5)]);
  }

  private configure(host: string, [, , how]: Roll): void {
    const data = { driver: 'bridge', options: { mode: String(how > 0.5) } };
    this.decide(host, 'ConfigureDriver', [{ type: 'DriverConfigureRequested', data }]);
  }

  /** What a worker says of intents: mostly of the oldest unreported ones, several at once, at times of an old one again. */
  private report(host: string, [, which, how, more]: Roll): void {
    const open = [...this.state(host).intents.values()];
    const known = more < 0.15 || open.length === 0 ? (this.intents.get(host) ?? []) : open;
    const first = Math.floor(which * which * known.length);
    const intents = known.slice(first, first + (more > 0.7 ? 3 : 1));
    this.say(
      host,
      intents.map((intent, index) => ({ fact: this.outcome(host, intent, how < 0.25 && index === 0), intent })),
    );
  }

  /** A worker may say things twice, but takes nothing back that it has reported. */
  private outcome(host: string, intent: Event, fails: boolean): Fact {
    const isOver = intent.meta.commandtype === 'MoveSandbox' && !this.state(host).intents.has(intent.meta.id);
    const fact = outcomeOf(intent, fails && !isOver ? fault() : null);
    if (fact.type !== 'EndpointJoined' && fact.type !== 'EndpointUpdated') return fact;
    return { ...fact, data: { ...fact.data, ports: bindingsOf(this.state(host), fact.data.endpointId) } } as Fact;
  }

  private reportSandbox(host: string, [, which, how]: Roll): void {
    const row = pick([...this.state(host).sandboxes.values()], which);
    if (!row) return;
    const type = how < 0.6 ? 'SandboxCreated' : 'SandboxRemoved';
    this.say(host, [{ fact: { type, data: { sandbox: row.facts } }, intent: null }]);
  }
}

/** The history that a list of rolls makes. */
export const historyOf = (rolls: readonly Roll[]): RandomHistory => {
  const history = new RandomHistory();
  for (const roll of rolls) history.roll(roll);
  return history;
};
