/**
 * Puts the log away into a file, and lets the next segment begin with what it added up to. Nothing is deleted before the file is synced,
 * verified, and its digest stored beside it; from there until the segment is open, that file is the only copy, and the same call again
 * goes on from wherever it was stopped.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { JetStreamApiError, type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import { jetStream } from '../nats/jetstream.ts';
import { STREAMS } from '../nats/stream-config.ts';
import { readHeads } from './chain.ts';
import { checkpointSubject, parseCheckpoint, signatureHeader, signCheckpoint } from './checkpoint.ts';
import { openedAt } from './export.ts';
import { exportToFile } from './export-file.ts';
import { counting } from './finding.ts';
import { keyIdOf } from './keys.ts';
import { type Export, openExport } from './open-export.ts';
import { SegmentFault } from './segment-fault.ts';
import { openingOf } from './segment-opening.ts';
import { checkpointsIn } from './stored.ts';
import { verifyExport, verifyLog } from './verify.ts';

export interface SegmentOptions {
  readonly connection: NatsConnection;
  /** Absolute. */
  readonly file: string;
  readonly key: KeyObject;
  /** Public keys of checkpoints that others have signed, by id. */
  readonly keys: ReadonlyMap<string, KeyObject>;
  readonly clock: Clock;
  /** Positions that somebody answers for: what is found there does not stop it. None when left out. */
  readonly accepted?: ReadonlySet<number>;
  /** Bytes of a part of the state at most; tests make it small. */
  readonly chunkBytes?: number;
  /** Told before each step; tests stop it there. */
  readonly onStep?: (step: 'stored' | 'deleted' | 'made' | 'opened') => void;
}

export interface PutAway {
  readonly segment: number;
  /** Position that the new segment begins at. */
  readonly first: number;
  readonly file: string;
  readonly sha256: string;
  readonly messages: number;
}

/** Beside the file, before anything is deleted. */
const Stored = z.object({ sha256: z.string(), last: z.int(), config: z.record(z.string(), z.unknown()) });
type Stored = z.infer<typeof Stored>;

const storedFile = (file: string): string => `${file}.sha256.json`;
const NO_SUCH_STREAM = 10059;
const decoder = new TextDecoder();

const sha256Of = async (file: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(file)) hash.update(piece as Buffer);
  return hash.digest('base64url');
};

const syncFolder = async (file: string): Promise<void> => {
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};

const writeSynced = async (file: string, text: string): Promise<void> => {
  const handle = await open(`${file}.new`, 'w', 0o644);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
  await syncFolder(file);
};

const readStored = async (file: string): Promise<Stored | null> => {
  const text = await readFile(storedFile(file), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  return text === null ? null : Stored.parse(JSON.parse(text));
};

class Segmenter {
  readonly #options: SegmentOptions;
  readonly #manager: JetStreamManager;
  readonly #log: Stream;
  readonly #checkpoint: Stream;

  constructor(options: SegmentOptions, manager: JetStreamManager) {
    const { connection, clock } = options;
    this.#options = options;
    this.#manager = manager;
    this.#log = jetStream(connection, STREAMS.log, { clock });
    this.#checkpoint = jetStream(connection, STREAMS.checkpoint, { clock });
  }

  async run(): Promise<PutAway> {
    const { file } = this.#options;
    const info = await this.#info();
    const stored = await readStored(file);
    if (info && info.messages > 0) {
      const segment = await openedAt(this.#log, await this.#log.first());
      // Somebody was stopped behind the last step.
      if (segment && stored && segment.previous.sha256 === stored.sha256) return this.#done(stored);
      return this.#reopen(await this.#away(), info.config);
    }
    if (stored === null) {
      const detail = `there is no log, and nothing beside ${file} says that it holds one`;
      throw new SegmentFault('SEGMENT_NOTHING', detail);
    }
    return this.#reopen(stored, info?.config ?? null);
  }

  /** Exports, verifies and stores the digest. */
  async #away(): Promise<Stored> {
    const { file, onStep } = this.#options;
    await this.#export();
    await this.#sign(await openExport(file));
    await this.#export();
    const opened = await this.#verified();
    // Everything that can be refused is, before anything is deleted.
    const sha256 = await sha256Of(file);
    await this.#opening(opened, sha256);
    const info = await this.#info();
    if (!info || info.last !== opened.end?.last)
      throw new SegmentFault('SEGMENT_IN_USE', 'somebody has written to the log meanwhile');
    const stored = { sha256, last: info.last, config: { ...info.config } as Record<string, unknown> };
    onStep?.('stored');
    await writeSynced(storedFile(file), `${JSON.stringify(stored)}\n`);
    return stored;
  }

  /** From the file alone, since there may be nothing else. */
  async #reopen(stored: Stored, found: StreamConfig | null): Promise<PutAway> {
    const { file, onStep } = this.#options;
    if ((await sha256Of(file)) !== stored.sha256)
      throw new SegmentFault('SEGMENT_DAMAGED', `${file} is not the file whose digest was stored beside it`);
    const opened = await this.#verified();
    const opening = await this.#opening(opened, stored.sha256);
    // Somebody signed more than is in the file: then it is not the only copy of anything, but of too little.
    const signed = (await checkpointsIn(this.#checkpoint)).at(-1)?.position;
    if (signed !== stored.last)
      throw new SegmentFault(
        'SEGMENT_DAMAGED',
        `${file} ends at ${stored.last}, and the last checkpoint is of ${signed}`,
      );
    const info = await this.#info();
    if (info && info.messages > 0) {
      if (info.last !== stored.last)
        throw new SegmentFault('SEGMENT_IN_USE', 'somebody has written to the log meanwhile');
      onStep?.('deleted');
      await this.#manager.streams.delete(STREAMS.log);
    }
    const first_seq = stored.last + 1;
    if ((await this.#info()) === null) {
      onStep?.('made');
      const { name: _name, ...config } = { ...stored.config, ...found } as unknown as StreamConfig;
      await this.#manager.streams.add({ ...config, name: STREAMS.log, first_seq });
    }
    onStep?.('opened');
    const appended = await this.#log.appendAll(opening);
    if (appended.kind !== 'appended' || appended.positions[0] !== first_seq) {
      const detail = `the segment could not be opened: ${JSON.stringify(appended)}; run it again with the same file`;
      throw new SegmentFault('SEGMENT_STOPPED', detail);
    }
    return this.#done(stored);
  }

  async #done({ sha256, last }: Stored): Promise<PutAway> {
    const { file } = this.#options;
    const segment = await openedAt(this.#log, last + 1);
    const report = await verifyLog({ log: this.#log, checkpoint: this.#checkpoint, commands: null }, this.#keys());
    const [finding] = report.findings;
    if (!segment || finding)
      throw new SegmentFault(
        'SEGMENT_DAMAGED',
        `position ${finding?.position ?? last + 1}: ${finding?.detail ?? 'no segment'}`,
      );
    const { messages } = await openExport(file);
    return { segment: segment.segment, first: segment.first, file, sha256, messages };
  }

  async #export(): Promise<void> {
    const { file } = this.#options;
    await exportToFile(file, { log: this.#log, checkpoints: await this.#checkpoints() });
    await syncFolder(file);
  }

  /** Those of this segment. */
  async #checkpoints() {
    const first = await this.#log.first();
    return (await checkpointsIn(this.#checkpoint)).filter(({ position }) => position >= first);
  }

  /** A checkpoint at the end, so that all of it is signed. */
  async #sign({ header, end }: Export): Promise<void> {
    const { key, clock } = this.#options;
    if (!end) throw new SegmentFault('SEGMENT_STOPPED', 'the export was not written to its end');
    const last = await this.#checkpoint.lastOn(checkpointSubject);
    const before = last === null ? '' : decoder.decode(last.body);
    if (parseCheckpoint(before)?.position === end.last) return;
    const chain = { position: end.last, digest: end.digest, heads: readHeads(end.heads) };
    const of = { realm: header.realm, epoch: header.epoch, chain, nowMs: clock.nowMs(), before };
    const signed = signCheckpoint(of, key);
    const appended = await this.#checkpoint.append({
      subject: checkpointSubject,
      body: signed.checkpoint,
      id: clock.randomId(12),
      expectedLast: last?.position ?? 0,
      headers: { 'Content-Type': 'application/json', [signatureHeader]: signed.signature },
    });
    if (appended.kind !== 'appended')
      throw new SegmentFault('SEGMENT_STOPPED', `no checkpoint could be made: ${appended.kind}`);
  }

  async #verified(): Promise<Export> {
    const { file } = this.#options;
    const opened = await openExport(file);
    const report = await verifyExport(opened, this.#keys());
    const [finding] = counting(report, this.#options.accepted ?? new Set());
    if (finding) throw new SegmentFault('SEGMENT_DAMAGED', `${file}, position ${finding.position}: ${finding.detail}`);
    return opened;
  }

  #opening(opened: Export, sha256: string) {
    const { file, key, clock, chunkBytes } = this.#options;
    return openingOf({ opened, file, sha256, key, clock, ...(chunkBytes === undefined ? {} : { chunkBytes }) });
  }

  #keys(): ReadonlyMap<string, KeyObject> {
    const { key, keys } = this.#options;
    return new Map([...keys, [keyIdOf(key), createPublicKey(key)]]);
  }

  async #info(): Promise<{ readonly messages: number; readonly last: number; readonly config: StreamConfig } | null> {
    try {
      const { state, config } = await this.#manager.streams.info(STREAMS.log);
      return { messages: state.messages, last: state.last_seq, config };
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === NO_SUCH_STREAM) return null;
      throw error;
    }
  }
}

/**
 * Nothing of ours may run on the server.
 * @throws SegmentFault; ExportFault EXPORT_OTHER for a file of another log
 */
export const putAway = async (options: SegmentOptions): Promise<PutAway> =>
  new Segmenter(options, await jetstreamManager(options.connection, { checkAPI: false })).run();
