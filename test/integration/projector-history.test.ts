// Histories and the ledger, asked of a projector: they say what the recorded events and the views as of then say.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { pino } from 'pino';
import { encodeCommit } from '../../events/envelope.ts';
import type { HistoryRow, LedgerRow } from '../../events/past-queries.ts';
import type { QueryInput } from '../../events/queries.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { createProjector } from '../../services/projector/projector.ts';
import { QueryFault } from '../../services/projector/query-fault.ts';
import { allRows } from '../../services/projector/rows.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { RandomHistory } from '../support/random-history.ts';

const history = new RandomHistory();
let state = 11;
const next = (): number => {
  state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
  return state / 2_147_483_648;
};
while (history.commits.length < 600) history.roll([next(), next(), next(), next()]);
const { commits } = history;

const log = memoryStream('CNM_LOG');
for (const { subject, position, events } of commits) {
  await log.append({ subject, body: encodeCommit(events), id: `c${position}` });
}
/** How many messages were asked for one by one. */
let gets = 0;
const get = log.get.bind(log);
log.get = (position) => {
  gets += 1;
  return get(position);
};
const projector = createProjector({ log, clock: systemClock, logger: pino({ level: 'silent' }) });
after(() => projector.stop());
await projector.caughtUp;

const all = async (name: string, query: QueryInput) => (await allRows(projector.query, name, query)).rows;
const historyOf = async (filter: QueryInput['filter'], query: QueryInput = {}) =>
  (await all('history', { ...query, filter })) as unknown as readonly HistoryRow[];
const ledgerOf = async (filter: Readonly<Record<string, string>>, query: QueryInput = {}) =>
  (await projector.query('ledger', { ...query, filter })).rows as unknown as readonly LedgerRow[];
const texts = (rows: readonly Record<string, unknown>[], field: string): readonly string[] =>
  [...new Set(rows.map((row) => row[field]).filter((text) => typeof text === 'string' && text !== ''))] as string[];

const endpoints = await all('endpoints', {});
const addresses = await all('addresses', {});
const commands = await all('commands', {});

test('the events of a history are those that `events` finds, whatever it is of', async () => {
  const filters = [
    ...texts(endpoints, 'name')
      .slice(0, 5)
      .map((endpoint) => ({ endpoint })),
    ...texts(endpoints, 'networkId')
      .slice(0, 5)
      .map((network) => ({ network })),
    ...texts(endpoints, 'sandbox')
      .slice(0, 5)
      .map((sandbox) => ({ sandbox })),
    ...texts(addresses, 'address')
      .slice(0, 5)
      .map((address) => ({ address })),
    ...texts(endpoints, 'mac')
      .slice(0, 5)
      .map((mac) => ({ mac })),
    ...texts(commands, 'commandid')
      .slice(0, 5)
      .map((commandid) => ({ commandid })),
    ...[{ actor: 'bob' }, { host: 'h2' }, { command: 'DetachSandbox' }, { actor: 'bob', host: 'h1' }],
    { host: 'h1', type: 'EndpointJoined,EndpointLeft' },
    { network: texts(endpoints, 'networkId')[0] ?? '', type: 'EndpointCreateRequested' },
  ];
  let count = 0;
  for (const filter of filters) {
    const events = texts(await all('events', { filter }), 'position');
    const rows = await historyOf(filter);
    const told = rows.flatMap(({ events: own }) => own.map(({ position }) => position));
    assert.deepEqual(told.toSorted(), events.toSorted(), JSON.stringify(filter));
    assert.deepEqual(new Set(told).size, told.length);
    count += told.length;
  }
  assert.ok(filters.length > 20 && count > 500, `${filters.length} filters, ${count} events`);
});

test('a row says what became of its command, as the view of commands does, then and now', async () => {
  let checked = 0;
  for (const asOf of [150, 400, commits.length]) {
    const views = new Map(
      (await all('commands', { asOf })).map((row) => [`${String(row.actor)} ${String(row.commandid)}`, row]),
    );
    for (const host of ['h1', 'h2']) {
      for (const row of await historyOf({ host }, { asOf })) {
        const command = views.get(`${row.actor} ${row.commandid}`);
        if (row.commandid === '') {
          assert.equal(row.status, '');
          continue;
        }
        // The view forgets what ended long ago; the history does not.
        if (command === undefined) continue;
        const { status, endedPosition, endedAt } = row;
        assert.deepEqual(
          { status, endedPosition, endedAt, command: row.command },
          {
            ...{ status: command.status, endedPosition: command.endedPosition },
            ...{ endedAt: command.endedAt, command: command.command },
          },
        );
        assert.equal(row.tookMs === null, status === 'accepted');
        assert.equal(row.code === null, ['accepted', 'succeeded', 'timed-out', 'cancelled'].includes(status));
        checked += 1;
      }
    }
  }
  assert.ok(checked > 250, `${checked} rows`);
});

test('since leaves out what was before, pages are the whole, and only what is named is read', async () => {
  const network = texts(endpoints, 'networkId')[0] ?? '';
  const rows = await historyOf({ network });
  const middle = rows[Math.floor(rows.length / 2)]?.position ?? assert.fail();
  const later = (await historyOf({ network, since: middle })).flatMap((row) => row.events);
  assert.ok(later.length > 0 && later.length < rows.flatMap((row) => row.events).length);
  assert.equal(later[0]?.position, middle);
  const paged: unknown[] = [];
  for (let after: string | undefined; ; ) {
    const query = { filter: { network }, limit: 2, asOf: commits.length };
    const page = await projector.query('history', after === undefined ? query : { ...query, after });
    paged.push(...page.rows);
    after = page.next;
    if (after === undefined) break;
  }
  assert.deepEqual(paged, rows);
  gets = 0;
  const [commandid = ''] = texts(commands, 'commandid');
  assert.equal((await historyOf({ commandid })).length, 1);
  assert.ok(gets > 0 && gets < 20, `${gets} of ${commits.length} commits read`);
});

test('the ledger says at every moment who held an address, a MAC and a name then', async () => {
  let held = 0;
  for (let asOf = 1; asOf <= commits.length; asOf += 60) {
    for (const row of (await all('addresses', { asOf })).slice(0, 4)) {
      const network = String(row.networkId);
      const [holder, ...others] = await ledgerOf({ kind: 'address', what: String(row.address), network }, { asOf });
      assert.equal(others.length, 0);
      assert.equal(holder?.holderId, row.holderId ?? network);
      assert.equal(holder?.from.occurred, row.since);
      assert.ok(Number(holder?.from.position.split('.')[0]) <= asOf);
      held += 1;
    }
    for (const row of (await all('names', { asOf })).slice(0, 3)) {
      const what = `${String(row.networkId)}/${String(row.endpoint).toUpperCase()}`;
      const holders = await ledgerOf({ kind: 'name', what }, { asOf });
      assert.ok(
        holders.some(({ holderId }) => holderId === row.endpointId),
        JSON.stringify([what, holders]),
      );
      held += 1;
    }
  }
  assert.ok(held > 30, `${held} held`);
});

test('a moment of the ledger names who did it: the type of the command too, where an outcome ended it', async () => {
  const given = commits.flatMap(({ events }) =>
    events.flatMap((event) => (event.type === 'EndpointCreateRequested' ? [event.data.endpoint.ipv4 ?? ''] : [])),
  );
  const asked = [...new Set(given.filter((text) => text !== ''))];
  const rows = (await Promise.all(asked.slice(0, 30).map((what) => ledgerOf({ kind: 'address', what })))).flat();
  const ends = rows.flatMap(({ until }) => (until === null ? [] : [until]));
  assert.ok(rows.length > 5 && ends.length > 0, `${rows.length} rows, ${ends.length} ends`);
  for (const { commandid, command, actor } of [...rows.map(({ from }) => from), ...ends]) {
    const row = commands.find((one) => one.commandid === commandid && one.actor === actor);
    assert.equal(command, row?.command ?? command);
    assert.notEqual(command, '');
  }
});

test('what makes no sense is refused in words', async () => {
  const refused: readonly (readonly [string, Record<string, string>, RegExp])[] = [
    ['history', {}, /history of what/],
    ['history', { type: 'EndpointJoined' }, /history of what/],
    ['history', { colour: 'red' }, /not of colour/],
    ['history', { port: '80/icmp' }, /no port/],
    ['history', { address: 'web' }, /no address/],
    ['history', { port: '70000' }, /no port/],
    ['history', { mac: '02:42' }, /no MAC address/],
    ['ledger', { kind: 'mac', what: 'x' }, /no MAC address/],
    ['history', { network: '' }, /empty/],
    ['ledger', { what: 'x' }, /which kind/],
    ['ledger', { kind: 'name' }, /which name/],
    ['ledger', { kind: 'port', what: 'x' }, /no port/],
    ['ledger', { kind: 'mac', what: '02:42:0a:00:00:02', colour: 'red' }, /by colour/],
  ];
  for (const [name, filter, words] of refused) {
    await assert.rejects(projector.query(name, { filter }), (error: unknown) => {
      assert.ok(error instanceof QueryFault, String(error));
      assert.equal(error.code, 'QUERY_MALFORMED');
      assert.match(error.message, words);
      return true;
    });
  }
});
