/** A whole cnmbus in one process, for tests: controller and worker over streams and a kernel of the caller's choice. */
import assert from 'node:assert/strict';
import { type Logger, pino } from 'pino';
import type { Driver } from '../../drivers/driver.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Kernel } from '../../drivers/port.ts';
import { drivers as builtInDrivers } from '../../drivers/registry.ts';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { decodeCommit, type Event, type Meta } from '../../events/envelope.ts';
import { DEFAULT_IPV4_POOLS } from '../../events/ipam.ts';
import { commandId, subjects } from '../../events/names.ts';
import type { Accepted, Answer, Outcome, Refused } from '../../events/queries.ts';
import type { BoundaryState } from '../../events/state.ts';
import { type Controller, createController } from '../../services/controller/controller.ts';
import type { HostServers } from '../../services/dns/upstreams.ts';
import { type Clock, systemClock } from '../../services/lib/clock.ts';
import { boundaryOf, foldLog } from '../../services/lib/realm.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { noTracing, type Tracing } from '../../services/lib/trace.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { provision } from '../../services/nats/streams.ts';
import type { Plugins } from '../../services/plugins/plugins.ts';
import { repairs } from '../../services/worker/census.ts';
import type { Journal } from '../../services/worker/journal.ts';
import { Fenced } from '../../services/worker/outbox.ts';
import { Present } from '../../services/worker/present.ts';
import { createWorker, type Worker, type WorkerOptions } from '../../services/worker/worker.ts';
import { assertEndedOnce, assertLivedOnce } from './ended-once.ts';
import { type MemoryStream, memoryStream } from './memory-stream.ts';
import { Killed, type Mortal } from './mortal.ts';
import { startNats, type TestNats, testStream, waitFor } from './nats.ts';
import { fakePlugins } from './plugins/fake.ts';
import { assertRoutesShown } from './shown-routes.ts';

export interface Streams {
  readonly log: Stream;
  readonly commands: Stream;
}

export const memoryStreams = (): { readonly log: MemoryStream; readonly commands: MemoryStream } => ({
  log: memoryStream('CNM_LOG', { nowMs: Date.now }),
  commands: memoryStream('CNM_COMMANDS', { nowMs: Date.now }),
});

export interface NatsStreams extends Streams {
  readonly nats: TestNats;
  readonly publish: (subject: string, body: string) => void;
  stop(): Promise<void>;
}

const quiet = pino({ level: process.env.CNM_LOG_LEVEL ?? 'silent' }, pino.destination({ dest: 2, sync: true }));

/** The streams of a real nats-server. */
export const natsStreams = async (): Promise<NatsStreams> => {
  const nats = await startNats();
  const connection = await connectNats({ url: nats.url, role: 'test', log: quiet });
  const provisioned = await provision(connection, { sync: { kind: 'embedded' } as never });
  if (!provisioned.ok) throw new Error(JSON.stringify(provisioned.problems));
  return {
    nats,
    log: testStream(connection, 'CNM_LOG'),
    commands: testStream(connection, 'CNM_COMMANDS'),
    publish: (subject, body) => connection.publish(subject, body),
    stop: async () => {
      await connection.close();
      await nats.stop();
    },
  };
};

export interface SystemOptions extends Streams {
  readonly kernel: Kernel;
  readonly runDir: string;
  readonly drivers?: ReadonlyMap<string, Driver>;
  readonly plugins?: Plugins;
  readonly clock?: Clock;
  readonly actorProof?: Meta['actorproof'];
  readonly tracing?: Tracing;
  readonly logger?: Logger;
  /** Of encrypted networks. */
  readonly secret?: Uint8Array | null;
  readonly drift?: NonNullable<WorkerOptions['drift']>;
  readonly journal?: Journal | null;
  readonly addressee?: string;
  /** Answers go there too. */
  readonly publish?: (subject: string, body: string) => void;
}

/** What the host of a test resolves names with. */
export const hostServers: HostServers = {
  servers: () => ['192.0.2.53'],
  config: () => ({ servers: ['192.0.2.53'], search: ['example'], options: [] }),
  close: () => undefined,
};

export const realm = 'test';
export const host = 'h1';
export const actor = 'tester';

/** A command that was published. */
export interface Sent {
  readonly id: string;
  readonly first: Promise<Accepted | Refused>;
  readonly outcome: Promise<Outcome>;
}

/** What can be asked of a worker's host without the worker: the log, and what it adds up to. */
export class System {
  readonly options: SystemOptions;
  worker: Worker | null = null;
  controller: Controller | null = null;
  /** Of a worker that can be killed. */
  #died: Promise<void> | null = null;
  readonly #answers = new Map<
    string,
    { first: PromiseWithResolvers<Accepted | Refused>; outcome: PromiseWithResolvers<Outcome> }
  >();
  #serial = 0;

  constructor(options: SystemOptions) {
    this.options = options;
  }

  async startWorker(more: Partial<SystemOptions & Pick<Mortal, 'died'>> = {}): Promise<Worker> {
    const {
      log,
      commands,
      kernel,
      drivers = builtInDrivers,
      plugins = fakePlugins([]),
      clock = systemClock,
      runDir,
      secret = null,
      drift = {},
      journal = null,
      tracing = noTracing,
      logger = quiet,
    } = { ...this.options, ...more };
    const netnsRoots = ['/run', '/tmp'];
    const pools = DEFAULT_IPV4_POOLS;
    const place = { realm, host, runDir, pools, netnsRoots, ula: 'fd00:1:2::/48', secret, journal, drift };
    const shared = { hostServers, clock, logger, tracing };
    const worker = createWorker({ ...place, log, commands, kernel, drivers, plugins, ...shared });
    await Promise.race([worker.start(), worker.failed]);
    this.worker = worker;
    this.#died = more.died ?? null;
    worker.failed.catch((error: unknown) => {
      if (this.worker === worker) this.#break(error);
    });
    return worker;
  }

  async startController(): Promise<Controller> {
    const { log, commands, drivers = builtInDrivers, clock = systemClock, actorProof = 'claim' } = this.options;
    const { tracing = noTracing, logger = quiet } = this.options;
    const publish = (subject: string, body: string): void => {
      this.options.publish?.(subject, body);
      this.#answered(JSON.parse(body) as Answer);
    };
    const context = { realm, log, commands, drivers, clock, logger, actorProof, tracing };
    const controller = createController({ ...context, publish, quarantineMs: 60_000 });
    await controller.start();
    controller.activate();
    this.controller = controller;
    controller.failed.catch((error: unknown) => {
      if (this.controller === controller) this.#break(error);
    });
    return controller;
  }

  async start(): Promise<this> {
    await this.startWorker();
    await this.startController();
    return this;
  }

  async stopWorker(): Promise<void> {
    // One that is killed while it stops never comes to the end of it.
    await Promise.race([this.worker?.stop(), ...(this.#died ? [this.#died] : [])]);
    this.worker = null;
  }

  async stop(): Promise<void> {
    await this.controller?.stop();
    await this.stopWorker();
  }

  /** Whoever waits for an answer hears why none comes; where a process was killed, or fenced by another, that one goes on. */
  #break(error: unknown): void {
    if (error instanceof Killed || error instanceof Fenced) return;
    for (const { first, outcome } of this.#answers.values()) {
      for (const answer of [first, outcome]) {
        answer.promise.catch(() => undefined);
        answer.reject(error);
      }
    }
  }

  #answered(answer: Answer): void {
    const waiting = this.#answers.get(answer.commandid);
    if (answer.kind === 'outcome') waiting?.outcome.resolve(answer);
    else waiting?.first.resolve(answer);
  }

  /** Publishes a command and does not wait. Commands of one caller are decided in the order in which they were sent. */
  send<T extends CommandType>(
    type: T,
    data: CommandInput<T>,
    more: {
      readonly id?: string;
      readonly deadlineMs?: number;
      readonly correlationid?: string;
      readonly traceparent?: string;
    } = {},
  ): Sent {
    const id = more.id ?? commandId(systemClock.nowMs(), `t${this.#serial++}`);
    const waiting = {
      first: Promise.withResolvers<Accepted | Refused>(),
      outcome: Promise.withResolvers<Outcome>(),
    };
    this.#answers.set(id, waiting);
    const body = JSON.stringify({ ...more, id, type, data });
    // The server drops a message of an id that it has seen a moment ago; what it lets through, the controller has to know again.
    const messageId = `${id}/${this.#serial++}`;
    const subject = subjects.command(actor, this.options.addressee ?? null);
    void this.options.commands.append({ subject, body, id: messageId });
    return { id, first: waiting.first.promise, outcome: waiting.outcome.promise };
  }

  /** Publishes a command that must be accepted, and answers its outcome. */
  async outcomeOf<T extends CommandType>(type: T, data: CommandInput<T>): Promise<Outcome> {
    const sent = this.send(type, data);
    const first = await sent.first;
    if (first.kind === 'refused') return assert.fail(`${type} was refused: ${first.code} ${first.detail}`);
    return sent.outcome;
  }

  /** Publishes a command that must succeed. */
  async run<T extends CommandType>(type: T, data: CommandInput<T>): Promise<Outcome> {
    const outcome = await this.outcomeOf(type, data);
    assert.equal(outcome.status, 'succeeded', `${type}: ${JSON.stringify(outcome.fault)}`);
    return outcome;
  }

  /** Publishes a command that must be refused, and answers the code. */
  async refusal<T extends CommandType>(type: T, data: CommandInput<T>): Promise<string> {
    const first = await this.send(type, data).first;
    return first.kind === 'refused' ? first.code : assert.fail(`${type} was accepted`);
  }

  /** Ends a command whose deadline has passed, as the collector does. */
  async expire(sent: Sent): Promise<void> {
    await waitFor(
      async () => {
        const first = await this.send('ExpireCommand', { actor, commandId: sent.id }).first;
        return first.kind === 'accepted' || first.code === 'COMMAND_ENDED';
      },
      { what: 'the deadline to pass' },
    );
  }

  async messages(): Promise<readonly Message[]> {
    const { log } = this.options;
    const messages: Message[] = [];
    const reader = log.read({ from: 1 }, (message) => {
      messages.push(message);
    });
    await reader.caughtUp;
    await reader.stop();
    return messages;
  }

  async events(): Promise<readonly Event[]> {
    return eventsOf(await this.messages());
  }

  /** What the log adds up to for the host. */
  async state(): Promise<BoundaryState> {
    return stateOf(await this.messages());
  }

  /** Waits until every intent is reported. */
  async quiet(timeoutMs?: number): Promise<BoundaryState> {
    return stateOf(await this.#quietLog(timeoutMs));
  }

  /** The log at a moment at which every intent was reported: a collector may add to it whenever it likes. */
  async #quietLog(timeoutMs = 30_000): Promise<readonly Message[]> {
    let messages: readonly Message[] = [];
    await waitFor(
      async () => {
        messages = await this.messages();
        const { intents, progress } = stateOf(messages);
        return intents.size === 0 && progress.size === 0;
      },
      { what: 'every intent to be reported', timeoutMs },
    );
    return messages;
  }

  /** Waits for quiet, and checks that log and kernel agree and every intent ended once. Answers what is in the kernel. */
  async check(): Promise<readonly KernelObject[]> {
    const events = eventsOf(await this.#quietLog());
    assertEndedOnce(events);
    assertLivedOnce(events);
    const drivers = this.options.drivers ?? builtInDrivers;
    const look = async () => {
      const [state, census] = [await this.state(), await this.options.kernel.census()];
      const underlay = state.facts.get('host')?.underlay ?? null;
      const deployment = { host: { realm, host, underlay }, drivers, resolvConf: hostServers.config };
      const ended = [...state.sandboxes.values()].filter(
        ({ status, members }) => status !== 'ready' || members.length === 0,
      );
      return { census, wrong: [...repairs({ state, deployment, present: new Present() }, census), ...ended] };
    };
    // What could not be removed or repaired at once is tried again.
    let { census, wrong } = await look();
    for (let looks = 0; looks < 100 && wrong.length > 0; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      ({ census, wrong } = await look());
    }
    assert.deepEqual(wrong, [], 'kernel and log differ');
    assertRoutesShown(await this.messages(), census.objects);
    return census.objects;
  }
}

const eventsOf = (messages: readonly Message[]): readonly Event[] =>
  messages.flatMap((message) => decodeCommit(message.body, message.subject));
const stateOf = (messages: readonly Message[]): BoundaryState => boundaryOf(foldLog(messages), host).state;
