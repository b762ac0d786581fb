/**
 * What a worker has still to do: units whose intents are open, and which of them can be executed now. It follows the log, so that a look
 * costs what has changed since the last one, however many units wait for plugins or for each other.
 */
import { cutsShort } from '../../events/cut-short.ts';
import { type Event, needsExecution } from '../../events/envelope.ts';
import { isTerminal } from '../../events/events.ts';
import { type BoundaryState, commandKey } from '../../events/state.ts';
import { DueUnits } from './due-units.ts';
import { Lines, type Member, newMember } from './lines.ts';
import { placesOf, scopeOf, type Unit, unitOf } from './units.ts';

/** Most units in one batch: outcomes of the first ones must not wait for a thousand others. */
const batchUnitsMax = 16;

interface Entry extends Member {
  readonly id: string;
  readonly actor: string;
  /** Ids of its open intents, in log order. */
  readonly intents: Set<string>;
  /** Sandboxes' places among its claims: who is in which sandbox may change while it waits. */
  readonly places: Set<string>;
}

export class Backlog {
  readonly #state: BoundaryState;
  readonly #lines = new Lines<Entry>();
  /** By intent. */
  readonly #entries = new Map<string, Entry>();
  /** Wait for no other unit, and have not been asked for since something changed about them. */
  readonly #due = new DueUnits<Entry>();
  /** Intents that are being executed, or reported and not yet folded in. */
  readonly #taken = new Set<string>();
  /** Intents about which something has changed since the last look. */
  #touched: Set<string>;
  #order = 0;

  constructor(state: BoundaryState) {
    this.#state = state;
    this.#touched = new Set(state.intents.keys());
  }

  /** Every event of this host, before it is folded in. */
  note(event: Event): void {
    const { type, meta } = event;
    if (needsExecution(event)) this.#touched.add(meta.id);
    if (cutsShort(event)) for (const id of event.data.intents) this.#touched.add(id);
    if (!isTerminal(type)) return;
    this.#taken.delete(meta.causationid);
    this.#touched.add(meta.causationid);
  }

  /** Whoever was asked whether the unit of this intent is ready may say something else now. */
  touch(intent: string): void {
    if (this.#entries.has(intent)) this.#touched.add(intent);
  }

  /** What an open intent waits for, in words. */
  stageOf(intent: string): string {
    if (this.#taken.has(intent)) return 'the kernel, a plugin that is told, or its report';
    const entry = this.#entries.get(intent);
    if (!entry) return 'its turn';
    return entry.waits > 0
      ? 'earlier commands about the same things'
      : 'what a plugin or the controller is asked for it';
  }

  /**
   * The next batch, of all actors in turn: units of which none touches what an earlier one changes, or changes what an earlier one stands on. Earlier ones are
   * those before it in the log, in this batch or not, until their outcome is folded in. So every plan of a batch holds whatever becomes
   * of the others, and every plan is made from a state that knows the end of all that it depends on.
   * Complexity: the units about which something has changed, each with the ids it names.
   * @param isReady whether nothing else is to be waited for; asked of each unit whose turn it is, and again only when it was touched
   */
  take(isReady: (unit: Unit) => boolean): readonly Unit[] {
    this.#sync();
    const batch: Unit[] = [];
    while (batch.length < batchUnitsMax) {
      const entry = this.#due.next();
      if (!entry) break;
      if (!this.#isFree(entry)) continue;
      const unit = unitOf(this.#state, entry.id, entry.intents);
      if (!isReady(unit)) continue;
      for (const id of entry.intents) this.#taken.add(id);
      batch.push(unit);
    }
    return batch;
  }

  /** Takes in what has come and what has ended. */
  #sync(): void {
    const touched = this.#touched;
    this.#touched = new Set();
    const come = new Map<string, Event[]>();
    for (const id of touched) {
      const intent = this.#state.intents.get(id);
      const entry = this.#entries.get(id);
      if (entry && intent) this.#due.add(entry);
      else if (entry) this.#end(entry, id);
      else if (intent) {
        const key = commandKey(intent.meta.actor, intent.meta.commandid);
        const unit = come.get(key);
        if (unit) unit.push(intent);
        else come.set(key, [intent]);
      }
    }
    for (const [id, intents] of come) this.#add(id, intents);
  }

  /** The intents of a command come in one commit. */
  #add(id: string, intents: readonly Event[]): void {
    const ids = new Set(intents.map(({ meta }) => meta.id));
    const actor = intents[0]?.meta.actor ?? '';
    const entry: Entry = { ...newMember(this.#order++), id, actor, intents: ids, places: new Set() };
    for (const intent of ids) this.#entries.set(intent, entry);
    const scopes = intents.map(scopeOf);
    for (const { writes } of scopes) for (const thing of writes) this.#lines.join(entry, thing, 'changes');
    for (const place of placesOf(this.#state, unitOf(this.#state, id, ids))) {
      entry.places.add(place);
      this.#lines.join(entry, place, 'changes');
    }
    for (const { reads } of scopes) for (const thing of reads) this.#lines.join(entry, thing, 'standsOn');
    if (entry.waits === 0) this.#due.add(entry);
  }

  #end(entry: Entry, intent: string): void {
    this.#entries.delete(intent);
    entry.intents.delete(intent);
    if (entry.intents.size > 0) {
      this.#due.add(entry);
      return;
    }
    this.#due.delete(entry);
    for (const thing of [...entry.groups.keys()]) this.#leave(entry, thing);
  }

  #leave(entry: Entry, thing: string): void {
    for (const free of this.#lines.leave(entry, thing)) this.#due.add(free);
  }

  /** Its turn has come, if it touches the sandboxes that it was known to touch. */
  #isFree(entry: Entry): boolean {
    if (entry.waits > 0 || this.#isTaken(entry)) return false;
    const places = new Set(placesOf(this.#state, unitOf(this.#state, entry.id, entry.intents)));
    for (const place of entry.places) {
      if (places.has(place)) continue;
      entry.places.delete(place);
      this.#leave(entry, place);
    }
    for (const place of places) {
      entry.places.add(place);
      this.#lines.squeeze(entry, place, (other) => this.#isTaken(other));
    }
    return entry.waits === 0;
  }

  #isTaken({ intents }: Entry): boolean {
    for (const id of intents) if (this.#taken.has(id)) return true;
    return false;
  }
}
