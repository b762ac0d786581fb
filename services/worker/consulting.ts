/**
 * Networks that are a plugin's, or whose addresses one gives: which call of it is due when. Units wait for their answers without
 * holding up any other; what a plugin decides is settled before it is acted on, and taken back with the unit. All of it is in memory:
 * what is settled stands in the log, and what is not is asked again after a start, behind what takes it back.
 */
import { type Event, type EventOf, isRevertible, needsExecution } from '../../events/envelope.ts';
import {
  type EventData,
  type Fault,
  isConstructive,
  isFailure,
  isTerminal,
  type NetworkFacts,
  type SandboxFacts,
} from '../../events/events.ts';
import { type BoundaryState, commandKey, networkOf } from '../../events/state.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Stream } from '../lib/stream.ts';
import type { Plugins } from '../plugins/plugins.ts';
import { Carrying } from './carrying.ts';
import { prepareNetwork } from './consulting-network.ts';
import { type Desk, lendAgain, lookAt, prepareEndpoint, prepareJoin, type Run } from './consulting-steps.ts';
import type { Course } from './course.ts';
import { Discovering } from './discovering.ts';
import { deletionOf, endpointParting, inverseOf, isForeign, networkIdOf } from './gone.ts';
import { Holding, isSameSpace } from './holding.ts';
import { settledView } from './inmates.ts';
import { type Parting, Partings } from './parting.ts';
import { Replaying } from './replaying.ts';
import { Settling } from './settling.ts';
import type { Unit } from './units.ts';

export interface ConsultingOptions {
  readonly realm: string;
  readonly host: string;
  readonly state: BoundaryState;
  readonly plugins: Plugins;
  /** Whether a driver is built in. */
  readonly isBuiltIn: (driver: string) => boolean;
  readonly commands: Stream;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of this worker. */
  readonly epoch: () => number;
  /** Makes the namespace of a sandbox, where there is none yet: plugins are told its path. */
  readonly open: (sandbox: SandboxFacts) => Promise<Fault | null>;
  /** Called when a unit need not wait any more. */
  readonly wake: () => void;
  readonly onFault: (error: unknown) => void;
}

/** A unit whose plugins are being asked, or have answered. */
interface Active {
  readonly run: Run;
  readonly controller: AbortController;
  hasEnded: boolean;
  fault: Fault | null;
}

const isLeave = (event: Event): event is EventOf<'EndpointLeaveRequested'> => event.type === 'EndpointLeaveRequested';
const makes = ({ intents }: Unit): boolean => intents.some(({ type }) => isConstructive(type));

/** A move is done or taken back as a whole: whoever leaves in it is spoken of when it is done. */
const leavesFirst = (unit: Unit): boolean => !makes(unit);

const without = (partings: readonly Parting[]): readonly Parting[] => [
  ...new Map(partings.map((parting) => [JSON.stringify(parting), parting])).values(),
];

export class Consulting {
  readonly #options: ConsultingOptions;
  readonly #desk: Desk;
  readonly #settling: Settling;
  readonly #partings: Partings;
  readonly #holding: Holding;
  readonly #carrying: Carrying;
  readonly #discovering: Discovering;
  /** Ids of the networks that plugins have to do with; with none nothing here costs anything. */
  readonly #networks = new Set<string>();
  /** By id of the unit. */
  readonly #active = new Map<string, Active>();
  /** Intents that another worker may have begun. */
  readonly #inherited = new Set<string>();
  readonly #closing = new AbortController();

  constructor(options: ConsultingOptions) {
    this.#options = options;
    const { realm, host, state, plugins, logger, commands, clock, epoch, isBuiltIn, open } = options;
    this.#settling = new Settling({ host, commands, clock, epoch });
    this.#holding = new Holding(state);
    this.#partings = new Partings({ realm, plugins, logger, isOver: (parting) => this.#isOver(parting) });
    const replaying = new Replaying({ state, plugins, logger, signal: this.#closing.signal });
    this.#discovering = new Discovering({ host, plugins, logger });
    this.#desk = {
      realm,
      state,
      plugins,
      settling: this.#settling,
      partings: this.#partings,
      isPlugin: (driver) => !isBuiltIn(driver),
      replayed: (ipam, call) => replaying.replayed(ipam, call),
      open,
    };
    this.#carrying = new Carrying(this.#desk, logger);
    plugins.onActivated((name) => {
      Promise.all([this.#partings.activated(name), this.#discovering.activated(name)]).catch(options.onFault);
    });
  }

  /** Every event of this host, before it is folded in. */
  note(event: Event): void {
    const { type, data, meta } = event;
    if (type === 'NetworkCreateRequested' && needsExecution(event)) this.#know(data.network);
    if (this.#networks.size === 0) return;
    this.#settling.note(event);
    this.#holding.note(event);
    if (type === 'CommandTimedOut') this.#late(commandKey(data.actor, data.commandId));
    const { expired, intents } = this.#options.state;
    const intent = intents.get(meta.causationid);
    // What was done too late is still to be taken back, but for what is done as a whole.
    const isLate = expired.has(meta.causationid) && !isFailure(type) && !(intent && isRevertible(intent));
    if (!isTerminal(type) || isLate) return;
    if (type === 'NetworkDeleted' || type === 'NetworkCreateFailed') this.#networks.delete(data.networkId);
    this.#settling.forget(meta.causationid);
    this.#inherited.delete(meta.causationid);
    this.#active.delete(commandKey(meta.actor, meta.commandid));
  }

  /** A segment begins: its networks, and every host, are as the state and these statements say. */
  opened(hosts: Iterable<EventData<'HostFacts'>>): void {
    for (const { facts } of this.#options.state.networks.values()) this.#know(facts);
    for (const { host, underlay } of hosts) this.#discovering.know(host, underlay?.address);
  }

  #know(network: NetworkFacts): void {
    if (!this.#options.isBuiltIn(network.driver) || isForeign(network)) this.#networks.add(network.id);
  }

  /** An outcome of any host. */
  noteHost(host: string, event: Event): void {
    this.#discovering.note(host, event);
  }

  /** Everything is folded in, and nothing is being executed: what is open was another worker's. */
  begin(): void {
    if (this.#networks.size === 0) return;
    const { state } = this.#options;
    for (const intent of state.intents.values()) if (this.isApart(intent)) this.#inherited.add(intent.meta.id);
    this.#carrying.begin();
  }

  /** Whether an intent waits for plugins: it must hide nobody behind it. */
  isApart(intent: Event): boolean {
    return this.#networks.size > 0 && this.#networks.has(networkIdOf(intent));
  }

  /** Whether plugins have answered for a unit, or will not; else they are being asked from here on. */
  isReady(unit: Unit): boolean {
    if (this.#networks.size === 0) return true;
    const active = this.#active.get(unit.id);
    if (active) return active.hasEnded;
    if (unit.expired || !this.#concerns(unit)) return true;
    this.#begin(unit);
    return false;
  }

  /** Why a unit cannot be executed; null when it can, or may yet. */
  faultOf({ id }: Unit): Fault | null {
    return this.#active.get(id)?.fault ?? null;
  }

  /**
   * What plugins are told when a unit is executed, or taken back, and not yet reported. Null where there is nothing to tell.
   * @returns why it has to be taken back after all
   */
  follow(unit: Unit, course: Course, how: 'done' | 'undone'): Promise<Fault | null> | null {
    if (this.#networks.size === 0) return null;
    const isNear = course.view?.inmates.some(({ network }) => this.#networks.has(network.id)) === true;
    if (!isNear && !this.#concerns(unit)) return null;
    return how === 'done' ? this.#done(unit, course) : this.#undone(unit, course);
  }

  /** Has the plugin make the link of an endpoint again that is joined and has lost it. */
  async lend(endpointId: string): Promise<boolean> {
    const lent = await lendAgain(this.#desk, endpointId, { signal: this.#closing.signal });
    const { state } = this.#options;
    const sandbox = state.sandboxes.get(state.endpoints.get(endpointId)?.sandbox?.incarnation ?? '');
    if (!lent || !sandbox) return false;
    this.#carrying.drop(endpointId);
    await this.#carrying.follow(settledView(state, sandbox), { signal: this.#closing.signal });
    return true;
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Gives up what is being asked. */
  close(): void {
    this.#closing.abort();
    for (const { controller } of this.#active.values()) controller.abort();
  }

  /** What is being asked for a command whose deadline has passed is given up; what is removed is removed all the same. */
  #late(id: string): void {
    const active = this.#active.get(id);
    if (active?.run.options.byMs !== undefined) active.controller.abort();
  }

  #concerns({ intents }: Unit): boolean {
    return intents.some((intent) => this.#networks.has(networkIdOf(intent)));
  }

  #isInherited({ intents }: Unit): boolean {
    return intents.some(({ meta }) => this.#inherited.has(meta.id));
  }

  #begin(unit: Unit): void {
    const controller = new AbortController();
    const deadline = unit.intents.find(({ meta }) => meta.deadline !== undefined)?.meta.deadline;
    // A removal is done however late it is.
    const byMs = makes(unit) && deadline !== undefined ? { byMs: Date.parse(deadline) } : {};
    const joined = unit.intents.flatMap((intent) => {
      if (intent.type !== 'EndpointJoinRequested') return [];
      return this.#settling.isSettled(intent.meta.id, 'join') ? [intent.data.endpointId] : [];
    });
    const run: Run = {
      options: { signal: controller.signal, ...byMs },
      isInherited: this.#isInherited(unit),
      joined: new Set(joined),
      undo: [],
    };
    const active: Active = { run, controller, hasEnded: false, fault: null };
    this.#active.set(unit.id, active);
    this.#prepare(unit, active)
      .then((fault) => {
        active.fault = fault;
        active.hasEnded = true;
        if (!this.isClosed) this.#options.wake();
      })
      .catch(this.#options.onFault);
  }

  async #prepare(unit: Unit, { run, controller: { signal } }: Active): Promise<Fault | null> {
    if (leavesFirst(unit)) await this.#leave(unit.intents.filter(isLeave), run);
    for (const intent of unit.intents) {
      if (signal.aborted) return null;
      const fault = await this.#step(run, intent);
      if (fault && !signal.aborted) return fault;
    }
    return null;
  }

  #step(run: Run, intent: Event): Promise<Fault | null> {
    if (this.isApart(intent)) {
      if (intent.type === 'NetworkCreateRequested') return prepareNetwork(this.#desk, run, intent);
      if (intent.type === 'EndpointCreateRequested') return prepareEndpoint(this.#desk, run, intent);
      if (intent.type === 'EndpointJoinRequested') return prepareJoin(this.#desk, run, intent);
    }
    return Promise.resolve(null);
  }

  /** Endpoints of different plugins at once, so that one that hangs takes no more than its own time. */
  async #leave(leaves: readonly EventOf<'EndpointLeaveRequested'>[], { options }: Pick<Run, 'options'>): Promise<void> {
    const all = leaves.map(async ({ data: { endpointId, networkId } }) => {
      const network = networkOf(this.#options.state, networkId)?.facts;
      if (!network || !this.#desk.isPlugin(network.driver)) return;
      const endpoint = { id: endpointId, networkId };
      const revoked = this.#carrying.drop(endpointId) ? [endpointParting('revoke', network, endpoint)] : [];
      await this.#partings.tell([...revoked, endpointParting('leave', network, endpoint)], options);
    });
    await Promise.all(all);
  }

  async #done(unit: Unit, course: Course): Promise<Fault | null> {
    const options = { signal: this.#closing.signal };
    if (!leavesFirst(unit)) await this.#leave(unit.intents.filter(isLeave), { options });
    const run = this.#active.get(unit.id)?.run;
    const fault = await this.#carrying.follow(course.view, makes(unit) ? (run?.options ?? options) : options);
    if (fault && makes(unit)) return fault;
    const joins = unit.intents
      .filter(({ type }) => type === 'EndpointJoinRequested')
      .filter((join) => this.isApart(join));
    // Nobody waits for what is said, nor for a plugin that does not say it: calls of one endpoint keep their order.
    for (const { data } of joins)
      if ('endpointId' in data) lookAt(this.#desk, data.endpointId, options).catch(this.#options.onFault);
    await this.#gone(unit.intents, options);
    return null;
  }

  /** What is deleted: each alone, since nobody else is concerned. */
  async #gone(intents: readonly Event[], options: Run['options']): Promise<void> {
    this.#holding.ends(intents.filter(({ type }) => /DeleteRequested$/.test(type)));
    await Promise.all(intents.map((intent) => this.#partings.tell(deletionOf(this.#desk, intent), options)));
  }

  async #undone(unit: Unit, course: Course): Promise<Fault | null> {
    const options = { signal: this.#closing.signal };
    const active = this.#active.get(unit.id);
    // Of what another worker had begun nobody knows how far it got.
    const isUnknown = this.#isInherited(unit);
    this.#holding.ends(unit.intents.filter(({ type }) => isConstructive(type)));
    const own = active?.run.undo.splice(0).reverse() ?? [];
    const all = unit.intents.toReversed().flatMap((intent) => inverseOf(this.#desk, intent, isUnknown));
    const revoked = this.#revoked(unit);
    // A plugin that forgot what it gave gives it twice: it is not to be released for who was refused it.
    const due = without([...revoked, ...own, ...all]).filter((parting) => !this.#holding.isHeld(parting));
    await this.#partings.tell(due, options);
    // Of a move: what was not there to return has left all the same.
    const gone = unit.intents.filter(({ data }) => !('endpointId' in data && course.returned.has(data.endpointId)));
    await this.#leave(makes(unit) ? gone.filter(isLeave) : [], { options });
    await this.#gone(gone, options);
    await this.#carrying.follow(course.view, options);
    return null;
  }

  #revoked({ intents }: Unit): readonly Parting[] {
    return intents.flatMap(({ type, data }) => {
      if (type !== 'EndpointJoinRequested' || !this.#carrying.drop(data.endpointId)) return [];
      const network = networkOf(this.#options.state, data.networkId)?.facts;
      return network ? [endpointParting('revoke', network, { id: data.endpointId, networkId: data.networkId })] : [];
    });
  }

  /** Whether a parting that could not be told has been overtaken. */
  #isOver(parting: Parting): boolean {
    const { state } = this.#options;
    if (parting.kind === 'leave' || parting.kind === 'revoke')
      return (state.endpoints.get(parting.endpointId)?.sandbox ?? null) !== null;
    if (this.#holding.isHeld(parting)) return true;
    for (const { run } of this.#active.values()) if (run.undo.some((one) => isSameSpace(one, parting))) return true;
    return false;
  }
}
