/**
 * Networks that are a plugin's, or whose addresses one gives: which call of it is due when. Units wait for their answers without
 * holding up any other; what a plugin decides is settled before it is acted on, and taken back with the unit. All of it is in memory:
 * what is settled stands in the log, and what is not is asked again after a start, behind what takes it back.
 */
import { cutsShort } from '../../events/cut-short.ts';
import { type Event, isRevertible, needsExecution } from '../../events/envelope.ts';
import {
  type EventData,
  type Fault,
  isFailure,
  isTerminal,
  type NetworkFacts,
  type SandboxFacts,
} from '../../events/events.ts';
import { type BoundaryState, commandKey } from '../../events/state.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Stream } from '../lib/stream.ts';
import type { Plugins } from '../plugins/plugins.ts';
import { Carrying } from './carrying.ts';
import { Following, leavesFirst, makes } from './consulting-following.ts';
import { prepareNetwork } from './consulting-network.ts';
import { type Desk, lendAgain, prepareEndpoint, prepareJoin, type Run } from './consulting-steps.ts';
import type { Course } from './course.ts';
import { Discovering } from './discovering.ts';
import { isForeign, networkIdOf } from './gone.ts';
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
  /** Called when the unit of an intent need not wait any more. */
  readonly wake: (intent: string) => void;
  readonly onFault: (error: unknown) => void;
}

/** A unit whose plugins are being asked, or have answered. */
interface Active {
  readonly run: Run;
  readonly controller: AbortController;
  hasEnded: boolean;
  fault: Fault | null;
}

export class Consulting {
  readonly #options: ConsultingOptions;
  readonly #desk: Desk;
  readonly #settling: Settling;
  readonly #partings: Partings;
  readonly #holding: Holding;
  readonly #carrying: Carrying;
  readonly #following: Following;
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
      isHeld: (parting) => this.#holding.isHeld(parting),
      isPlugin: (driver) => !isBuiltIn(driver),
      replayed: (ipam, call) => replaying.replayed(ipam, call),
      open,
    };
    this.#carrying = new Carrying(this.#desk, logger);
    this.#following = new Following({
      desk: this.#desk,
      carrying: this.#carrying,
      holding: this.#holding,
      isApart: (intent) => this.isApart(intent),
      signal: this.#closing.signal,
      onFault: options.onFault,
    });
    const activated = async (name: string): Promise<void> => {
      await Promise.all([this.#partings.activated(name), this.#discovering.activated(name)]);
    };
    plugins.onActivated((name) => void activated(name).catch(options.onFault), this.#closing.signal);
  }

  /** Every event of this host, before it is folded in. */
  note(event: Event): void {
    const { type, data, meta } = event;
    if (type === 'NetworkCreateRequested' && needsExecution(event)) this.#know(data.network);
    if (this.#networks.size === 0) return;
    this.#settling.note(event);
    this.#holding.note(event);
    if (cutsShort(event)) this.#late(commandKey(event.data.actor, event.data.commandId));
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
    const run = this.#active.get(unit.id)?.run;
    if (how === 'done') return this.#following.done(unit, course, run);
    return this.#following.undone(unit, course, run, this.#isInherited(unit)).then(() => null);
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
        const [first] = unit.intents;
        if (!this.isClosed && first) this.#options.wake(first.meta.id);
      })
      .catch(this.#options.onFault);
  }

  async #prepare(unit: Unit, { run, controller: { signal } }: Active): Promise<Fault | null> {
    if (leavesFirst(unit)) await this.#following.leave(unit.intents, run);
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
