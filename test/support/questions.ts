/** Questions about the past to which a witness knows the answer. */
import assert from 'node:assert/strict';
import type { Book, Stay, Told } from './witness.ts';

type Row = Readonly<Record<string, unknown>>;
/** A query as it stands on the wire, all its pages. */
export type Ask = (name: string, query: object) => Promise<readonly Row[]>;

export interface Question {
  readonly kind: string;
  readonly text: string;
  /** @throws AssertionError where the answer is not what the witness knows */
  readonly check: (ask: Ask) => Promise<void>;
}

const pick = <T>(list: readonly T[], random: () => number): T => {
  const one = list[Math.floor(random() * list.length)];
  return one ?? assert.fail('the witness has seen nothing of the kind');
};

/** A position from `from` to `until`, both included. */
const between = (from: number, until: number, random: () => number): number =>
  from + Math.floor(random() * (until - from + 1));

/** Some moment at which it was there for sure: from its acceptance until before it was accepted that it leaves. */
const during = (stay: Stay, last: number, random: () => number): number =>
  between(stay.accepted, (stay.leaving ?? last + 1) - 1, random);

/** Positions in which an actor is watched. */
const STRETCH = 300;

interface Known extends Stay {
  readonly joined: number;
}
const isJoined = (stay: Stay): stay is Known => stay.joined !== null && (stay.leaving ?? stay.joined + 1) > stay.joined;

const heldBy = (kind: string, what: string, stay: Stay, asOf: number): Question => ({
  kind,
  text: `who held ${kind} ${what} at ${asOf}`,
  check: async (ask) => {
    const rows = await ask('ledger', { filter: { kind, what, network: stay.networkId }, asOf });
    assert.deepEqual(
      rows.map(({ holderId }) => holderId),
      [stay.id],
    );
    const { from } = rows[0] as { readonly from: Row };
    assert.deepEqual([from.actor, from.command, from.commandid], [stay.actor, 'AttachSandbox', stay.attach]);
    const place = Number(String(from.position).split('.')[0]);
    assert.ok(place >= stay.accepted && place <= asOf, `held from ${place}`);
    if (kind !== 'name') assert.equal(place, stay.accepted);
  },
});

const freeBefore = (stay: Stay, first: number): Question => ({
  kind: 'free',
  text: `that nobody held address ${stay.address} of ${stay.network} before ${first}`,
  check: async (ask) => {
    const filter = { kind: 'address', what: stay.address, network: stay.networkId };
    assert.deepEqual(await ask('ledger', { filter, asOf: first - 1 }), []);
  },
});

/** A position at which it is gone for sure. */
const freeAfter = (stay: Stay & { readonly gone: number }, asOf: number): Question => ({
  kind: 'given up',
  text: `that ${stay.id} had nothing any more at ${asOf}`,
  check: async (ask) => {
    const { address, mac, hostPort, name } = stay;
    for (const [kind, what] of Object.entries({ address, mac, name, port: `tcp/${hostPort}` })) {
      const holders = await ask('ledger', { filter: { kind, what, network: stay.networkId }, asOf });
      assert.ok(!holders.some(({ holderId }) => holderId === stay.id), kind);
    }
  },
});

const members = (book: Book, network: string, asOf: number): Question => ({
  kind: 'members',
  text: `who was in ${network} at ${asOf}`,
  check: async (ask) => {
    const rows = await ask('endpoints', { filter: { network }, asOf });
    const ids = new Set(rows.map(({ id }) => String(id)));
    const own = book.stays.filter((stay) => stay.network === network);
    const sure = own.filter(({ accepted, leaving }) => accepted <= asOf && (leaving === null || leaving > asOf));
    const perhaps = own.filter(({ accepted, gone }) => accepted <= asOf && (gone === null || gone > asOf));
    for (const stay of sure) assert.ok(ids.has(stay.id), `${JSON.stringify(stay)} is missing`);
    const possible = new Set(perhaps.map(({ id }) => id));
    for (const id of ids) assert.ok(possible.has(id), `${id} is too much`);
  },
});

const outcome = (told: Told): Question => ({
  kind: 'outcome',
  text: `what became of ${told.command} ${told.id}`,
  check: async (ask) => {
    const [row, ...others] = await ask('history', { filter: { commandid: told.id } });
    assert.deepEqual(others, []);
    const status = told.first.kind === 'refused' ? 'refused' : told.end?.status;
    assert.deepEqual([row?.actor, row?.command, row?.status], [told.actor, told.command, status]);
    assert.equal(row?.endedPosition, (told.end ?? told.first).position);
    assert.equal(String(row?.position).split('.')[0], String(told.first.position));
    if (told.first.kind === 'refused') assert.equal(row?.code, told.first.code);
  },
});

const doneTo = (stay: Stay, key: 'endpoint' | 'address' | 'mac' | 'port', what: string): Question => ({
  kind: `history of ${key}`,
  text: `what was done to ${key} ${what}`,
  check: async (ask) => {
    const rows = await ask('history', { filter: { [key]: what, network: stay.networkId } });
    const about = rows.filter(({ events }) =>
      (events as readonly Row[]).some((event) => event.about === `endpoint/${stay.id}`),
    );
    const wanted = [stay.attach, ...(stay.detach === null ? [] : [stay.detach])];
    assert.deepEqual(
      about.map(({ commandid, actor }) => [commandid, actor]),
      wanted.map((id) => [id, stay.actor]),
    );
  },
});

/** What an actor did in a stretch of the log. */
const doneBy = (book: Book, actor: string, since: number, asOf: number): Question => ({
  kind: 'history of actor',
  text: `what ${actor} did from ${since} to ${asOf}`,
  check: async (ask) => {
    const rows = await ask('history', { filter: { actor, since: String(since) }, asOf });
    const ids = new Set(rows.map(({ commandid }) => commandid));
    const own = book.commands.filter((told) => told.actor === actor);
    const decided = own.filter(({ first }) => first.position >= since && first.position <= asOf);
    for (const { id } of decided) assert.ok(ids.has(id), `${id} is missing`);
    // What was decided before and was told of in between is there too.
    const possible = new Set(own.filter(({ first }) => first.position <= asOf).map(({ id }) => id));
    for (const { commandid } of rows) assert.ok(possible.has(String(commandid)), `${String(commandid)} is too much`);
    const before = own.filter(({ first, end }) => first.position < since && end !== null && end.position < since);
    for (const { id } of before) assert.ok(!ids.has(id), `${id} is too much`);
  },
});

/** As many questions as asked for, of each kind in turn. `last`: position of the log's end. */
export const questionsOf = (book: Book, last: number, count: number, random: () => number): readonly Question[] => {
  const stays = book.stays.filter((stay) => (stay.leaving ?? last + 1) > stay.accepted);
  const joined = stays.filter(isJoined);
  const gone = stays.filter((stay): stay is Stay & { gone: number } => stay.gone !== null);
  const networks = [...new Set(stays.map(({ network }) => network))];
  const actors = [...new Set(stays.map(({ actor }) => actor))];
  const firstOf = (stay: Stay): number =>
    Math.min(
      ...book.stays
        .filter(({ address, networkId }) => address === stay.address && networkId === stay.networkId)
        .map(({ accepted }) => accepted),
    );
  const kinds: readonly (() => Question)[] = [
    () => {
      const stay = pick(stays, random);
      return heldBy('address', stay.address, stay, during(stay, last, random));
    },
    () => {
      const stay = pick(stays, random);
      return heldBy('mac', stay.mac, stay, during(stay, last, random));
    },
    () => {
      const stay = pick(stays, random);
      return heldBy('port', `tcp/${stay.hostPort}`, stay, during(stay, last, random));
    },
    () => {
      const stay = pick(joined, random);
      return heldBy('name', stay.name, stay, between(stay.joined, (stay.leaving ?? last + 1) - 1, random));
    },
    () => {
      const stay = pick(stays, random);
      return freeBefore(stay, firstOf(stay));
    },
    () => {
      const stay = pick(gone, random);
      return freeAfter(stay, random() < 0.5 ? stay.gone : between(stay.gone, last, random));
    },
    () => members(book, pick(networks, random), between(1, last, random)),
    () => outcome(pick(book.commands, random)),
    () => {
      const stay = pick(joined, random);
      return doneTo(stay, 'endpoint', stay.id);
    },
    () => {
      const stay = pick(joined, random);
      return doneTo(stay, 'address', stay.address);
    },
    () => {
      const stay = pick(joined, random);
      return doneTo(stay, 'mac', stay.mac);
    },
    () => {
      const stay = pick(joined, random);
      return doneTo(stay, 'port', `tcp/${stay.hostPort}`);
    },
    () => {
      const since = between(1, last, random);
      return doneBy(book, pick(actors, random), since, Math.min(last, since + STRETCH));
    },
  ];
  return Array.from({ length: count }, (_, n) => (kinds[n % kinds.length] ?? assert.fail())());
};
