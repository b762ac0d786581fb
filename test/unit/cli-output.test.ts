// What the command line prints: tables that fit, errors with culprits and next step, help out of the tables that parse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NotFound } from '../../services/cli/context.ts';
import { describeEvent } from '../../services/cli/event-text.ts';
import { report } from '../../services/cli/failures.ts';
import { describeRotated } from '../../services/cli/network.ts';
import { nouns } from '../../services/cli/nouns.ts';
import { runCli, widthOf } from '../../services/cli/run.ts';
import { type Column, renderTable, shortBytes, shortDuration, shortTime } from '../../services/cli/table.ts';
import { CommandFailed, CommandRefused, QueryFailed } from '../../services/client/errors.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { variables } from '../../services/lib/config.ts';

interface Row {
  readonly name: string;
  readonly about: string;
}
const columns: readonly Column<Row>[] = [
  { title: 'NAME', text: ({ name }) => name },
  { title: 'ABOUT', text: ({ about }) => about },
];
const rows = [
  { name: 'web', about: 'a very long description that does not fit' },
  { name: 'database', about: 'short' },
];

test('cli table: columns are as wide as what they hold', () => {
  assert.equal(renderTable(columns, [rows[1] ?? { name: '', about: '' }], null), 'NAME      ABOUT\ndatabase  short\n');
  assert.equal(renderTable(columns, [], null), 'NAME  ABOUT\n');
});

test('cli table: at a terminal no line is longer than it is wide, and what was cut shows it', () => {
  const lines = renderTable(columns, rows, 30).trimEnd().split('\n');
  assert.ok(lines.every((line) => line.length <= 30));
  assert.equal(lines[1], 'web       a very long descrip…');
});

test('cli table: only a terminal that says how wide it is cuts anything', () => {
  assert.equal(widthOf({ isTTY: true, columns: 120 }), 120);
  assert.equal(widthOf({}), null, 'a pipe');
  assert.equal(widthOf({ isTTY: true, columns: 0 }), null, 'a terminal without a size, as `docker run -t` may give');
});

test('cli help: the overview names every verb that a noun has', async () => {
  for (const { name, summary, load } of nouns) {
    const verbs = (await load()).flatMap(({ path }) => {
      const [noun, verb] = path.split(' ');
      return noun === name && verb !== undefined ? [verb] : [];
    });
    const missing = verbs.filter((verb) => !summary.match(/[\w-]+/g)?.includes(verb));
    assert.deepEqual(missing, [], `cnm ${name}: ${summary}`);
  }
});

test('cli table: short forms', () => {
  assert.equal(shortTime('2026-01-31T14:03:07.123Z'), '2026-01-31 14:03:07');
  assert.deepEqual([1_000, 300_000, 86_400_000, 604_800_000].map(shortDuration), ['1s', '5m', '24h', '7d']);
  assert.deepEqual([0, 900, 1536, 1024 ** 3 * 12].map(shortBytes), ['0 B', '900 B', '1.5 KiB', '12 GiB']);
});

const told = (error: unknown, json = false) => {
  let [out, err] = ['', ''];
  const context = { out: (text: string) => (out += text), err: (text: string) => (err += text) };
  return { exit: report(context, error, json), out, err };
};

const answer = { command: 'DeleteNetwork', commandid: 'x-1', correlationid: 'x-1', position: 7 };

test('cli failures: a refusal names code, culprits and next step, and is 1', () => {
  const culprits = [{ kind: 'endpoint', id: 'e1', name: 'db', detail: 'joined' }];
  const refused = new CommandRefused({
    kind: 'refused',
    ...answer,
    code: 'NETWORK_HAS_ENDPOINTS',
    detail: 'network web has 1 endpoint',
    culprits,
  });
  const { exit, err, out } = told(refused);
  assert.equal(exit, 1);
  assert.equal(
    err,
    'NETWORK_HAS_ENDPOINTS: network web has 1 endpoint\n  endpoint db (e1): joined\nnext: Delete the endpoints that are listed first.\n',
  );
  assert.equal(out, '');
  const { error } = JSON.parse(told(refused, true).out);
  assert.deepEqual([error.code, error.culprits], ['NETWORK_HAS_ENDPOINTS', culprits]);
});

test('cli failures: a failed command has the kernel speak, and is 1', () => {
  const fault = {
    code: 'KERNEL_ERROR',
    step: 'create veth cv1',
    errno: 'EPERM',
    text: 'no',
    retryable: false,
    undoFaults: [],
  };
  const things = { network: null, endpoints: [], sandbox: null };
  const failed = new CommandFailed({ kind: 'outcome', status: 'failed', ...answer, ...things, fault });
  assert.match(told(failed).err, /^KERNEL_ERROR: create veth cv1: no \(EPERM\)\nnext: /);
  const late = new CommandFailed({ kind: 'outcome', status: 'timed-out', ...answer, ...things, fault: null });
  assert.match(told(late).err, /^TIMED_OUT: /);
  assert.equal(told(failed).exit, 1);
});

test('cli failures: what there is not is told with where to look', () => {
  const { exit, err } = told(new NotFound('there is no network web', 'See `cnm network ls`.'));
  assert.deepEqual([exit, err], [1, 'NOT_FOUND: there is no network web\nnext: See `cnm network ls`.\n']);
});

test('cli failures: nobody there is 3, a defect is told with its stack', () => {
  assert.equal(told(new QueryFailed('UNANSWERED', 'nobody')).exit, 3);
  assert.equal(told(new QueryFailed('QUERY_MALFORMED', 'bad')).exit, 1);
  assert.match(told(new TypeError('oops')).err, /a defect in cnmbus.*TypeError: oops/s);
});

test('cli events: an event in words', () => {
  const joined = { type: 'cnm.EndpointJoined.v1', data: { name: 'db', ipv4: '10.0.0.2/24', sandbox: { id: 'c1' } } };
  assert.equal(describeEvent(joined), 'endpoint db 10.0.0.2/24 sandbox c1');
  const settled = { type: 'cnm.JoinSettled.v1', data: { name: 'db', interface: 'eth0' } };
  assert.equal(describeEvent(settled), 'endpoint db');
  const given = { type: 'cnm.NetworkSettled.v1', data: { name: 'web', subnets: [{ subnet: '10.0.0.0/24' }] } };
  assert.equal(describeEvent(given), 'network web 10.0.0.0/24');
  const fault = { code: 'KERNEL_ERROR', step: 'create bridge', text: 'busy' };
  const failed = { type: 'cnm.NetworkCreateFailed.v1', data: { name: 'web', fault } };
  assert.equal(describeEvent(failed), 'network web KERNEL_ERROR: create bridge: busy');
});

const call = async (...words: string[]) => {
  let [out, err] = ['', ''];
  const output = {
    clock: systemClock,
    out: (text: string) => {
      out += text;
    },
    flushed: async () => undefined,
    err: (text: string) => {
      err += text;
    },
    width: null,
    errIsTerminal: false,
  };
  return { exit: await runCli(output, words), out, err };
};

test('cli help: every command is in the help of its noun, and every variable is explained', async () => {
  const overview = (await call('help')).out;
  for (const { name, load } of nouns) {
    assert.match(overview, new RegExp(`^  ${name} `, 'm'));
    const { out, exit } = await call('help', name);
    assert.equal(exit, 0);
    const own = (await load()).filter(({ path }) => path.split(' ')[0] === name);
    assert.ok(own.length > 0);
    for (const { path } of own) assert.ok(out.includes(`cnm ${path}`), path);
  }
  const environment = (await call('help', 'environment')).out;
  for (const name of Object.keys(variables)) assert.ok(environment.includes(name));
});

test('cli usage: what makes no sense is 2, with what would make sense', async () => {
  assert.deepEqual([(await call()).exit, (await call('nope')).exit, (await call('network')).exit], [2, 2, 2]);
  assert.match((await call('network', 'destroy')).err, /cnm network knows create, update, ls, inspect, rm, prune/);
  assert.match((await call('network', 'create')).err, /NAME is missing\nusage: cnm network create NAME/);
  assert.match((await call('--version')).out, /^\d+\.\d+\.\d+\n$/);
});

test('cli usage: a value that makes no sense is told with its option and the usage of its command', async () => {
  const usage = 'usage: cnm network create NAME ';
  const never = await call('network', 'create', 'web', '--gc', 'never');
  assert.equal(never.exit, 2);
  assert.ok(never.err.startsWith(`cnm: gc: never is no duration: write 30s, 5m, 24h or 7d\n${usage}`), never.err);
  const twice = await call('network', 'create', 'h1/web', '--host', 'h2');
  assert.equal(twice.exit, 2);
  assert.ok(twice.err.startsWith(`cnm: h1/web and --host h2: name one host\n${usage}`), twice.err);
});

test('cli network rotate-keys: which networks get new keys', () => {
  const network = (name: string, encrypted: boolean | null) => ({
    name,
    tunnel: encrypted === null ? null : { port: 4790, encrypted },
  });
  const plain = [network('web', null), network('span', false)];
  assert.equal(describeRotated(plain), 'no network is encrypted now; those to come have new keys');
  assert.equal(
    describeRotated([...plain, network('vault', true), network('safe', true)]),
    'new keys for vault, safe: hosts send with them in ten seconds',
  );
});

test('cli events: what a lease is of, and why', () => {
  const sandbox = { id: 'job-17', incarnation: 'i1' };
  const renewed = { sandbox, network: null, leaseMs: 90_000, renewals: 1 };
  assert.equal(describeEvent({ type: 'cnm.LeaseRenewed.v1', data: renewed }), 'sandbox job-17 for 90 s');
  const expiredAt = '2026-11-21T19:07:23.000Z';
  const suspected = { sandbox, network: null, renewals: 1, expiredAt };
  assert.equal(
    describeEvent({ type: 'cnm.LeaseSuspected.v1', data: suspected }),
    `sandbox job-17, ran out ${expiredAt}`,
  );
  const network = { id: 'n1', name: 'trial' };
  assert.equal(
    describeEvent({ type: 'cnm.LeaseRenewed.v1', data: { ...renewed, sandbox: null, network } }),
    'network trial for 90 s',
  );
});
