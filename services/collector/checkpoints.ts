/** Signs what the log adds up to, now and then, onto a stream of its own and into a file. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import { subjects } from '../../events/names.ts';
import { Chain, chainBefore } from '../audit/chain.ts';
import {
  type Checkpoint,
  checkpointSubject,
  isSignedBy,
  parseCheckpoint,
  signatureHeader,
  signCheckpoint,
  signedIn,
} from '../audit/checkpoint.ts';
import type { SignedCheckpoint } from '../audit/export-format.ts';
import type { Clock } from '../lib/clock.ts';
import { placedEvents } from '../lib/commit.ts';
import type { Message, Stream } from '../lib/stream.ts';
import { catchUp } from './checkpoint-file.ts';

export interface CheckpointOptions {
  readonly stream: Stream;
  readonly key: KeyObject;
  /** All that our key has signed is in it as well. */
  readonly file: string | null;
  /** Between two, when the log has grown. */
  readonly everyMs: number;
}

interface Deps extends CheckpointOptions {
  readonly clock: Clock;
  readonly logger: Logger;
}

const decoder = new TextDecoder();

/** Behind so many that are not ours nothing is looked for any more. */
const LOOKED_BACK_MAX = 1_000;

export class Checkpoints {
  readonly #deps: Deps;
  readonly #publicKey: KeyObject;
  #chain = new Chain();
  /** Made before this start: the log must still add up to the same there. */
  #known: Checkpoint | null = null;
  #realm = '';
  #epoch = '';
  /** The log that is read is not the one that was signed before: nothing is signed any more. */
  #refuses = false;
  #isRunning = false;
  #cancel: () => void = () => undefined;
  #making: Promise<void> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#publicKey = createPublicKey(deps.key);
  }

  /** Looks what is signed already. Before anything is folded. */
  async look(): Promise<void> {
    this.#known = (await this.#lastSigned()).signed;
  }

  /** The last message, and the last that our key has signed: whatever else has got onto the subject counts for nothing. */
  async #lastSigned(): Promise<{ readonly last: Message | null; readonly signed: Checkpoint | null }> {
    const { stream, logger } = this.#deps;
    const last = await stream.lastOn(checkpointSubject);
    let message = last;
    for (let looked = 0; message !== null && looked < LOOKED_BACK_MAX; looked++) {
      if (isSignedBy(signedIn(message), this.#publicKey))
        return { last, signed: parseCheckpoint(decoder.decode(message.body)) };
      message = await stream.get(message.position - 1);
    }
    if (last !== null) logger.warn({ position: last.position }, 'the last checkpoints are not signed by our key');
    return { last, signed: null };
  }

  /** The next message of the log, as it is stored. */
  folded(message: Message): void {
    if (this.#epoch === '' && message.subject === subjects.realm) this.#open(message);
    this.#chain.take(message);
    this.#compare();
  }

  /** With what was signed here before. */
  #compare(): void {
    if (this.#chain.position !== this.#known?.position) return;
    if (this.#chain.digest !== this.#known.digest) this.#refuse();
  }

  start(): void {
    if (this.#known !== null && this.#known.position > this.#chain.position) this.#refuse();
    this.#isRunning = true;
    this.#then('the file of checkpoints cannot be kept', () => this.#keep());
    this.#arm();
  }

  /** Makes a last one, if the log has grown. */
  async stop(): Promise<void> {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#cancel();
    this.#ask();
    await this.#making;
  }

  #arm(): void {
    this.#cancel = this.#deps.clock.after(this.#deps.everyMs, () => {
      this.#ask();
      if (this.#isRunning) this.#arm();
    });
  }

  #ask(): void {
    this.#then('no checkpoint could be made', () => this.#make());
    this.#then('the file of checkpoints cannot be kept', () => this.#keep());
  }

  #then(otherwise: string, step: () => Promise<void>): void {
    this.#making = this.#making.then(step).catch((error: unknown) => this.#deps.logger.error({ error }, otherwise));
  }

  /** In the file, too: what another collector has made, and what was left out when one of us was killed or the disk was full. */
  async #keep(): Promise<void> {
    const { file, stream } = this.#deps;
    if (file !== null) await catchUp(file, stream, this.#publicKey);
  }

  async #make(): Promise<void> {
    const { key, clock, logger } = this.#deps;
    const { last, signed: before } = await this.#lastSigned();
    const signedUpTo = before?.position ?? 0;
    if (this.#refuses || this.#epoch === '' || this.#chain.position <= signedUpTo) return;
    const of = {
      realm: this.#realm,
      epoch: this.#epoch,
      chain: this.#chain,
      nowMs: clock.nowMs(),
      before: last === null ? '' : decoder.decode(last.body),
    };
    const signed = signCheckpoint(of, key);
    // Of several collectors one wins; what the others have signed is not needed.
    if (!(await this.#append(signed, last?.position ?? 0))) return;
    logger.debug({ position: parseCheckpoint(signed.checkpoint)?.position }, 'checkpoint');
  }

  async #append({ checkpoint, signature }: SignedCheckpoint, expectedLast: number): Promise<boolean> {
    const { stream, clock, logger } = this.#deps;
    const headers = { 'Content-Type': 'application/json', [signatureHeader]: signature };
    const id = clock.randomId(12);
    const appended = await stream.append({ subject: checkpointSubject, body: checkpoint, id, expectedLast, headers });
    if (appended.kind === 'appended') return true;
    if (appended.kind === 'conflict') return false;
    logger.warn({ appended }, 'checkpoint not acknowledged, looking whether it is there');
    const last = await stream.lastOn(checkpointSubject);
    return last?.header('Nats-Msg-Id') === id;
  }

  #open(message: Message): void {
    for (const [, { type, data }] of placedEvents(message)) {
      if (type !== 'RealmOpened' && type !== 'SegmentOpened') continue;
      this.#realm = data.realm;
      this.#epoch = data.epoch;
      if (type !== 'SegmentOpened') continue;
      this.#chain = new Chain(chainBefore(data));
      this.#compare();
    }
  }

  #refuse(): void {
    this.#refuses = true;
    const position = this.#known?.position;
    this.#deps.logger.error(
      { position },
      'the log is not the one that was signed: no more checkpoints, see cnm audit verify',
    );
  }
}
