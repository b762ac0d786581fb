/**
 * Networks and endpoints with a label, as their own events say: what a watch of a label goes by. Endpoints of such a network are not meant;
 * their own labels are theirs for life, those of a network may change.
 */
import type { Event } from '../events/envelope.ts';
import { labelNames } from './projection.ts';

interface Update {
  /** Event id of its intent. */
  readonly intent: string;
  readonly has: boolean;
}

interface Labelled {
  /** Before all updates that are kept. */
  readonly base: boolean;
  /** The latest, in the order in which they were decided: the last one holds. */
  readonly updates: readonly Update[];
}

/** An update fails before so many others are decided behind it. */
const UPDATES_MAX = 8;

const holds = ({ base, updates }: Labelled): boolean => updates.at(-1)?.has ?? base;

/** The networks or endpoints that an event is about, by id; of refusals those in the way. */
const subjectsOf = (event: Event): readonly string[] => {
  if (event.type === 'NetworkCreateRequested') return [event.data.network.id];
  if (event.type === 'EndpointCreateRequested') return [event.data.endpoint.id];
  if (event.type === 'CommandRefused') return event.data.culprits.map(({ id }) => id);
  if (event.type === 'PortsLeased') return event.data.ports.map(({ holder }) => holder);
  if ('endpointId' in event.data) return [event.data.endpointId];
  return 'networkId' in event.data ? [event.data.networkId] : [];
};

export class LabelMemory {
  readonly #label: string;
  /** What is gone stays in it: whether a report came too late to count is not told by events alone. */
  readonly #known = new Map<string, Labelled>();

  /** @param label `KEY` or `KEY=VALUE` @param ids of the networks and endpoints that have it now */
  constructor(label: string, ids: Iterable<string>) {
    this.#label = label;
    for (const id of ids) this.#known.set(id, { base: true, updates: [] });
  }

  /** Takes up the next event. @returns whether it is about something that has the label, before or behind it */
  take(event: Event): boolean {
    const ids = subjectsOf(event);
    const before = ids.some((id) => this.#has(id));
    this.#learn(event);
    return before || ids.some((id) => this.#has(id));
  }

  #has(id: string): boolean {
    const labelled = this.#known.get(id);
    return labelled !== undefined && holds(labelled);
  }

  #learn(event: Event): void {
    const { type, data, meta } = event;
    if (type === 'NetworkCreateRequested') this.#make(data.network.id, data.network.labels);
    else if (type === 'EndpointCreateRequested') this.#make(data.endpoint.id, data.endpoint.labels);
    else if (type === 'NetworkUpdateRequested') this.#update(data.networkId, meta.id, data.settings.labels);
    else if (type === 'NetworkUpdateFailed') this.#undo(data.networkId, meta.causationid);
  }

  #isOn(labels: Readonly<Record<string, string>>): boolean {
    return labelNames(labels).includes(this.#label);
  }

  #make(id: string, labels: Readonly<Record<string, string>>): void {
    if (this.#isOn(labels)) this.#known.set(id, { base: true, updates: [] });
  }

  #update(id: string, intent: string, labels: Readonly<Record<string, string>>): void {
    const has = this.#isOn(labels);
    const known = this.#known.get(id);
    if (!known && !has) return;
    const { base, updates } = known ?? { base: false, updates: [] };
    const [oldest, ...others] = updates;
    const isFull = oldest !== undefined && updates.length === UPDATES_MAX;
    const kept = isFull ? { base: oldest.has, updates: others } : { base, updates };
    this.#known.set(id, { ...kept, updates: [...kept.updates, { intent, has }] });
  }

  /** An update that failed is as if it had not been: those that were decided behind it hold all the same. */
  #undo(id: string, intent: string): void {
    const known = this.#known.get(id);
    if (known) this.#known.set(id, { ...known, updates: known.updates.filter((update) => update.intent !== intent) });
  }
}
