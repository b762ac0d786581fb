/** What plugins are told when a unit is executed, or taken back, and not yet reported: in Docker's order. */
import type { Event, EventOf } from '../../events/envelope.ts';
import { type Fault, isConstructive } from '../../events/events.ts';
import { networkOf } from '../../events/state.ts';
import type { Carrying } from './carrying.ts';
import { type Desk, lookAt, type Run } from './consulting-steps.ts';
import type { Course } from './course.ts';
import { deletionOf, endpointParting, inverseOf } from './gone.ts';
import type { Holding } from './holding.ts';
import { once, type Parting } from './parting.ts';
import type { Unit } from './units.ts';

export interface FollowingOptions {
  readonly desk: Desk;
  readonly carrying: Carrying;
  readonly holding: Holding;
  /** Whether plugins have to do with what an intent is about. */
  readonly isApart: (intent: Event) => boolean;
  /** Aborted when the worker ends. */
  readonly signal: AbortSignal;
  readonly onFault: (error: unknown) => void;
}

const isLeave = (event: Event): event is EventOf<'EndpointLeaveRequested'> => event.type === 'EndpointLeaveRequested';
export const makes = ({ intents }: Unit): boolean => intents.some(({ type }) => isConstructive(type));

/** A move is done or taken back as a whole: whoever leaves in it is spoken of when it is done. */
export const leavesFirst = (unit: Unit): boolean => !makes(unit);

export class Following {
  readonly #options: FollowingOptions;

  constructor(options: FollowingOptions) {
    this.#options = options;
  }

  /** What leaves: endpoints of different plugins at once, so that one that hangs takes no more than its own time. */
  async leave(intents: readonly Event[], { options }: Pick<Run, 'options'>): Promise<void> {
    const { carrying, desk } = this.#options;
    const all = intents.filter(isLeave).map(async ({ data: { endpointId, networkId } }) => {
      const network = networkOf(desk.state, networkId)?.facts;
      if (!network || !desk.isPlugin(network.driver)) return;
      const endpoint = { id: endpointId, networkId };
      const revoked = carrying.drop(endpointId) ? [endpointParting('revoke', network, endpoint)] : [];
      await desk.partings.tell([...revoked, endpointParting('leave', network, endpoint)], options);
    });
    await Promise.all(all);
  }

  /** @param run of the unit, where plugins were asked for it @returns why it has to be taken back after all */
  async done(unit: Unit, course: Course, run: Run | undefined): Promise<Fault | null> {
    const { carrying, desk, isApart, onFault, signal } = this.#options;
    const options = { signal };
    if (!leavesFirst(unit)) await this.leave(unit.intents, { options });
    const fault = await carrying.follow(course.view, makes(unit) ? (run?.options ?? options) : options);
    if (fault && makes(unit)) return fault;
    const joins = unit.intents.filter(({ type }) => type === 'EndpointJoinRequested').filter(isApart);
    // Nobody waits for what is said, nor for a plugin that does not say it: calls of one endpoint keep their order.
    for (const { data } of joins) if ('endpointId' in data) lookAt(desk, data.endpointId, options).catch(onFault);
    await this.#gone(unit.intents, options);
    return null;
  }

  /** What is deleted: each alone, since nobody else is concerned. */
  async #gone(intents: readonly Event[], options: Run['options']): Promise<void> {
    const { desk, holding } = this.#options;
    holding.ends(intents.filter(({ type }) => /DeleteRequested$/.test(type)));
    await Promise.all(intents.map((intent) => desk.partings.tell(deletionOf(desk, intent), options)));
  }

  /**
   * @param run of the unit, where plugins were asked for it
   * @param isUnknown another worker had begun it, and nobody knows how far it got
   */
  async undone(unit: Unit, course: Course, run: Run | undefined, isUnknown: boolean): Promise<void> {
    const { carrying, desk, holding, signal } = this.#options;
    const options = { signal };
    holding.ends(unit.intents.filter(({ type }) => isConstructive(type)));
    const own = run?.undo.splice(0).reverse() ?? [];
    const all = unit.intents.toReversed().flatMap((intent) => inverseOf(desk, intent, isUnknown));
    const revoked = this.#revoked(unit);
    // A plugin that forgot what it gave gives it twice: it is not to be released for who was refused it.
    const due = once([...revoked, ...own, ...all]).filter((parting) => !holding.isHeld(parting));
    await desk.partings.tell(due, options);
    // Of a move: what was not there to return has left all the same.
    const gone = unit.intents.filter(({ data }) => !('endpointId' in data && course.returned.has(data.endpointId)));
    await this.leave(makes(unit) ? gone : [], { options });
    await this.#gone(gone, options);
    await carrying.follow(course.view, options);
  }

  #revoked({ intents }: Unit): readonly Parting[] {
    return intents.flatMap(({ type, data }) => {
      if (type !== 'EndpointJoinRequested' || !this.#options.carrying.drop(data.endpointId)) return [];
      const network = networkOf(this.#options.desk.state, data.networkId)?.facts;
      return network ? [endpointParting('revoke', network, { id: data.endpointId, networkId: data.networkId })] : [];
    });
  }
}
