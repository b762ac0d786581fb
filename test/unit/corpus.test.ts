// Logs of earlier days are read for ever, and add up to what they added up to.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cloudType, decodeCommit, eventVersions } from '../../events/envelope.ts';
import type { EventType } from '../../events/events.ts';
import { Chain, writeHeads } from '../../services/audit/chain.ts';
import { verifyExport } from '../../services/audit/verify.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { readRange } from '../../services/lib/read-range.ts';
import { applyMessage, emptyRealm, type Realm } from '../../services/lib/realm.ts';
import { RealmReader, realmLines } from '../../services/lib/realm-lines.ts';
import type { Message } from '../../services/lib/stream.ts';
import { corpora, digestsAt, openCorpus, readDigests } from '../corpus/corpus.ts';

const names = corpora();
const decoder = new TextDecoder();

const messagesOf = async (name: string): Promise<readonly Message[]> => {
  const log = await openCorpus(name);
  const messages: Message[] = [];
  for await (const batch of readRange(log, 1, await log.last())) messages.push(...batch);
  return messages;
};

/** As they are stored: `cnm.EndpointJoined.v1`. */
const typesOf = (message: Message): readonly string[] =>
  (JSON.parse(decoder.decode(message.body)) as readonly { readonly type: string }[]).map(({ type }) => type);

/** What a log begins with that goes on behind others stands in none that is whole (test/property/segment.test.ts). */
const types = (Object.keys(eventVersions) as EventType[]).filter((type) => type !== 'SegmentOpened');

describe('corpora of logs', () => {
  it('are there, and the last one has every event of today: record another when a version is raised', async () => {
    const stored = new Set((await messagesOf(names.at(-1) ?? '')).flatMap(typesOf));
    const today = types.map((type) => cloudType(type, eventVersions[type]));
    assert.deepEqual([...stored].sort(), today.sort());
  });

  it('have every version that an event ever had', async () => {
    const stored = new Set<string>();
    for (const name of names)
      for (const message of await messagesOf(name)) for (const type of typesOf(message)) stored.add(type);
    const versions = types.flatMap((type) =>
      Array.from({ length: eventVersions[type] }, (_, index) => cloudType(type, index + 1)),
    );
    assert.deepEqual([...stored].sort(), versions.sort());
  });

  for (const name of names) {
    it(`${name}: is whole, its chains hold, and every message can be read and decided on`, async () => {
      const opened = await openCorpus(name);
      const { header, end } = opened;
      assert.deepEqual((await verifyExport(opened, new Map())).findings, []);
      const [chain, realm] = [new Chain(), emptyRealm()];
      const heads = new Map<string, Message>();
      for (const message of await messagesOf(name)) {
        const head = heads.get(message.subject);
        assert.equal(message.header('Cnm-Prev-Hash'), head ? chainHash(head) : '', `position ${message.position}`);
        heads.set(message.subject, message);
        chain.take(message);
        decodeCommit(message.body, message.subject);
        applyMessage(realm, message);
      }
      assert.deepEqual([header.first, header.realm], [1, 'model']);
      const { position: last, digest } = chain;
      assert.deepEqual(end, { last, messages: last, digest, heads: writeHeads(chain.heads) });
    });

    it(`${name}: adds up to the same without what is remembered of commands, for those who decide nothing`, async () => {
      const [whole, lean] = [emptyRealm(), emptyRealm(0)];
      for (const message of await messagesOf(name)) {
        applyMessage(whole, message);
        applyMessage(lean, message);
      }
      const linesOf = (realm: Realm) => [...realmLines(realm)].map((line) => JSON.stringify(line));
      const isOfCommands = (line: string): boolean => /^\["state","(remembered"|row","commands")/.test(line);
      const lines = linesOf(whole);
      assert.ok(lines.some(isOfCommands));
      assert.deepEqual(
        linesOf(lean),
        lines.filter((line) => !isOfCommands(line)),
      );
      const carried = emptyRealm(0);
      const reader = new RealmReader(carried);
      for (const line of realmLines(whole)) reader.take(line);
      assert.deepEqual(linesOf(carried), linesOf(lean));
    });

    it(`${name}: shows in every view what it showed then`, async () => {
      const digests = readDigests(name);
      const positions = Object.keys(digests).map(Number);
      assert.ok(new Set(Object.values(digests)).size === positions.length && positions.length > 1);
      assert.deepEqual(await digestsAt(await openCorpus(name), positions), digests);
    });
  }
});
