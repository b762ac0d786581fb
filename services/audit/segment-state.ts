/** Everything that a whole log adds up to, and what of it the next segment begins with, as lines of JSON. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import type { Event } from '../../events/envelope.ts';
import type { Moment } from '../../events/past-queries.ts';
import { viewNames } from '../../events/queries.ts';
import { commandKey } from '../../events/state.ts';
import { formatPosition } from '../../projections/event-position.ts';
import { Ledger } from '../../projections/ledger.ts';
import { Parking } from '../../projections/parking.ts';
import { PeerView } from '../../projections/peers.ts';
import { createViews } from '../../projections/views.ts';
import type { Carried } from '../controller/carried.ts';
import { partsOf, placedEvents } from '../lib/commit.ts';
import type { Opening } from '../lib/opening.ts';
import { applyMessage, emptyRealm, type RealmListener } from '../lib/realm.ts';
import { realmLines } from '../lib/realm-lines.ts';
import { recordedOf } from '../lib/recorded.ts';
import { formatLine } from '../lib/state-format.ts';
import type { Message } from '../lib/stream.ts';
import { foldMessage } from '../projector/fold.ts';
import { readableOf } from '../projector/refold.ts';

const keyOf = (event: Event): string => commandKey(event.meta.actor, event.meta.commandid);

export class WholeLog {
  readonly realm = emptyRealm();
  readonly ledger = new Ledger();
  readonly #views = createViews(this.ledger);
  readonly #parking: Parking;
  readonly #peers = new PeerView('');
  readonly #answered = new Map<string, Carried>();
  /** Types of commands, which reports do not name. */
  readonly #types = new Map<string, string>();
  readonly #moments = new Map<string, Moment>();
  readonly #listener: RealmListener = {
    before: ({ host }, event) => {
      if (host !== null) this.#peers.apply(host, event);
      if (event.type === 'PeersForgotten') this.#peers.apply(event.data.host, event);
    },
    ended: (record) => this.#ended(record),
    opened: (_, opening) => this.#opened(opening),
  };

  constructor(parking = new Parking()) {
    this.#parking = parking;
  }

  /** The next message. @throws Poisoned: then all of it has to be read once more, under the same parking */
  take(message: Message): void {
    const events = readableOf(partsOf(message));
    this.#decided(events, message.position);
    applyMessage(this.realm, message, this.#listener);
    foldMessage(this.#views, message, this.#parking, partsOf(message));
  }

  /** What is under way: a segment begins where nothing is. */
  busy(): readonly string[] {
    const { boundaries, isTorn, awaited, opening } = this.realm;
    const open = [...boundaries.values()].flatMap(({ subject, state }) => {
      const [intents, commands] = [state.intents.size, state.progress.size];
      return intents + commands > 0 ? [`${subject}: ${commands} commands, ${intents} of their intents`] : [];
    });
    if (this.realm.parked.size + this.#views.rows.parked.size > 0) open.push('events are parked: see cnm parked ls');
    return isTorn || awaited.size > 0 || opening !== null ? [...open, 'the last commits of the log'] : open;
  }

  /** Places whose moments have to be told before there are lines: those that things are held since. */
  places(): ReadonlySet<number> {
    const places = new Set<number>();
    for (const { from, until } of this.ledger.all())
      if (until === null && !this.ledger.carried(from)) places.add(from.position);
    return places;
  }

  /** Each message again, where it has one of these places. */
  tell(message: Message): void {
    const recorded = new Date(recordedOf(message)).toISOString();
    for (const [index, event] of placedEvents(message)) {
      const position = formatPosition({ position: message.position, index });
      const { time: occurred, actor, actorproof = null, commandid } = event.meta;
      const command = event.meta.commandtype ?? this.#types.get(keyOf(event)) ?? '';
      this.#moments.set(position, { position, occurred, recorded, actor, actorproof, command, commandid });
    }
  }

  *lines(): Generator<readonly unknown[]> {
    yield formatLine;
    yield ['day', this.#views.day];
    for (const held of this.ledger.all()) {
      const moment = this.ledger.carried(held.from) ?? this.#moments.get(formatPosition(held.from));
      const { rows: _rows, ...interval } = held as typeof held & { readonly rows: number };
      if (held.until === null && moment) yield ['held', interval, moment];
    }
    for (const view of viewNames) for (const [key, row] of this.#views.rows[view]) yield ['view', view, key, row];
    yield* realmLines(this.realm);
    for (const row of this.#peers.all()) yield ['peer', row];
    for (const { state } of this.realm.boundaries.values())
      for (const key of state.commands.keys()) {
        const carried = this.#answered.get(key);
        if (carried) yield ['answered', key, carried.decided, carried.ended];
      }
  }

  #decided(events: readonly Event[], position: number): void {
    const decided = new Map<string, CommandRecord>();
    for (const event of events) {
      if (event.meta.commandseq === undefined) continue;
      const key = keyOf(event);
      const record = foldCommand(decided.get(key), event, position);
      decided.set(key, record);
      this.#types.set(key, record.command);
    }
    for (const [key, record] of decided)
      if (!this.#answered.has(key)) this.#answered.set(key, { decided: record, ended: null });
  }

  #ended(record: CommandRecord): void {
    const key = commandKey(record.actor, record.commandid);
    const known = this.#answered.get(key);
    if (known && record.endedPosition !== known.decided.position) this.#answered.set(key, { ...known, ended: record });
  }

  #opened(opening: Opening): void {
    for (const [kind, ...rest] of opening.lines()) {
      if (kind === 'peer') this.#peers.carry(rest[0] as never);
      else if (kind === 'answered')
        this.#answered.set(rest[0] as string, { decided: rest[1], ended: rest[2] } as unknown as Carried);
    }
  }
}
