// Resolvers of sandboxes over real sockets: UDP and TCP, garbage, limits of connections, sockets that stay while names change.
import assert from 'node:assert/strict';
import { createSocket as createUdp } from 'node:dgram';
import { closeSync, existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createFrames } from '../../services/dns/frames.ts';
import { listenTcp, type TcpOptions } from '../../services/dns/listen-tcp.ts';
import { Questions } from '../../services/dns/questions.ts';
import {
  askTcp,
  askUdp,
  dataOf,
  decodeReply,
  framed,
  loopbackKernel,
  member,
  networkFacts,
  queryMessage,
  resolving,
  sandboxFacts,
} from '../support/dns.ts';
import { waitFor } from '../support/nats.ts';

const net = networkFacts('net', { internal: true });
const [one, two] = [sandboxFacts('s1'), sandboxFacts('s2')];
const web = member(net, { id: 'web', ipv4: '10.0.0.2/24', ipv6: 'fd00::2/64' }, one);
const db = member(net, { id: 'db', ipv4: '10.0.0.3/24' }, two);

const system = resolving();
const { dns, ports, udp, tcp } = system;
await system.join(web);
await system.join(db);
after(() => dns.close());
const port = (sandbox: string, protocol: 'udp' | 'tcp'): number => ports.get(`/run/${sandbox}`)?.[protocol] ?? 0;

test('both protocols, both families, both sandboxes', async () => {
  assert.deepEqual(dataOf(await udp('s1', 'db')), ['10.0.0.3']);
  assert.deepEqual(dataOf(await udp('s2', 'web', { type: 'AAAA' })), ['fd00::2']);
  assert.deepEqual(dataOf(await tcp('s2', 'web.net')), ['10.0.0.2']);
  const empty = await tcp('s1', 'db', { type: 'AAAA' });
  assert.deepEqual([empty.rcode, empty.flag_aa, empty.answers], ['NOERROR', true, []]);
  assert.equal((await udp('s1', 'example.com')).rcode, 'NXDOMAIN', 'internal');
});

test('a name is there when the join is told, and gone when the leave is', async () => {
  assert.equal((await udp('s1', 'late')).rcode, 'NXDOMAIN');
  dns.joined(member(net, { id: 'late', ipv4: '10.0.0.9/24' }, two));
  assert.deepEqual(dataOf(await udp('s1', 'late')), ['10.0.0.9']);
  dns.left('late');
  assert.equal((await udp('s1', 'late')).rcode, 'NXDOMAIN');
});

test('how far the names are is told', async () => {
  dns.reached(42);
  assert.deepEqual(dataOf(await udp('s1', 'position.cnm', { type: 'TXT' })), ['position=42']);
});

test('a truncated answer is whole over TCP', async () => {
  for (let count = 0; count < 60; count++)
    dns.joined(member(net, { id: `r${count}`, ipv4: `10.0.1.${count}/16`, aliases: ['many'] }, two));
  const cut = await udp('s1', 'many');
  assert.ok(cut.flag_tc && (cut.answers?.length ?? 0) < 60);
  const whole = await tcp('s1', 'many');
  assert.equal(new Set(dataOf(whole)).size, 60);
  assert.equal((await udp('s1', 'many', { edns: 4096 })).answers?.length, 60);
  for (let count = 0; count < 60; count++) dns.left(`r${count}`);
});

test('several queries on one connection, however they arrive', async () => {
  const messages = ['web', 'db', 'nothing'].map((name, id) => framed(queryMessage(name, { id })));
  const stream = Buffer.concat(messages);
  const bytewise = [...stream].map((byte) => Buffer.from([byte]));
  for (const chunks of [[stream], messages, bytewise]) {
    const replies = (await askTcp(port('s1', 'tcp'), chunks, 3)).map(decodeReply);
    assert.deepEqual(
      replies.map(({ id, rcode }) => [id, rcode]),
      [
        [0, 'NOERROR'],
        [1, 'NOERROR'],
        [2, 'NXDOMAIN'],
      ],
    );
  }
});

test('a thousand queries at once on one connection are all answered', async () => {
  const stream = Buffer.concat(Array.from({ length: 1000 }, (_, id) => framed(queryMessage('web', { id }))));
  const replies = await askTcp(port('s1', 'tcp'), [stream], 1000);
  assert.deepEqual(new Set(replies.map((reply) => reply.readUInt16BE(0))).size, 1000);
});

test('a client that has said all gets its answers all the same, and then the end', async () => {
  const socket = connect({ host: '127.0.0.11', port: port('s1', 'tcp'), allowHalfOpen: true });
  const frames = createFrames();
  const ended = Promise.withResolvers<void>();
  socket.on('data', (chunk) => frames.push(chunk));
  socket.on('end', ended.resolve);
  socket.end(Buffer.concat([framed(queryMessage('web')), framed(queryMessage('db'))]));
  await ended.promise;
  socket.destroy();
  const replies = [frames.shift(), frames.shift()].map((message) => message && dataOf(decodeReply(message)));
  assert.deepEqual([replies, frames.bytes], [[['10.0.0.2'], ['10.0.0.3']], 0]);
});

test('garbage is answered or dropped, and nothing ends', async () => {
  const before = dns.counts.malformed;
  const response = queryMessage('web');
  response.writeUInt16BE(0x8180, 2);
  const short = Buffer.from([1, 2, 3]);
  const broken = queryMessage('web', { id: 77 }).subarray(0, 14);
  const [reply, ...more] = await askUdp(port('s1', 'udp'), [short, response, broken], 1);
  assert.deepEqual(more, []);
  const { id, rcode } = decodeReply(reply ?? short);
  assert.deepEqual([id, rcode], [77, 'FORMERR']);
  assert.deepEqual(await askTcp(port('s1', 'tcp'), [framed(short)], 1), [], 'closed without an answer');
  assert.equal(dns.counts.malformed - before, 4);
  assert.deepEqual(dataOf(await udp('s1', 'web')), ['10.0.0.2']);
});

// queryBytesMax in services/dns/listen-udp.ts
test('a datagram of 4,096 bytes is read, and one that is longer is dropped and counted', async () => {
  const before = dns.counts.dropped;
  const padded = (bytes: number, id: number): Buffer => Buffer.concat([queryMessage('web', { id })], bytes);
  const [reply, ...more] = await askUdp(port('s1', 'udp'), [padded(4_097, 1), padded(4_096, 2)], 1);
  assert.deepEqual([reply?.readUInt16BE(0), more, dns.counts.dropped - before], [2, [], 1]);
});

const opened = async (sandbox: string): Promise<{ readonly socket: Socket; readonly closed: () => boolean }> => {
  const socket = connect(port(sandbox, 'tcp'), '127.0.0.11');
  let isClosed = false;
  socket.on('close', () => {
    isClosed = true;
  });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, closed: () => isClosed };
};

/** A connection to a listener that nothing else is behind. */
const tcpAlone = async (options: Pick<TcpOptions, 'respond' | 'line'>) => {
  const { openResolver, ports: own } = loopbackKernel();
  const sockets = await openResolver('box', 53);
  assert.ok(sockets.ok);
  closeSync(sockets.udp);
  const { close } = await listenTcp(sockets.tcp, { ...options, onError: assert.ifError });
  return { socket: connect(own.get('box')?.tcp ?? 0, '127.0.0.11'), close };
};

test('of one connection so many questions are open at once, and the next ones wait for an answer', async () => {
  const waiting: (() => void)[] = [];
  let isSlow = true;
  const respond = (message: Buffer): Promise<Buffer> =>
    isSlow ? new Promise((resolve) => waiting.push(() => resolve(message))) : Promise.resolve(message);
  const line = new Questions().line();
  const { socket, close } = await tcpAlone({ respond, line });
  const frames = createFrames();
  socket.on('data', (chunk) => frames.push(chunk));
  // questionsMax in services/dns/listen-tcp.ts
  socket.write(Buffer.concat(Array.from({ length: 200 }, (_, id) => framed(queryMessage('web', { id })))));
  await waitFor(() => waiting.length === 64, { what: 'as many as may be' });
  for (const answered of [0, 1, 2]) {
    assert.equal(waiting.length, 64 + answered);
    waiting[answered]?.();
    await waitFor(() => waiting.length > 64 + answered, { what: 'the next one' });
  }
  isSlow = false;
  for (const answer of waiting.slice(3)) answer();
  let count = 0;
  const isWhole = (): boolean => {
    while (frames.shift() !== undefined) count += 1;
    return count === 200;
  };
  await waitFor(isWhole, { what: 'all answers' });
  socket.destroy();
  await close();
});

test('of one connection one question waits for its turn, and one that comes when the line is full is closed', async () => {
  const turns: (() => void)[] = [];
  const line = { ask: (answer: () => void) => turns.push(answer), isFull: false, close: () => undefined };
  const { socket, close } = await tcpAlone({ respond: (message) => message, line });
  const frames = createFrames();
  const answers: Buffer[] = [];
  socket.on('data', (chunk) => {
    frames.push(chunk);
    for (let answer = frames.shift(); answer !== undefined; answer = frames.shift()) answers.push(answer);
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(Buffer.concat(Array.from({ length: 50 }, (_, id) => framed(queryMessage('web', { id })))));
  for (let answered = 0; answered < 20; answered++) {
    await waitFor(() => turns.length === answered + 1, { what: 'the next question' });
    await nextTurn();
    assert.equal(turns.length, answered + 1);
    turns[answered]?.();
    await waitFor(() => answers.length === answered + 1, { what: 'its answer' });
    assert.equal(answers[answered]?.readUInt16BE(0), answered);
  }
  line.isFull = true;
  turns.at(-1)?.();
  await closed;
  await close();
});

test('a sandbox that holds too many connections has no more, and its neighbour notices nothing', async () => {
  const many = await Promise.all(Array.from({ length: 80 }, () => opened('s1')));
  await waitFor(() => many.filter(({ closed }) => closed()).length >= 16, {
    what: 'those beyond the limit to be closed',
  });
  assert.equal(many.filter(({ closed }) => closed()).length, 16);
  assert.deepEqual(dataOf(await tcp('s2', 'web')), ['10.0.0.2']);
  assert.deepEqual(dataOf(await udp('s1', 'db')), ['10.0.0.3']);
  for (const { socket } of many) socket.destroy();
  await waitFor(async () => (await askTcp(port('s1', 'tcp'), [framed(queryMessage('db'))], 1)).length === 1, {
    what: 'room for a connection',
  });
});

test('of what one sandbox sends faster than it is answered some is dropped and counted, and its neighbour is answered', async (t) => {
  const before = dns.counts;
  const flood = createUdp('udp4');
  t.after(() => flood.close());
  let answers = 0;
  flood.on('message', () => {
    answers += 1;
  });
  for (let wave = 0; dns.counts.dropped === before.dropped; wave++) {
    assert.ok(wave < 10_000, 'nothing is dropped');
    for (let id = 0; id < 64; id++) flood.send(queryMessage('web', { id }), port('s1', 'udp'), '127.0.0.11');
    await nextTurn();
  }
  assert.deepEqual(dataOf(await udp('s2', 'web')), ['10.0.0.2']);
  await waitFor(() => answers > 256, { what: 'answers to what was not dropped' });
  assert.deepEqual(dataOf(await udp('s1', 'db')), ['10.0.0.3']);
});

test('a released sandbox has no descriptor left, not even of connections; its neighbours keep theirs', async () => {
  const third = sandboxFacts('s3');
  await system.join(member(net, { id: 'third', ipv4: '10.0.0.4/24' }, third));
  const connection = await opened('s3');
  assert.equal(await dns.open(third), null, 'open already');
  const { fds = [] } = ports.get('/run/s3') ?? {};
  assert.ok(fds.length === 2 && fds.every((fd) => existsSync(`/proc/self/fd/${fd}`)));
  await dns.release(third.incarnation);
  await dns.release(third.incarnation);
  assert.deepEqual(
    fds.filter((fd) => existsSync(`/proc/self/fd/${fd}`)),
    [],
  );
  await waitFor(connection.closed, { what: 'the connection to be closed' });
  assert.deepEqual(dataOf(await udp('s1', 'third')), ['10.0.0.4'], 'names stay until the leave is told');
  dns.left('third');
  assert.equal(dns.counts.sandboxes, 2);
});

test('names change while sockets stay: the same descriptors after a hundred changes', async () => {
  const fds = [...ports.values()].slice(0, 2).flatMap((each) => each.fds);
  for (let round = 0; round < 100; round++) {
    dns.joined(member(net, { id: `x${round}`, ipv4: `10.0.2.${round}/16`, aliases: ['x'] }, two));
    assert.deepEqual(dataOf(await udp('s1', 'x')), [`10.0.2.${round}`]);
    dns.left(`x${round}`);
    assert.equal((await udp('s1', 'x')).rcode, 'NXDOMAIN');
  }
  assert.ok(fds.length === 4 && fds.every((fd) => existsSync(`/proc/self/fd/${fd}`)));
});

test('what is opened twice at once is opened once, and descriptors that are no sockets are refused and closed', async () => {
  const fourth = sandboxFacts('s4');
  assert.deepEqual(await Promise.all([dns.open(fourth), dns.open(fourth)]), [null, null]);
  await waitFor(() => dns.counts.sandboxes === 3, { what: 'the sockets to be taken over' });
  await dns.release(fourth.incarnation);
  const { createDns } = await import('../../services/dns/dns.ts');
  const { openSync } = await import('node:fs');
  const { systemClock } = await import('../../services/lib/clock.ts');
  const { silentLogger } = await import('../../services/lib/logger.ts');
  const fds = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r')] as const;
  const kernel = { openResolver: async () => ({ ok: true, udp: fds[0], tcp: fds[1] }) as const };
  const config = { servers: [], search: [], options: [] };
  const upstreams = { servers: () => [], config: () => config, close: () => undefined };
  const unserved: string[] = [];
  const onUnserved = (incarnation: string) => unserved.push(incarnation);
  const other = createDns({ kernel, upstreams, logger: silentLogger(), clock: systemClock, onUnserved });
  assert.equal(await other.open(fourth), null);
  await waitFor(() => unserved.length > 0, { what: 'word of the sockets' });
  assert.deepEqual(unserved, [fourth.incarnation]);
  assert.deepEqual(
    fds.filter((fd) => existsSync(`/proc/self/fd/${fd}`)),
    [],
  );
  await other.close();
});
