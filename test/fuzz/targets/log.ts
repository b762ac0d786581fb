/** Messages on the log, in exports and in snapshots, and how the server delivers them. */
import assert from 'node:assert/strict';
import { decodeCommit, decodeParts } from '../../../events/envelope.ts';
import { isChunk } from '../../../events/names.ts';
import { SnapshotReader } from '../../../projections/snapshot.ts';
import { parseHeader, parseLine } from '../../../services/audit/export-format.ts';
import { decidedIn } from '../../../services/lib/realm-lines.ts';
import { recordedOf } from '../../../services/lib/recorded.ts';
import { ackPrefixLength, DeliveredMessage } from '../../../services/nats/stored-message.ts';
import { goldenEvents } from '../golden.ts';
import { json, mutatedJson, mutatedText, type Random, text } from '../random.ts';
import { answers, named, type Target } from '../target.ts';

const encoder = new TextEncoder();
const unreadable = named('UnreadableCommit');

/** A commit of golden events, and what somebody has made of it. */
const commit = (random: Random, good: readonly unknown[]): string => {
  const events = Array.from({ length: 1 + random.below(3) }, () => random.pick(good));
  const changed = random.chance(0.9) ? mutatedJson(random, events) : json(random);
  const written = JSON.stringify(changed) ?? '';
  return random.chance(0.1) ? mutatedText(random, written) : written;
};

const subjects = [
  'cnm.event.host.h1',
  'cnm.event.realm._',
  'cnm.outcome.h1',
  'cnm.event.segment.1',
  'cnm.event.realm.x',
  'cnm.x',
];

export const commits: Target = {
  name: 'commits',
  share: 14,
  start: () => {
    const good = goldenEvents();
    return (random: Random) => {
      const body = encoder.encode(commit(random, good));
      const subject = random.chance(0.8) ? random.pick(subjects) : text(random);
      const events = answers(() => decodeCommit(body, subject), unreadable);
      const parts = answers(() => decodeParts(body, subject), unreadable);
      if (events !== undefined && parts !== undefined && !isChunk(subject)) assert.equal(parts.length, events.length);
    };
  },
};

export const headers: Target = {
  name: 'headers',
  share: 6,
  start: () => (random: Random) => {
    decidedIn(mutatedText(random, '12-47'));
    const header = (): string =>
      mutatedText(random, random.pick(['2026-11-21T05:07:27.171Z', '12-47', 'cnm.event.host.h1=12', '3']));
    const at = recordedOf({ header, recordedMs: 5 });
    assert.ok(Number.isFinite(at), 'a time is a time');
    const reply = mutatedText(
      random,
      random.pick([
        '$JS.ACK.CNM_LOG.read_x.1.2.3.1763700000000000000.0',
        '$JS.ACK._.h4sh.CNM_LOG.read_x.1.2.3.1763700000000000000.0.tok',
      ]),
    );
    const prefix = ackPrefixLength(reply);
    if (prefix < 0) return;
    const message = new DeliveredMessage({ subject: 's', data: new Uint8Array() } as never, reply, prefix);
    assert.equal(typeof message.position, 'number');
    // of the next message only the numbers are looked at, under the prefix of the first one
    new DeliveredMessage({ subject: 's', data: new Uint8Array() } as never, text(random), prefix);
  },
};

const lines = [
  { format: 'cnmbus-export', version: 1, realm: 'default', epoch: 'e', from: 1, filter: null },
  {
    position: 1,
    recorded: '2026-11-21T05:07:27.171Z',
    subject: 'cnm.event.realm._',
    headers: [['Nats-Msg-Id', 'x']],
    body: 'W10=',
  },
  { checkpoint: '{"position":1}', signature: 'c2ln' },
  { end: { messages: 1, last: 1, sha256: 'x' } },
  { specversion: '1.0' },
];

export const exports: Target = {
  name: 'exports',
  share: 5,
  start: () => (random: Random) => {
    const written = JSON.stringify(mutatedJson(random, random.pick(lines))) ?? '';
    const line = random.chance(0.3) ? mutatedText(random, written) : written;
    answers(() => parseHeader(line), named('ExportFault'));
    const entry = answers(() => parseLine(line), named('ExportFault'));
    if (entry?.kind === 'message')
      assert.ok(Number.isInteger(entry.message.position) && !Number.isNaN(entry.message.recordedMs));
  },
};

const rows = [
  { position: 5, day: '2026-11-21' },
  ['networks', 'n1', { id: 'n1', name: 'web', host: 'h1' }],
  ['addresses', 'a', { address: '10.0.0.1' }],
];

export const snapshots: Target = {
  name: 'snapshots',
  share: 3,
  start: () => (random: Random) => {
    const reader = new SnapshotReader();
    for (const row of rows) {
      const written = JSON.stringify(random.chance(0.5) ? mutatedJson(random, row) : row) ?? '';
      const line = random.chance(0.2) ? mutatedText(random, written) : written;
      if (answers(() => reader.take(line) ?? true, named('SnapshotInvalid')) === undefined) return;
    }
    reader.views();
    assert.equal(({} as { readonly name?: unknown }).name, undefined, 'no prototype is changed');
  },
};
