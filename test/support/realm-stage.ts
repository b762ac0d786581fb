/** Two hosts with workers that only report, controllers, and a log in memory: for what is decided for several hosts together. */
import assert from 'node:assert/strict';
import { Command, type CommandInput, type CommandType } from '../../events/commands.ts';
import { commitHeaders, decodeCommit } from '../../events/envelope.ts';
import { type EventData, isIntent, isTerminal } from '../../events/events.ts';
import { commandId, subjects } from '../../events/names.ts';
import { applyCommit, createViews, rowsOf, type Views } from '../../projections/views.ts';
import type { Controller } from '../../services/controller/controller.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { foldLog } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { type Injected, memoryStream } from './memory-stream.ts';
import { type Answered, eventsOn, hostFacts, Reporter, type Settings, startController, until } from './world.ts';

export const underlay = (host: string, mtu = 1500) => ({ address: `192.0.2.${host.slice(1)}`, device: 'up0', mtu });

/** What a host says that can take part in an overlay. */
export const able = (host: string, mtu = 1500): Partial<EventData<'HostFacts'>> => ({
  underlay: underlay(host, mtu),
  capabilities: { ...hostFacts(host).capabilities, vxlan: true },
});

export class RealmStage {
  readonly commands = memoryStream('COMMANDS', { nowMs: () => systemClock.nowMs() });
  /** What becomes of the next appends of decisions, one each. */
  readonly fates: (Injected | undefined)[] = [];
  readonly log = memoryStream('CNM_LOG', {
    nowMs: () => systemClock.nowMs(),
    inject: ({ subject }) => (subject.startsWith('cnm.event.') ? this.fates.shift() : undefined),
  });
  readonly answers: Answered[] = [];
  readonly reporters = new Map<string, Reporter>();
  readonly #controllers: Controller[] = [];
  #serial = 0;

  async host(name: string, facts: Partial<EventData<'HostFacts'>> = able(name)): Promise<void> {
    const reporter = new Reporter(this.log, systemClock, name);
    reporter.facts = facts;
    await reporter.start();
    this.reporters.set(name, reporter);
  }

  async controller(settings: Settings = {}): Promise<void> {
    const streams = { log: this.log, commands: this.commands };
    const controller = startController(streams, systemClock, this.answers, settings);
    this.#controllers.push(controller);
    await controller.start();
    controller.activate();
  }

  async send<T extends CommandType>(type: T, data: CommandInput<T>, host: string | null = null): Promise<string> {
    this.#serial += 1;
    const id = commandId(systemClock.nowMs(), `t${this.#serial}`);
    Command.parse({ id, type, data });
    const body = JSON.stringify({ id, type, data });
    await this.commands.append({ subject: subjects.command('alice', host), body, id: `s${this.#serial}` });
    return id;
  }

  /** @returns the last answer: the outcome, or the refusal */
  async run<T extends CommandType>(type: T, data: CommandInput<T>, host: string | null = null) {
    const id = await this.send(type, data, host);
    await until(() => this.#lastOf(id) !== undefined, `${type} has ended`);
    return this.#lastOf(id) ?? assert.fail();
  }

  /** The code of the refusal, or the status of the outcome. */
  async code<T extends CommandType>(type: T, data: CommandInput<T>, host: string | null = null): Promise<unknown> {
    const answer = await this.run(type, data, host);
    return answer.code ?? answer.status;
  }

  #lastOf(id: string): Answered['body'] | undefined {
    const own = this.answers.filter(({ subject }) => subject === subjects.reply('alice', id)).map(({ body }) => body);
    return own.find(({ kind }) => kind === 'outcome' || kind === 'refused');
  }

  events() {
    return eventsOn(this.log.stored());
  }

  async settled(): Promise<void> {
    await until(() => {
      const events = this.events();
      const decided = new Set(events.flatMap(({ meta }) => meta.commandseq ?? [])).size;
      const intents = events.filter(({ type, meta }) => isIntent(type) && meta.executors !== '').length;
      return decided === this.#serial && intents === events.filter(({ type }) => isTerminal(type)).length;
    }, 'everything is decided and reported');
  }

  realm() {
    return foldLog(this.log.stored());
  }

  views(): Views {
    const views = createViews();
    for (const { subject, position, body } of this.log.stored())
      applyCommit(views, subject, position, decodeCommit(body, subject));
    return views;
  }

  /** Status and endpoints of the networks that the view knows. */
  viewed(): readonly (readonly [name: string, host: string, status: string, endpoints: number])[] {
    return [...rowsOf(this.views(), 'networks').values()].map((row) => [row.name, row.host, row.status, row.endpoints]);
  }

  /** Each commit carries the hash of the one before on its subject. */
  checkChain(): void {
    const heads = new Map<string, Message>();
    for (const message of this.log.stored()) {
      const head = heads.get(message.subject);
      assert.equal(message.header(commitHeaders.prevHash), head ? chainHash(head) : '', message.subject);
      heads.set(message.subject, message);
    }
  }

  async stop(): Promise<void> {
    for (const controller of this.#controllers) await controller.stop();
    for (const reporter of this.reporters.values()) await reporter.stop();
  }
}
