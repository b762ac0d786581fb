/** Puts an export back onto an empty server: every message under its position, with its own headers and bytes. */
import { JetStreamApiError, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { headers, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import { commitHeaders } from '../../events/envelope.ts';
import { isChunk } from '../../events/names.ts';
import type { Clock } from '../lib/clock.ts';
import { decidedIn } from '../lib/realm-lines.ts';
import { recordedHeader, recordedOf } from '../lib/recorded.ts';
import { stateText } from '../lib/state-text.ts';
import { batchHeaders, type Message } from '../lib/stream.ts';
import { Acks } from '../nats/acks.ts';
import { checkpointStream, commandsStream, logStream, type StreamDefinition } from '../nats/stream-config.ts';
import { checkpointSubject, signatureHeader } from './checkpoint.ts';
import { openedAt } from './export.ts';
import type { Export } from './open-export.ts';

export type ImportFaultCode =
  /** The export does not begin with the first message, or was not written to its end. */
  | 'IMPORT_PARTIAL'
  /** The server has streams of a realm already. */
  | 'IMPORT_NOT_EMPTY'
  /** A message was not stored as it has to be: the streams must be removed. */
  | 'IMPORT_STOPPED';

export class ImportFault extends Error {
  override readonly name = 'ImportFault';
  readonly code: ImportFaultCode;

  constructor(code: ImportFaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** In the metadata of the log's stream: the last position that was imported. */
export const importedThrough = 'cnm_imported_through';

const IN_FLIGHT_MAX = 256;
const TIMEOUT_MS = 30_000;
const NO_SUCH_STREAM = 10059;

const decoder = new TextDecoder();

interface Answered {
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: { readonly description?: string };
}

class Importer {
  readonly #connection: NatsConnection;
  readonly #acks: Acks;
  /** Answers that are still to come. */
  readonly #pending = new Set<Promise<void>>();
  #failure: unknown = null;
  /** Every command up to here is decided on the log. */
  decidedThrough = 0;

  constructor(connection: NatsConnection, clock: Clock) {
    this.#connection = connection;
    this.#acks = new Acks(connection, clock);
  }

  async put(message: Message): Promise<void> {
    const isBatched = message.header(batchHeaders.id) !== '';
    const isLast = message.header(batchHeaders.commit) !== '';
    // The server answers a batch with its last message, and takes it as a whole: nothing else is on its way meanwhile.
    if (isBatched) await this.settled();
    const list = headers();
    for (const [name, value] of message.headers()) list.append(name, value);
    list.append(recordedHeader, new Date(recordedOf(message)).toISOString());
    const through = isChunk(message.subject)
      ? decidedIn(stateText(message.body))
      : Number(message.header(commitHeaders.commands).split('-')[1] ?? 0);
    this.decidedThrough = Math.max(this.decidedThrough, through);
    if (isBatched && !isLast) this.#connection.publish(message.subject, message.body, { headers: list });
    else this.#publish(message.subject, message.body, list, message.position);
    if (isLast) await this.settled();
    while (this.#pending.size >= IN_FLIGHT_MAX) await Promise.race(this.#pending);
    if (this.#failure) throw this.#failure;
  }

  async checkpoint(checkpoint: string, signature: string, position: number): Promise<void> {
    const list = headers();
    list.append('Content-Type', 'application/json');
    list.append(signatureHeader, signature);
    this.#publish(checkpointSubject, checkpoint, list, position);
    await this.settled();
  }

  /** @throws ImportFault IMPORT_STOPPED; what the connection says */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
    if (this.#failure) throw this.#failure;
  }

  #publish(subject: string, body: string | Uint8Array, list: MsgHdrs, position: number): void {
    const stored = this.#acks
      .publish(subject, body, list, TIMEOUT_MS)
      .then((answer) => {
        const said = JSON.parse(decoder.decode(answer.data) || '{}') as Answered;
        if (said.seq === position && said.duplicate !== true) return;
        const what = said.error?.description ?? (said.seq === undefined ? 'no answer' : `position ${said.seq}`);
        throw new ImportFault(
          'IMPORT_STOPPED',
          `${subject} at ${position}: ${what}; remove the streams, then start anew`,
        );
      })
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => this.#pending.delete(stored));
    this.#pending.add(stored);
  }
}

const lastOf = async (manager: JetStreamManager, { name }: StreamDefinition): Promise<number | null> => {
  try {
    return (await manager.streams.info(name)).state.last_seq;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === NO_SUCH_STREAM) return null;
    throw error;
  }
};

const mustBeEmpty = async (manager: JetStreamManager): Promise<void> => {
  for (const definition of [logStream, checkpointStream])
    if (((await lastOf(manager, definition)) ?? 0) > 0)
      throw new ImportFault('IMPORT_NOT_EMPTY', `the stream ${definition.name} holds messages already`);
  // Where it begins is said when it is made.
  if ((await lastOf(manager, commandsStream)) !== null)
    throw new ImportFault('IMPORT_NOT_EMPTY', `the stream ${commandsStream.name} is there already`);
};

/**
 * Imports an export that is verified already, and makes the streams for it. New commands get positions behind those that the log
 * calls decided, so nothing is decided twice.
 * @returns how many messages were imported
 * @throws ImportFault
 */
export const importExport = async (connection: NatsConnection, opened: Export, clock: Clock): Promise<number> => {
  const { header, end } = opened;
  const isWhole = header.first === 1 || (await openedAt(opened, header.first)) !== null;
  if (!isWhole || end === null)
    throw new ImportFault('IMPORT_PARTIAL', 'only an export from the first message to an end line is a whole log');
  const manager = await jetstreamManager(connection, { checkAPI: false });
  await mustBeEmpty(manager);
  const begin = header.first === 1 ? {} : { first_seq: header.first };
  await manager.streams.add({ ...logStream, ...begin });
  await manager.streams.add({ ...checkpointStream });
  const importer = new Importer(connection, clock);
  let checkpoints = 0;
  for await (const entries of opened.entries()) {
    for (const entry of entries) {
      if (entry.kind === 'message') await importer.put(entry.message);
      else if (entry.kind === 'checkpoint')
        await importer.checkpoint(entry.checkpoint.checkpoint, entry.checkpoint.signature, ++checkpoints);
    }
  }
  await importer.settled();
  await manager.streams.add({ ...commandsStream, first_seq: importer.decidedThrough + 1 });
  await manager.streams.update(logStream.name, { metadata: { [importedThrough]: String(end.last) } });
  return end.messages;
};
