/** Controllers with a worker that only reports, on two streams of any kind, and all that came of it. */
import assert from 'node:assert/strict';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { isIntent, isTerminal } from '../../events/events.ts';
import { commandId, subjects } from '../../events/names.ts';
import type { Controller } from '../../services/controller/controller.ts';
import { type Clock, systemClock } from '../../services/lib/clock.ts';
import type { Message, Reader, Stream } from '../../services/lib/stream.ts';
import { Checker } from '../property/model-checks.ts';
import { type MemoryStream, type MemoryStreamOptions, memoryStream } from './memory-stream.ts';
import { type Answered, eventsOn, Reporter, startController, until } from './world.ts';

export const host = 'h1';

/** Under which id, by whom and to which host a command is sent. */
interface Addressed {
  readonly id?: string;
  readonly actor?: string;
  readonly to?: string;
}

export class Stage<S extends Stream = Stream> {
  readonly commands: Stream;
  readonly log: S;
  readonly answers: Answered[] = [];
  readonly controllers: Controller[] = [];
  readonly reporter: Reporter;
  /** What is stored on the log, and how many commands are. */
  readonly logged: Message[] = [];
  readonly sent: Message[] = [];
  readonly #readers: readonly Reader[];
  #serial = 0;

  constructor(streams: { readonly commands: Stream; readonly log: S }) {
    this.commands = streams.commands;
    this.log = streams.log;
    this.reporter = new Reporter(this.log, systemClock, host);
    this.#readers = [
      this.log.read({ from: 1 }, (message) => this.logged.push(message)),
      this.commands.read({ from: 1 }, (message) => this.sent.push(message)),
    ];
  }

  /** A controller on connections of its own, where `streams` are given. */
  async controller(
    clock: Clock = systemClock,
    streams: { commands: Stream; log: Stream } = this,
    settings: Parameters<typeof startController>[3] = {},
  ): Promise<Controller> {
    const controller = startController(streams, clock, this.answers, settings);
    this.controllers.push(controller);
    await controller.start();
    controller.activate();
    return controller;
  }

  /** Publishes without waiting for anything but the stream. */
  async send<T extends CommandType>(type: T, data: CommandInput<T>, more: Addressed = {}) {
    const { id = commandId(systemClock.nowMs(), `t${this.#serial}`), actor = 'alice', to = host } = more;
    await this.raw(JSON.stringify({ id, type, data }), subjects.command(actor, to));
    return id;
  }

  async raw(body: string | Uint8Array, subject = `cnm.command.alice.${host}`): Promise<void> {
    this.#serial += 1;
    const appended = await this.commands.append({ subject, body, id: `s${this.#serial}` });
    assert.equal(appended.kind, 'appended');
  }

  answersTo(id: string, actor = 'alice') {
    return this.answers.filter(({ subject }) => subject === subjects.reply(actor, id)).map(({ body }) => body);
  }

  events(...types: readonly string[]) {
    return eventsOn(this.logged).filter(({ type }) => types.length === 0 || types.includes(type));
  }

  /** Codes of all refusals, in order. */
  codes(): readonly string[] {
    return this.events('CommandRefused').map(({ data }) => ('code' in data ? String(data.code) : ''));
  }

  decided(): number {
    return new Set(this.events().flatMap(({ meta }) => meta.commandseq ?? [])).size;
  }

  async allDecided(): Promise<void> {
    const total = await this.commands.last();
    await until(() => this.decided() === total, 'every command is decided');
  }

  /** Whether every intent is reported. Cheap, unlike the audit. */
  isReported(): boolean {
    const types = this.events().map(({ type }) => type);
    return types.filter(isIntent).length === types.filter(isTerminal).length;
  }

  async allEnded(): Promise<void> {
    await until(() => this.isReported(), 'every intent is reported');
    assert.deepEqual(this.audit().open(), [], 'every command has ended');
  }

  /** Goes through the whole log: chain, invariants, every command decided once. */
  audit(): Checker {
    const checker = new Checker();
    for (const message of this.logged) checker.take(message);
    assert.equal(checker.decided.size + this.summed(), this.sent.length - this.#repeats(), 'one decision a command');
    assert.deepEqual(checker.impossible, []);
    return checker;
  }

  /** How many commands were refused together with others. */
  summed(): number {
    return this.events('CommandsRefused').reduce(
      (count, event) => count + (event.type === 'CommandsRefused' ? event.data.count : 0),
      0,
    );
  }

  /** Commands that say what one before them said. */
  #repeats(): number {
    const bodies = this.sent.map(({ subject, body }) => `${subject} ${new TextDecoder().decode(body)}`);
    const withId = bodies.filter((body) => body.includes('"id"'));
    return withId.length - new Set(withId).size;
  }

  /** A life of one endpoint, asked for without waiting. */
  async life(name: string): Promise<void> {
    const ref = { network: 'web', endpoint: name };
    await this.send('CreateEndpoint', { network: 'web', name });
    await this.send('JoinEndpoint', { ...ref, sandbox: name });
    await this.send('LeaveEndpoint', ref);
    await this.send('DeleteEndpoint', ref);
  }

  async stop(): Promise<void> {
    for (const controller of this.controllers) await controller.stop();
    await this.reporter.stop();
    for (const reader of this.#readers) await reader.stop();
  }
}

/** Plays on streams in memory, with a worker. */
export const staged = async (
  play: (stage: Stage<MemoryStream>) => Promise<void>,
  logOptions: MemoryStreamOptions = {},
  commandOptions: MemoryStreamOptions = {},
): Promise<void> => {
  const nowMs = () => systemClock.nowMs();
  const commands = memoryStream('COMMANDS', { nowMs, ...commandOptions });
  const stage = new Stage({ commands, log: memoryStream('LOG', { nowMs, ...logOptions }) });
  await stage.reporter.start();
  try {
    await play(stage);
  } finally {
    await stage.stop();
  }
};
