import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Actor,
  CommandId,
  commandId,
  decodeToken,
  EndpointName,
  encodeToken,
  HostName,
  mintedMs,
  NetworkName,
  NetworkRef,
  parseCommandSubject,
  subjects,
} from '../../events/names.ts';

test('names: what may be one, and what may not', () => {
  const bad = ['', '.', '..', '../x', '-x', '_x', 'a/b', 'a b', 'a\nb', 'ä', 'a*', 'a>', '\0', ' a', 'a '];
  for (const name of ['web', 'a', '0', 'A_b.c-d', 'x'.repeat(63)]) assert.ok(NetworkName.safeParse(name).success, name);
  for (const name of [...bad, 'x'.repeat(64)]) assert.ok(!NetworkName.safeParse(name).success, JSON.stringify(name));
  assert.ok(EndpointName.safeParse('f'.repeat(128)).success, 'a container id fits twice');
  assert.ok(!EndpointName.safeParse('f'.repeat(129)).success);
  for (const name of [...bad, 'a_b', 'x'.repeat(64)])
    assert.ok(!HostName.safeParse(name).success, JSON.stringify(name));
  assert.ok(HostName.safeParse('node-1.example.com').success);
  for (const ref of ['web', 'h1/web', 'node-1.x/web', '0123456789ab'])
    assert.ok(NetworkRef.safeParse(ref).success, ref);
  for (const ref of ['/web', 'web/', 'a/b/c', '../web', 'h_1/web', ''])
    assert.ok(!NetworkRef.safeParse(ref).success, ref);
  for (const actor of ['alice', 'ci@build:7', `worker:${'x'.repeat(63)}`])
    assert.ok(Actor.safeParse(actor).success, actor);
  for (const actor of ['', '>', 'a b', '_', 'x'.repeat(71)]) assert.ok(!Actor.safeParse(actor).success, actor);
});

test('tokens: plain names stay, everything else is encoded, and all comes back', () => {
  assert.equal(encodeToken('web-1_A'), 'web-1_A');
  assert.equal(encodeToken('node.example'), 'node=2Eexample');
  assert.equal(encodeToken('_'), '=5F', 'stands for "no host" otherwise');
  assert.equal(encodeToken('a=b'), 'a=3Db');
  assert.equal(encodeToken('ä'), '=C3=A4');
  for (const text of ['web', '_', '__', '_a', '-', 'a.b', 'a b', '*', '>', '=', '=2E', 'ä€😀', 'A'.repeat(200)]) {
    const token = encodeToken(text);
    assert.match(token, /^[A-Za-z0-9_=-]+$/);
    assert.notEqual(token, '_');
    assert.equal(decodeToken(token), text);
  }
});

test('tokens: there is one for each name', () => {
  const others = ['', '=', '=2', '=2e', 'a.b', '=41', '_=5F', '=C3', '=FF', '=ED=A0=80', 'a=', 'a b', '*', '>', '=5f'];
  for (const token of others) assert.equal(decodeToken(token), null, token);
  assert.equal(decodeToken('_'), null, 'never made by encodeToken');
});

test('command ids carry the time of minting', () => {
  const now = Date.UTC(2026, 5, 1);
  const id = commandId(now, 'x~!/');
  assert.ok(CommandId.safeParse(id).success);
  assert.equal(mintedMs(id), now);
  assert.equal(mintedMs(commandId(now, 'a-b-c')), now);
  for (const bad of [
    '',
    'x',
    'mhx3k2p1',
    'mhx3k2p1-',
    'MHX3K2P1-a',
    'mhx3k2p1-a b',
    'mhx3k2p1-ä',
    '1-a',
    `mhx3k2p1-${'x'.repeat(151)}`,
  ])
    assert.ok(!CommandId.safeParse(bad).success, bad);
  assert.ok(CommandId.safeParse(`mhx3k2p1-${'x'.repeat(150)}`).success);
});

test('subjects of commands say who sends and where to', () => {
  assert.equal(subjects.command('alice', null), 'cnm.command.alice._');
  assert.equal(subjects.command('ci@build', 'node.x'), 'cnm.command.ci=40build.node=2Ex');
  for (const [actor, host] of [
    ['alice', null],
    ['ci@build:7', 'node-1.example'],
    ['a_', 'h1'],
  ] as const)
    assert.deepEqual(parseCommandSubject(subjects.command(actor, host)), { actor, host });
  const bad = ['', 'cnm', 'cnm.command.alice', 'cnm.command.alice.h1.x', 'cnm.event.alice.h1', 'x.command.alice.h1'];
  for (const subject of [
    ...bad,
    'cnm.command._.h1',
    'cnm.command.alice.h_1',
    'cnm.command.=61.h1',
    'cnm.command..h1',
    'cnm.command.alice.',
  ])
    assert.equal(parseCommandSubject(subject), null, subject);
});

test('a reply subject is made of actor and id, whatever is in them', () => {
  assert.equal(subjects.reply('alice', 'mhx3k2p1-a.b>*'), 'cnm.reply.alice.mhx3k2p1-a=2Eb=3E=2A');
});
