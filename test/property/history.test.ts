// What a history is read by: the index leads to all that a scan of the whole log finds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeCommit, type Event } from '../../events/envelope.ts';
import { createMatcher, type EventFilter, emptyMemory } from '../../projections/event-filter.ts';
import { candidates, EventIndex } from '../../projections/event-index.ts';
import { portsNamedBy } from '../../projections/event-ports.ts';
import { holdings, type Interval, isHeldAt, Ledger } from '../../projections/ledger.ts';
import { observedViews } from '../../projections/observer.ts';
import { originOf } from '../../projections/origin.ts';
import { bareAddress } from '../../projections/projection.ts';
import { applyCommit, copyViews, createViews, type Views } from '../../projections/views.ts';
import { historyOf, type RandomCommit } from '../support/random-history.ts';
import { rollsOf, unit } from './histories.ts';
import { Model } from './model.ts';
import { moves } from './model-moves.ts';
import { play } from './model-play.ts';

const rolls = rollsOf({ maxLength: 250 });

type Named = { readonly [Name in keyof EventFilter]-?: Set<string> };

/** Everything that a log names, by what it is, so that filters ask for what is there. */
const namedIn = (commits: readonly RandomCommit[]): Omit<Named, 'types' | 'host'> => {
  const named = {
    ...{ network: new Set<string>(), endpoint: new Set<string>(), sandbox: new Set<string>() },
    ...{ address: new Set<string>(), mac: new Set<string>(), port: new Set<string>(), commandid: new Set<string>() },
    ...{ command: new Set<string>(), actor: new Set<string>(), correlationid: new Set<string>() },
  };
  for (const { subject, events } of commits) {
    const { host } = originOf(subject);
    for (const event of events) {
      const { meta } = event;
      for (const { protocol, first } of portsNamedBy(event)) {
        named.port.add(`${first}`).add(`${host}/${protocol ?? 'udp'}/${first}`);
      }
      named.commandid.add(meta.commandid);
      named.correlationid.add(meta.correlationid);
      named.actor.add(meta.actor);
      named.command.add(meta.commandtype ?? 'none');
      if (event.type === 'NetworkCreateRequested') {
        const { id, name, subnets } = event.data.network;
        named.network.add(id).add(name.toUpperCase()).add(`${host}/${name}`);
        for (const { gateway } of subnets) if (gateway) named.address.add(bareAddress(gateway));
      } else if (event.type === 'EndpointCreateRequested') {
        const { id, name, ipv4, mac } = event.data.endpoint;
        named.endpoint.add(id).add(name).add(name.toUpperCase());
        if (ipv4) named.address.add(bareAddress(ipv4));
        if (mac) named.mac.add(mac);
      } else if (event.type === 'EndpointJoinRequested') {
        named.sandbox.add(event.data.sandbox.id).add(event.data.sandbox.incarnation);
      }
    }
  }
  // An empty text names nothing: the query refuses it.
  for (const values of Object.values(named)) values.delete('');
  return named;
};

/** Ids of networks that the filter means, as a projector knows them before it looks at the log. */
const networksMeant = (commits: readonly RandomCommit[], wanted: string | undefined): Set<string> => {
  const memory = emptyMemory();
  if (wanted === undefined) return memory.networkIds;
  const learn = createMatcher({ network: wanted }, memory);
  for (const { subject, events } of commits) for (const event of events) learn(event, originOf(subject).host);
  return memory.networkIds;
};

const found = (
  commits: readonly RandomCommit[],
  filter: EventFilter,
  networkIds: ReadonlySet<string>,
): readonly Event[] => {
  const matches = createMatcher(filter, { ...emptyMemory(), networkIds: new Set(networkIds) });
  return commits.flatMap(({ subject, events }) => events.filter((event) => matches(event, originOf(subject).host)));
};

const indexOf = (commits: readonly RandomCommit[]): EventIndex => {
  const index = new EventIndex();
  for (const { position, events } of commits) for (const event of events) index.add(event, position);
  return index;
};

/** How many events the filters of a log have found, and how many commits were read for them. */
const count = { filters: 0, events: 0, read: 0, scanned: 0 };

const checkAll = (commits: readonly RandomCommit[], picks: readonly number[]): void => {
  const index = indexOf(commits);
  const named = Object.entries(namedIn(commits));
  const one = (name: string, values: ReadonlySet<string>, pick: number): EventFilter =>
    values.size === 0 ? {} : { [name]: [...values][pick % values.size] ?? '' };
  const singles = named.flatMap(([name, values]) => picks.map((pick) => one(name, values, pick)));
  const pairs = picks.map((pick, n) => {
    const [first, second] = [named[pick % named.length], named[(pick + n + 1) % named.length]];
    return {
      ...one(first?.[0] ?? '', first?.[1] ?? new Set(), pick),
      ...one(second?.[0] ?? '', second?.[1] ?? new Set(), pick),
    };
  });
  for (const filter of [...singles, ...pairs]) {
    const networkIds = networksMeant(commits, filter.network);
    const positions = candidates(index, filter, networkIds);
    const all = found(commits, filter, networkIds);
    if (positions === null) {
      assert.deepEqual(Object.keys(filter), []);
      continue;
    }
    const wanted = new Set(positions);
    assert.equal(wanted.size, positions.length);
    assert.deepEqual(
      positions,
      [...positions].sort((a, b) => a - b),
    );
    const read = commits.filter(({ position }) => wanted.has(position));
    assert.deepEqual(
      found(read, filter, networkIds).map(({ meta }) => meta.id),
      all.map(({ meta }) => meta.id),
      JSON.stringify(filter),
    );
    count.filters += 1;
    count.events += all.length;
    count.read += read.length;
    count.scanned += commits.length;
  }
};

const picks = fc.array(fc.nat(), { minLength: 3, maxLength: 3 });

test('index: leads to what a scan finds, in histories of every kind', () => {
  fc.assert(
    fc.property(rolls, picks, (list, which) => checkAll(historyOf(list).commits, which)),
    { numRuns: 150 },
  );
  assert.ok(count.filters > 2_000 && count.events > 10_000, JSON.stringify(count));
  assert.ok(count.read * 2 < count.scanned, `read ${count.read} of ${count.scanned}`);
});

test('index: leads to what a scan finds, in histories that the deciders have made', () => {
  fc.assert(
    fc.property(moves, picks, (steps, which) => {
      const model = new Model(2, ['h1', 'h2']);
      play(model, steps);
      const commits = model.log.map(({ subject, position, body }) => ({
        subject,
        position,
        events: decodeCommit(body, subject),
      }));
      checkAll(commits, which);
    }),
    { numRuns: 30 },
  );
});

const lineOf = ({
  kind,
  what,
  host,
  networkId,
  network,
  holderKind,
  holderId,
  holder,
}: Omit<Interval, 'from' | 'until'>) =>
  JSON.stringify([kind, what, host, networkId, network, holderKind, holderId, holder]);

const heldIn = ({ rows }: Views): readonly string[] => {
  const lines = observedViews.flatMap((view) =>
    // The row is one of this view.
    [...rows[view].values()].flatMap((row) => holdings(view, row as never)).map(lineOf),
  );
  return [...new Set(lines)].sort();
};

const held = { positions: 0, lines: 0, ended: 0 };

/** At every position the ledger of the whole log says what the views said there; no interval is empty, and none of one holder overlaps. */
const checkLedger = (commits: readonly RandomCommit[]): void => {
  const ledger = new Ledger();
  const views = createViews(ledger);
  const plain = createViews();
  const expected: (readonly string[])[] = [];
  for (const { subject, position, events } of commits) {
    applyCommit(views, subject, position, events);
    applyCommit(plain, subject, position, events);
    expected.push(heldIn(plain));
  }
  const all = [...ledger.all()];
  assert.equal(all.length, ledger.size().intervals);
  for (const [n, { position }] of commits.entries()) {
    const lines = all.filter((interval) => isHeldAt(interval, position)).map(lineOf);
    assert.deepEqual(lines.sort(), expected[n], `position ${position}`);
    held.positions += 1;
    held.lines += lines.length;
  }
  held.ended += all.filter(({ until }) => until !== null).length;
};

/** What a ledger said by a position, taken back from all that it says, is what one was told up to there, and goes on to the same. */
const checkTakenBack = (commits: readonly RandomCommit[], share: number): void => {
  const [whole, upTo] = [new Ledger(), new Ledger()];
  const [views, before] = [createViews(whole), createViews(upTo)];
  const cut = Math.floor(share * commits.length);
  for (const [n, { subject, position, events }] of commits.entries()) {
    applyCommit(views, subject, position, events);
    if (n < cut) applyCommit(before, subject, position, events);
  }
  const taken = whole.asOf(before.position, before.rows);
  assert.deepEqual([...taken.all()], [...upTo.all()]);
  const on = copyViews(before, undefined, taken);
  for (const { subject, position, events } of commits.slice(cut)) applyCommit(on, subject, position, events);
  assert.deepEqual([...taken.all()], [...whole.all()]);
  assert.deepEqual(taken.size(), whole.size());
};

test('ledger: taken back to any position it says what it said there, and goes on as before', () => {
  fc.assert(
    fc.property(rolls, unit, (list, share) => checkTakenBack(historyOf(list).commits, share)),
    { numRuns: 100 },
  );
});

test('ledger: says at every position what the views said there, in histories of every kind', () => {
  fc.assert(
    fc.property(rolls, (list) => checkLedger(historyOf(list).commits)),
    { numRuns: 100 },
  );
  assert.ok(held.positions > 2_000 && held.lines > 10_000 && held.ended > 100, JSON.stringify(held));
});

test('ledger: and in histories that the deciders have made', () => {
  fc.assert(
    fc.property(moves, (steps) => {
      const model = new Model(2, ['h1', 'h2']);
      play(model, steps);
      checkLedger(
        model.log.map(({ subject, position, body }) => ({ subject, position, events: decodeCommit(body, subject) })),
      );
    }),
    { numRuns: 30 },
  );
});
