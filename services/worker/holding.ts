/** Who holds which pools and addresses of plugins, by what the log says: what is held again must not be released for who had it before. */
import type { Event } from '../../events/envelope.ts';
import { isTerminal } from '../../events/events.ts';
import { type BoundaryState, networkOf } from '../../events/state.ts';
import { addressPartings, networkIdOf, poolPartings } from './gone.ts';
import type { Parting } from './parting.ts';

/** The network, or the endpoint, that an event makes, ends or reports on. */
const idOf = (event: Event): string => {
  const { type, data } = event;
  if (type === 'EndpointCreateRequested') return data.endpoint.id;
  return 'endpointId' in data ? data.endpointId : networkIdOf(event);
};

/** Of a pool or an address; null for what is none. */
const keyOf = (parting: Parting): string | null => {
  if (parting.kind === 'address') return JSON.stringify([parting.plugin, parting.pool, parting.address]);
  return parting.kind === 'pool' ? JSON.stringify([parting.plugin, parting.pool]) : null;
};

/** Whether both are about one pool, or one address. */
export const isSameSpace = (one: Parting, other: Parting): boolean => {
  if (one.kind === 'pool') return other.kind === 'pool' && one.pool === other.pool && one.plugin === other.plugin;
  if (one.kind !== 'address' || other.kind !== 'address') return false;
  return one.address === other.address && one.pool === other.pool && one.plugin === other.plugin;
};

export class Holding {
  readonly #state: BoundaryState;
  /** Those whose partings are being told: they hold nothing any more, though the log says so only later. */
  readonly #ending = new Set<string>();
  /** Keys; made when somebody asks, since a plugin that is back is told of thousands. Null: something has changed. */
  #held: ReadonlySet<string> | null = null;

  constructor(state: BoundaryState) {
    this.#state = state;
  }

  /** Every event of this host, before it is folded in. */
  note(event: Event): void {
    this.#held = null;
    if (isTerminal(event.type)) this.#ending.delete(idOf(event));
  }

  /** What these intents make, or delete, is about to be spoken of as gone. */
  ends(intents: readonly Event[]): void {
    this.#held = null;
    for (const intent of intents) if (/(Create|Delete)Requested$/.test(intent.type)) this.#ending.add(idOf(intent));
  }

  /** Whether a network or an endpoint that is to stay has this pool or address. */
  isHeld(parting: Parting): boolean {
    const key = keyOf(parting);
    if (key === null) return false;
    this.#held ??= this.#look();
    return this.#held.has(key);
  }

  #look(): ReadonlySet<string> {
    const { networks, endpoints } = this.#state;
    const held = new Set<string>();
    const add = (id: string, partings: readonly Parting[]): void => {
      if (this.#ending.has(id)) return;
      for (const parting of partings) held.add(keyOf(parting) ?? '');
    };
    for (const { facts } of networks.values()) add(facts.id, poolPartings(facts));
    for (const { facts } of endpoints.values()) {
      const network = networkOf(this.#state, facts.networkId)?.facts;
      if (network) add(facts.id, addressPartings(network, facts));
    }
    return held;
  }
}
