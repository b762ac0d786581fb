/**
 * Records a corpus of today's log: a long history of the model on three hosts, and a golden sample of each type of event that it did not come
 * to, stored as a server would. What is there stays: a log of a released version never changes. `--digests` writes the digests of all corpora
 * anew, which is right when views were meant to show something else than before, and wrong otherwise.
 *
 *     node test/corpus/record.ts YYYY-MM-DD[LETTER]
 *     node test/corpus/record.ts YYYY-MM-DD[LETTER] MESSAGES
 *     node test/corpus/record.ts --digests
 *
 * MESSAGES is what the model of an earlier commit has written, in a worktree of that commit: a list in JSON of the messages of its log, each
 * `{recordedMs, subject, headers: {NAME: VALUE}, body: BASE64}`. Corpora a, b and c of 2026-11-21 are of the commits 6aacb71, 8a008fe and 3c68ccc,
 * the last ones before events were raised to their versions 2, 3 and 4 (events/upcasts.ts).
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { commitHeaders, decodeCommit, eventVersions } from '../../events/envelope.ts';
import { type EventType, outcomeTypes } from '../../events/events.ts';
import { allHostsTypes } from '../../events/evolve-all-hosts.ts';
import { subjects } from '../../events/names.ts';
import { exportLines } from '../../services/audit/export.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { type Append, batchHeaders, type Message } from '../../services/lib/stream.ts';
import { Model } from '../property/model.ts';
import { realmMoves } from '../property/model-moves.ts';
import { playTogether } from '../property/model-play.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import { corpora, digestsAt, filesOf, openCorpus, readDigests } from './corpus.ts';

/** Comes to most types of events. */
const SEED = 7;
const HISTORIES = 60;
const DIGESTS = 12;
const hosts = ['h1', 'h2', 'h3'];
/** Stand nowhere but at the beginning of a log. */
const beginnings: ReadonlySet<EventType> = new Set(['RealmOpened', 'SegmentOpened'] as const);

type Kept = Pick<Message, 'recordedMs' | 'subject' | 'body'> & { readonly headers: Readonly<Record<string, string>> };

const play = (): readonly Kept[] => {
  const steps = fc.sample(realmMoves, { seed: SEED, numRuns: HISTORIES }).flat();
  const model = new Model(2, hosts, 'together');
  playTogether(model, steps);
  return model.log.map((message) => ({ ...message, headers: Object.fromEntries(message.headers()) }));
};

/** Types of a file of events. */
const typesIn = (kept: readonly Kept[]): ReadonlySet<EventType> =>
  new Set(kept.flatMap(({ body, subject }) => decodeCommit(body, subject).map(({ type }) => type)));

const isReport = (type: EventType): boolean => outcomeTypes.some((known) => known === type);

/** A sample of another realm, as it would be in this one. */
const sampleOf = (type: EventType, recordedMs: number): Kept => {
  const file = join(import.meta.dirname, `../golden/events/${type}.v${eventVersions[type]}.json`);
  const event = JSON.parse(readFileSync(file, 'utf8').replaceAll('/cnm/default/', '/cnm/model/'));
  if (type === 'RealmOpened') event.data.realm = 'model';
  const isOfRealm = type === 'RealmOpened' || allHostsTypes.some((known) => known === type);
  const subject = isOfRealm ? subjects.realm : isReport(type) ? subjects.outcome('h1') : subjects.host('h1');
  const isDecision = !subject.startsWith('cnm.outcome.');
  const headers = {
    [commitHeaders.contentType]: 'application/cloudevents-batch+json',
    ...(isDecision ? { [commitHeaders.commands]: '0-0' } : {}),
  };
  return { recordedMs, subject, headers, body: new TextEncoder().encode(JSON.stringify([event])) };
};

/** The position in the model's log, where the opening is missing, as one of the corpus. */
const later = (awaits: string): string =>
  awaits.replaceAll(/=(\d+)/g, (_, position: string) => `=${position === '0' ? 0 : Number(position) + 1}`);

class Recorder {
  #nowMs = 0;
  #commits = 0;
  readonly log: MemoryStream = memoryStream('CNM_LOG', { nowMs: () => this.#nowMs });
  readonly #heads = new Map<string, Message>();

  /** Messages that were stored together. */
  async store(batch: readonly Kept[]): Promise<void> {
    this.#nowMs = batch[0]?.recordedMs ?? 0;
    const appends = batch.map((kept) => this.#appendOf(kept));
    const [first] = appends;
    assert.ok(first);
    const stored = appends.length === 1 ? await this.log.append(first) : await this.log.appendAll(appends);
    assert.equal(stored.kind, 'appended');
    for (const message of this.log.stored().slice(-appends.length)) this.#heads.set(message.subject, message);
  }

  #appendOf({ subject, body, headers }: Kept): Append {
    const head = this.#heads.get(subject);
    const { [commitHeaders.prevHash]: _, [commitHeaders.awaits]: awaits, ...others } = headers;
    const own = Object.entries(others).filter(([name]) => !Object.values<string>(batchHeaders).includes(name));
    const [event] = decodeCommit(body, subject);
    this.#commits += 1;
    return {
      subject,
      body,
      // An empty commit has no event to take it from.
      id: event?.meta.id.replace(/\.\d+$/, '') ?? `fence${this.#commits}`,
      expectedLast: head?.position ?? 0,
      headers: {
        ...Object.fromEntries(own),
        ...(head ? { [commitHeaders.prevHash]: chainHash(head) } : {}),
        ...(awaits === undefined ? {} : { [commitHeaders.awaits]: later(awaits) }),
      },
    };
  }
}

/** Messages of one atomic batch together, every other one alone. */
const batches = (kept: readonly Kept[]): readonly (readonly Kept[])[] => {
  const groups: Kept[][] = [];
  let open = '';
  for (const one of kept) {
    const id = one.headers[batchHeaders.id] ?? '';
    if (id !== '' && id === open) groups.at(-1)?.push(one);
    else groups.push([one]);
    open = id;
  }
  return groups;
};

/** What an earlier version has written. */
const readKept = (file: string): readonly Kept[] =>
  (JSON.parse(readFileSync(file, 'utf8')) as readonly (Omit<Kept, 'body'> & { readonly body: string })[]).map(
    (kept) => ({
      ...kept,
      body: Buffer.from(kept.body, 'base64'),
    }),
  );

/** @param samples whether types that it has not come to are added, as they are stored today */
const record = async (name: string, played: readonly Kept[], samples: boolean): Promise<void> => {
  const recorder = new Recorder();
  const [firstMs, lastMs] = [played[0]?.recordedMs ?? 0, played.at(-1)?.recordedMs ?? 0];
  await recorder.store([sampleOf('RealmOpened', firstMs)]);
  for (const batch of batches(played)) await recorder.store(batch);
  const seen = typesIn(played);
  const missing = !samples
    ? []
    : (Object.keys(eventVersions) as EventType[]).filter((type) => !seen.has(type) && !beginnings.has(type));
  for (const type of missing) await recorder.store([sampleOf(type, lastMs)]);
  let text = '';
  for await (const lines of exportLines(recorder.log)) text += lines;
  const { log } = filesOf(name);
  mkdirSync(dirname(log), { recursive: true });
  writeFileSync(log, zstdCompressSync(text), { flag: 'wx' });
  const last = await recorder.log.last();
  await writeDigests(
    name,
    Array.from({ length: DIGESTS }, (_, index) => Math.round((last * (index + 1)) / DIGESTS)),
  );
  console.log(`${last} messages; golden samples for ${missing.join(', ')}`);
};

const writeDigests = async (name: string, positions: readonly number[]): Promise<void> => {
  const digests = await digestsAt(await openCorpus(name), positions);
  writeFileSync(filesOf(name).digests, `${JSON.stringify(digests, null, 2)}\n`);
};

const [asked = '', messages] = process.argv.slice(2);
if (asked === '--digests')
  for (const name of corpora()) await writeDigests(name, Object.keys(readDigests(name)).map(Number));
else if (/^\d{4}-\d\d-\d\d[a-z]?$/.test(asked))
  await (messages === undefined ? record(asked, play(), true) : record(asked, readKept(messages), false));
else {
  console.error('node test/corpus/record.ts YYYY-MM-DD[LETTER] [MESSAGES] | --digests');
  process.exit(2);
}
