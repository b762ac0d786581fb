// What is kept of the last commit of each host and each network: there are as many as there ever were.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { cloudType, eventVersions } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { applyMessage, boundaryOf, emptyRealm, networkBoundary, type Realm } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { hostFacts } from '../support/world.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

const factsOf = (host: string): Uint8Array => {
  const event = {
    ...{ specversion: '1.0', id: `${host}.0`, source: '/fabric/f', subject: `host/${host}`, actor: 'alice' },
    ...{ time: '2026-01-05T12:00:00.000Z', commandid: 'c', correlationid: 'c', causationid: 'c' },
    ...{ type: cloudType('HostFacts', eventVersions.HostFacts), data: hostFacts(host) },
  };
  return Buffer.from(JSON.stringify([event]));
};

const messageOf = (position: number, subject: string, body: Uint8Array): Message => {
  const headers = [['Nats-Msg-Id', `id-of-commit-${position}`]] as const;
  const header = (name: string): string => (name === 'Nats-Msg-Id' ? `id-of-commit-${position}` : '');
  return { ...{ position, subject, body, header, pending: 0 }, recordedMs: 0, headers: () => headers };
};

/** More than are ever young at the same time. */
const HOSTS = 3_000;

/** Facts of many hosts, and a network of the realm for each. */
const grown = (realm: Realm): readonly WeakRef<object>[] => {
  const refs: WeakRef<object>[] = [];
  for (let n = 1; n <= HOSTS; n++) {
    const reported = messageOf(2 * n - 1, `cnm.outcome.h${n}`, factsOf(`h${n}`));
    const decided = messageOf(2 * n, subjects.network(`network${n}`), Buffer.from('[]'));
    for (const message of [reported, decided]) applyMessage(realm, message);
    refs.push(new WeakRef(reported), new WeakRef(decided));
    assert.ok(reported.decoded);
    refs.push(new WeakRef(reported.decoded));
  }
  return refs;
};

test('a head that was not replaced for some time keeps nothing of its message but position, id and hash', async () => {
  const realm = emptyRealm();
  const refs = grown(realm);
  // What was referred to in this turn is kept to its end.
  await new Promise(setImmediate);
  collect();
  const kept = refs.filter((ref) => ref.deref() !== undefined).length;
  assert.ok(kept < refs.length / 2, `${kept} of ${refs.length} are kept`);
  for (let n = 1; n <= HOSTS; n++) {
    const heads = [boundaryOf(realm, `h${n}`).outcomeHead, networkBoundary(realm, `network${n}`).head];
    const messages = [
      messageOf(2 * n - 1, `cnm.outcome.h${n}`, factsOf(`h${n}`)),
      messageOf(2 * n, subjects.network(`network${n}`), Buffer.from('[]')),
    ];
    assert.deepEqual(
      heads.map((head) => head && { position: head.position, id: head.id, hash: head.hash }),
      messages.map((message) => ({
        ...{ position: message.position, id: message.header('Nats-Msg-Id'), hash: chainHash(message) },
      })),
    );
  }
});

test('who reports all the time is hashed for none of it, and its last decision lets go of its message all the same', () => {
  const realm = emptyRealm();
  const decided = messageOf(1, subjects.host('h1'), Buffer.from('[]'));
  applyMessage(realm, decided);
  const reports = Array.from({ length: HOSTS }, (_, n) => messageOf(n + 2, 'cnm.outcome.h1', factsOf('h1')));
  for (const report of reports) applyMessage(realm, report);
  assert.deepEqual(
    reports.filter(({ hashed }) => hashed !== undefined),
    [],
  );
  assert.equal(decided.hashed, chainHash(decided));
  const { head, outcomeHead } = boundaryOf(realm, 'h1');
  assert.deepEqual(head, { position: 1, id: 'id-of-commit-1', hash: chainHash(decided) });
  assert.equal(outcomeHead?.position, HOSTS + 1);
});
