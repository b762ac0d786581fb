/**
 * Somebody who sends so many commands a second, in pairs that leave nothing: an endpoint, and its deletion. Keeps what the server and the
 * services have said to that, to compare it with what is there later.
 */
import assert from 'node:assert/strict';
import type { NatsConnection } from '@nats-io/transport-node';
import type { CommandInput, CommandType } from '../../../events/commands.ts';
import { subjects } from '../../../events/names.ts';
import { Answer } from '../../../events/queries.ts';
import { waitFor } from '../nats.ts';
import { LogRecord } from './record.ts';

const actor = 'flood';
const network = 'flood';
/** Pairs on their way to the server; those that it does not take wait for it. */
const PAIRS_MAX = 200;
const TICK_MS = 5;

export class Flood {
  readonly #record: LogRecord;
  readonly #answers: Answer[] = [];
  #pairs = 0;
  #sent: string[] = [];
  readonly #open = new Set<Promise<void>>();
  /** Commands that the server has acknowledged. */
  acknowledged = 0;
  /** Answers that came, all of which were compared with the log. */
  told = 0;

  constructor(connection: NatsConnection) {
    this.#record = new LogRecord(connection, actor);
    connection.subscribe(subjects.reply(actor, 'ID').replace(/ID$/, '*'), {
      callback: (_, { data }) => {
        this.#answers.push(Answer.parse(JSON.parse(new TextDecoder().decode(data))));
      },
    });
  }

  async #pair(): Promise<void> {
    const endpoint = `e${this.#pairs++}`;
    await this.#send('CreateEndpoint', { network, name: endpoint });
    await this.#send('DeleteEndpoint', { network, endpoint });
  }

  async #send<T extends CommandType>(type: T, data: CommandInput<T>): Promise<void> {
    this.#sent.push(await this.#record.send(type, data));
    this.acknowledged += 1;
  }

  /** Sends until `isOver`; resolves when all of it is with the server. */
  async run(perSecond: number, isOver: () => boolean): Promise<void> {
    await this.#send('CreateNetwork', { name: network, ipam: { subnets: [{ subnet: '10.70.0.0/16' }] } });
    const startedMs = performance.now();
    for (let pairs = 0; !isOver(); ) {
      const due = ((performance.now() - startedMs) * perSecond) / 2_000;
      for (; pairs < due && this.#open.size < PAIRS_MAX; pairs++) {
        const pair = this.#pair();
        this.#open.add(pair);
        void pair.finally(() => this.#open.delete(pair));
      }
      // what was not sent in time is not sent later
      pairs = Math.max(pairs, Math.floor(due));
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    await Promise.all(this.#open);
    await this.#send('DeleteNetwork', { network });
  }

  /** That the server has what it acknowledged. */
  assertStored(): Promise<void> {
    return this.#record.assertStored();
  }

  /** That each command ended once, and well, and that nobody was told otherwise, before a crash or after it. */
  async settle(timeoutMs: number): Promise<void> {
    const sent = this.#sent;
    this.#sent = [];
    await this.#record.ended(sent, timeoutMs);
    await this.#record.assertQuiet(timeoutMs);
    const endings = sent.map((id) => this.#record.endingOf(id));
    const failed = endings.flatMap((ending) => (ending?.status === 'succeeded' ? [] : [ending?.text]));
    assert.deepEqual(failed, [], 'commands that did not succeed');
    const answers = this.#answers.splice(0);
    const last = Math.max(0, ...answers.map(({ position }) => position));
    await waitFor(() => this.#record.position >= last, { what: 'what was told to be in the log', timeoutMs });
    const wrong = answers.filter((answer) => !this.#isSo(answer));
    assert.deepEqual(wrong, [], 'answers that are not what the log says');
    this.told += answers.length;
  }

  #isSo(answer: Answer): boolean {
    const record = this.#record.recordOf(answer.commandid);
    if (record === undefined || answer.kind === 'refused') return false;
    if (answer.kind === 'accepted') return record.position === answer.position;
    return record.status === answer.status && record.endedPosition === answer.position;
  }

  close(): Promise<void> {
    return this.#record.close();
  }
}
