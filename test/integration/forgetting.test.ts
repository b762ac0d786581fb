// What hosts have decided is forgotten when its time is over, also where nothing is decided any more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryMsMost, subjects } from '../../events/names.ts';
import { applyMessage, boundaryOf, emptyRealm } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { host, staged } from '../support/stage.ts';

const recordedLater = (message: Message, ms: number): Message => ({
  position: message.position,
  recordedMs: message.recordedMs + ms,
  subject: message.subject,
  header: (name) => message.header(name),
  headers: () => message.headers(),
  body: message.body,
  pending: 0,
});

test('commands of a host on which nothing comes any more are forgotten with the others', () =>
  staged(async (stage) => {
    await stage.controller();
    for (const name of ['a', 'b', 'c']) await stage.send('CreateNetwork', { name });
    await stage.allDecided();
    await stage.allEnded();
    await stage.send('CreateNetwork', { name: 'n' }, { to: 'elsewhere' });
    await stage.allDecided();
    const last = stage.logged.at(-1);
    assert.equal(last?.subject, subjects.realm);
    const kept = (days: number): number => {
      const realm = emptyRealm();
      for (const message of stage.logged.slice(0, -1)) applyMessage(realm, message);
      if (last) applyMessage(realm, recordedLater(last, days * 86_400_000));
      return boundaryOf(realm, host).state.commands.size;
    };
    assert.equal(kept(0), 3);
    assert.equal(kept(29), 3);
    assert.equal(kept(memoryMsMost / 86_400_000 + 1), 0);
  }));
