/** A controller and collectors on streams in memory with a worker that only reports, by a clock that the test moves. */
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { commandId, subjects } from '../../events/names.ts';
import { type Collector, createCollector } from '../../services/collector/collector.ts';
import type { Controller } from '../../services/controller/controller.ts';
import type { Clock } from '../../services/lib/clock.ts';
import { type MemoryStream, memoryStream } from './memory-stream.ts';
import { type Answered, eventsOn, FakeClock, Reporter, silent, startController, turn } from './world.ts';

export class CollectorStage {
  readonly clock = new FakeClock();
  readonly log: MemoryStream = memoryStream('LOG', { nowMs: () => this.clock.nowMs() });
  readonly commands: MemoryStream = memoryStream('COMMANDS', { nowMs: () => this.clock.nowMs() });
  readonly answers: Answered[] = [];
  readonly reporter = new Reporter(this.log, this.clock, 'h1');
  controller: Controller | null = null;
  #serial = 0;

  async start(controllerClock: Clock = this.clock): Promise<void> {
    await this.reporter.start();
    await this.activate(controllerClock);
  }

  async activate(clock: Clock = this.clock): Promise<void> {
    this.controller = startController(this, clock, this.answers);
    await this.controller.start();
    this.controller.activate();
    await turn();
  }

  collector(confirmMs = 5_000): Collector {
    const { log, commands, clock } = this;
    return createCollector({ realm: 'test', log, commands, clock, logger: silent, confirmMs });
  }

  async send<T extends CommandType>(type: T, data: CommandInput<T>, more: object = {}): Promise<string> {
    this.#serial += 1;
    const id = commandId(this.clock.nowMs(), `t${this.#serial}`);
    const body = JSON.stringify({ id, type, data, ...more });
    await this.commands.append({ subject: subjects.command('alice', 'h1'), body, id });
    await turn();
    return id;
  }

  async wait(ms: number): Promise<void> {
    await this.clock.advance(ms, () => turn());
  }

  /** What is on the log, in short. */
  events(...types: readonly string[]) {
    return eventsOn(this.log.stored()).filter(({ type }) => types.includes(type));
  }

  asked(): readonly string[] {
    return this.commands
      .stored()
      .filter(({ subject }) => subject.startsWith('cnm.command.collector.'))
      .map(({ body }) => (JSON.parse(new TextDecoder().decode(body)) as { id: string }).id);
  }
}
