/** The typed client: commands with their acceptance and outcome, queries, events and watches over one NATS connection. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { Actor, CommandId, commandId, encodeToken, HostName, subjects } from '../../events/names.ts';
import { Answer, type Outcome } from '../../events/queries.ts';
import { answersOf } from '../controller/answers.ts';
import { type Clock, sleep, systemClock } from '../lib/clock.ts';
import { type Logger, silentLogger } from '../lib/logger.ts';
import type { Stream } from '../lib/stream.ts';
import { loadTracing, noTracing, type Tracing } from '../lib/trace.ts';
import { connectNats, type ConnectOptions as NatsOptions } from '../nats/connection.ts';
import { jetStream } from '../nats/jetstream.ts';
import { linkOf } from '../nats/link.ts';
import { sealKeys } from '../nats/seal-keys.ts';
import { STREAMS } from '../nats/stream-config.ts';
import type { RebuildRequest } from '../projector/serve-rebuild.ts';
import { abortable } from './abortable.ts';
import { ClientClosed, CommandRefused } from './errors.ts';
import { type Acceptance, Pending } from './pending.ts';
import { Queries } from './queries.ts';
import { type OnProgress, type Rebuilt, rebuildAt } from './rebuild.ts';
import { Seals } from './seals.ts';
import { readStatus, type Status } from './status.ts';

export interface ConnectOptions {
  /** `nats://host:port`, several separated by commas; may carry `user:password@`. */
  readonly url: string;
  /** Who sends: the token that NATS permissions are granted on, and the name that the log keeps. `client` when left out. */
  readonly actor?: string;
  /** How long to wait for a server at the start, milliseconds; 5 s when left out. */
  readonly waitMs?: number;
  /** Credentials and TLS, as the NATS library takes them. */
  readonly security?: NatsOptions['security'];
  /** pino; silent when left out. */
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** Left out: @opentelemetry/api, where that is installed. */
  readonly tracing?: Tracing;
}

export interface CommandOptions {
  /** The host that is meant; left out where the network says it, or where there is only one. */
  readonly host?: string;
  /** The command's own id: the same id gets the same answer, whoever sends it again, and however often. Minted when left out. */
  readonly id?: string;
  /** Groups the commands of one piece of work, to be asked for later. */
  readonly correlationid?: string;
  readonly traceparent?: string;
  /** How long it may take from its acceptance, milliseconds; 30 s when left out. */
  readonly deadlineMs?: number;
  /** Not worth starting after this time. */
  readonly startBy?: Date | string;
  /** Ends the waiting, not the command. */
  readonly signal?: AbortSignal;
}

type Send<T extends CommandType> = (input: CommandInput<T>, options?: CommandOptions) => Promise<Acceptance>;

const commandTemplate = 'cnm.command.{actor}.{host}';
const WAIT_MS = 5_000;
const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 2_000;
const ASK_TIMEOUT_MS = 2_000;

/**
 * Connects to the services on a NATS server.
 *
 * @throws TypeError for an actor's name that is none; NatsFault CONNECT_TIMEOUT when no server answers, NOT_PERMITTED when it refuses the credentials
 */
export const connect = async (options: ConnectOptions): Promise<Client> => {
  const { url, actor = 'client', waitMs = WAIT_MS, security, logger = silentLogger(), clock = systemClock } = options;
  if (!Actor.safeParse(actor).success) throw new TypeError(`no name of an actor: ${actor}`);
  const role = encodeToken(actor);
  const tracing = options.tracing ?? (await loadTracing());
  const connection = await connectNats({ url, role, log: logger, waitMs, clock, ...(security ? { security } : {}) });
  return new Client({ connection, actor, clock, logger, tracing });
};

export interface ClientDeps {
  readonly connection: NatsConnection;
  readonly actor: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tracing?: Tracing;
}

export class Client extends Queries {
  readonly actor: string;
  /** Values of labels that only whoever may read a subject's key can read, and nobody once the subject is shredded. */
  readonly seals: Seals;
  readonly #connection: NatsConnection;
  readonly #clock: Clock;
  readonly #commands: Stream;
  readonly #pending: Pending;
  readonly #tracing: Tracing;
  readonly #unwatch: () => void;
  #closed = false;

  constructor({ connection, actor, clock, logger, tracing = noTracing }: ClientDeps) {
    super({ connection, actor, clock });
    this.#tracing = tracing;
    this.actor = actor;
    this.#connection = connection;
    this.#clock = clock;
    this.#commands = jetStream(connection, STREAMS.commands, { clock, log: logger });
    this.seals = new Seals({
      keys: sealKeys(connection, jetStream(connection, STREAMS.key, { clock, log: logger }), clock),
      isShredded: async (subject) => (await this.shredded({ filter: { subject }, limit: 1 })).rows.length > 0,
    });
    this.#pending = new Pending({ clock, ask: (id) => this.#ask(id) });
    this.#unwatch = linkOf(connection).watch({
      restored: () => this.#pending.askAll(),
      closed: () => this.#pending.close(),
    });
    // one subscription for all commands: a subscription each would cost a round trip each
    connection.subscribe(subjects.reply(actor, '*').replace(encodeToken('*'), '*'), {
      callback: (error, message) => {
        if (error) logger.error({ err: error }, 'no answers can be received');
        else this.#take(message.data);
      },
    });
  }

  /** Sets options of a driver on a host. */
  readonly configureDriver: Send<'ConfigureDriver'> = (input, options) => this.send('ConfigureDriver', input, options);
  readonly createNetwork: Send<'CreateNetwork'> = (input, options) => this.send('CreateNetwork', input, options);
  /** Changes labels, MTU, DNS settings or inter-container traffic of a network in place. */
  readonly updateNetwork: Send<'UpdateNetwork'> = (input, options) => this.send('UpdateNetwork', input, options);
  readonly deleteNetwork: Send<'DeleteNetwork'> = (input, options) => this.send('DeleteNetwork', input, options);
  /** Deletes the networks of a host that have no endpoints and that match. */
  readonly pruneNetworks: Send<'PruneNetworks'> = (input, options) => this.send('PruneNetworks', input, options);
  /** Gives all encrypted networks new keys, on every host. */
  readonly rotateTunnelKeys: Send<'RotateTunnelKeys'> = (input, options) =>
    this.send('RotateTunnelKeys', input, options);
  readonly createEndpoint: Send<'CreateEndpoint'> = (input, options) => this.send('CreateEndpoint', input, options);
  /** Changes aliases, published ports or the gateway priority of an endpoint in place. */
  readonly updateEndpoint: Send<'UpdateEndpoint'> = (input, options) => this.send('UpdateEndpoint', input, options);
  readonly deleteEndpoint: Send<'DeleteEndpoint'> = (input, options) => this.send('DeleteEndpoint', input, options);
  readonly joinEndpoint: Send<'JoinEndpoint'> = (input, options) => this.send('JoinEndpoint', input, options);
  readonly leaveEndpoint: Send<'LeaveEndpoint'> = (input, options) => this.send('LeaveEndpoint', input, options);
  /** Creates an endpoint in each network and joins them to the sandbox, all or nothing. */
  readonly attachSandbox: Send<'AttachSandbox'> = (input, options) => this.send('AttachSandbox', input, options);
  /** Takes a sandbox from one network to another; it stays as it was if that fails. */
  readonly moveSandbox: Send<'MoveSandbox'> = (input, options) => this.send('MoveSandbox', input, options);
  /** Leaves and deletes what attachSandbox has made. */
  readonly detachSandbox: Send<'DetachSandbox'> = (input, options) => this.send('DetachSandbox', input, options);

  /** Makes a sandbox again that was lost with a boot of its host and is held. */
  readonly restoreSandbox: Send<'RestoreSandbox'> = (input, options) => this.send('RestoreSandbox', input, options);
  /** Begins the lease of a sandbox or a network that this actor has made anew. */
  readonly renewLease: Send<'RenewLease'> = (input, options) => this.send('RenewLease', input, options);
  /** Ends a command of this actor that is under way; what was made for it is taken back. */
  readonly cancelCommand: Send<'CancelCommand'> = (input, options) => this.send('CancelCommand', input, options);
  /** A host that has stopped since the log is older than what it had read goes on. */
  readonly resumeHost: Send<'ResumeHost'> = (input, options) => this.send('ResumeHost', input, options);
  /** A host that is away does not come back with what it had: all that it holds is given free. */
  readonly declareHostLost: Send<'DeclareHostLost'> = (input, options) => this.send('DeclareHostLost', input, options);

  /** Sets what an actor, or everybody without a quota of their own, may have at most. */
  readonly setQuota: Send<'SetQuota'> = (input, options) => this.send('SetQuota', input, options);
  /** Keeps what is sealed for a subject, or everything, from being shredded or put away. */
  readonly setLegalHold: Send<'SetLegalHold'> = (input, options) => this.send('SetLegalHold', input, options);
  readonly liftLegalHold: Send<'LiftLegalHold'> = (input, options) => this.send('LiftLegalHold', input, options);
  /** Makes what is sealed for a subject unreadable for everybody, for good. */
  readonly shredSubject: Send<'ShredSubject'> = (input, options) => this.send('ShredSubject', input, options);
  /** Whoever has parked an event tries again to fold it. */
  readonly retryParked: Send<'RetryParked'> = (input, options) => this.send('RetryParked', input, options);
  /** Whoever has parked an event goes on without it. */
  readonly discardParked: Send<'DiscardParked'> = (input, options) => this.send('DiscardParked', input, options);

  /** A fresh command id, to be kept before sending by whoever wants to ask again after a crash. */
  mintId(): string {
    return commandId(this.#clock.nowMs(), this.#clock.randomId());
  }

  /**
   * Publishes a command, durably, and waits for its acceptance. While no server is there it goes on trying, with the same id.
   *
   * @throws CommandRefused; ClientClosed; the signal's reason; NatsFault for what no retry mends
   */
  async send<T extends CommandType>(
    type: T,
    input: CommandInput<T>,
    options: CommandOptions = {},
  ): Promise<Acceptance> {
    const { host = null, id = this.mintId(), correlationid, traceparent, deadlineMs, startBy, signal } = options;
    signal?.throwIfAborted();
    assertAddress(type, host, id);
    const startByText = startBy instanceof Date ? startBy.toISOString() : startBy;
    const command = { type, id, correlationid, deadlineMs, startBy: startByText, data: input };
    const waiting = this.#pending.wait(id);
    // once the signal fires nobody waits for this call any more, whatever it had been waiting for
    signal?.addEventListener('abort', waiting.release, { once: true });
    try {
      await this.#trace(command, traceparent, (trace) =>
        this.#publish(subjects.command(this.actor, host), { ...command, traceparent: trace }, signal),
      );
      waiting.published();
      const accepted = await abortable(waiting.accepted, signal);
      return { ...accepted, outcome: settled(abortable(accepted.outcome, signal)) };
    } catch (error) {
      waiting.release();
      throw error;
    }
  }

  /** Server, streams, services and hosts as they are now; parts that do not answer are missing in it. */
  status(): Promise<Status> {
    return readStatus(this.#connection, this);
  }

  /**
   * Every projector that runs now, one after the other, folds its views anew, compares them, and puts them in place when asked to.
   * @throws QueryFailed when one falls silent
   */
  async rebuild(request: RebuildRequest = {}, onProgress: OnProgress = () => {}): Promise<readonly Rebuilt[]> {
    const { services } = await this.status();
    const rebuilt: Rebuilt[] = [];
    for (const { name, id } of services) {
      if (name === 'cnm-projector')
        rebuilt.push(await rebuildAt(this.#connection, this.#clock, id, request, onProgress));
    }
    return rebuilt;
  }

  /** Commands that wait for an answer reject with ClientClosed; they stay on their stream. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unwatch();
    this.#pending.close();
    await this.#connection.close();
  }

  /**
   * An append whose answer is lost is sent again under the same message id, and stored once. The message id is of this sending, not of the
   * command: another sending of the command must reach the controller, which answers it again, or sees that its content is another.
   */
  async #publish(
    subject: string,
    command: { readonly id: string; readonly traceparent: string | undefined },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { id, traceparent } = command;
    const body = JSON.stringify(command);
    // in the header too, where tools that know nothing of us look for it
    const headers = traceparent === undefined ? {} : { headers: { traceparent } };
    const messageId = `${this.actor} ${id} ${this.#clock.randomId(8)}`;
    for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MOST_MS)) {
      const append = this.#commands.append({ subject, body, id: messageId, ...headers });
      const appended = await abortable(append, signal).catch((error) => {
        // the connection went with the client, wherever the append was
        throw this.#closed ? new ClientClosed(`command ${id}`) : error;
      });
      if (appended.kind === 'appended') return;
      if (this.#closed) throw new ClientClosed(`command ${id}`);
      await abortable(sleep(this.#clock, pauseMs), signal);
    }
  }

  /** @param given the caller's own trace context: it goes along then, else that of the span */
  #trace<T>(
    {
      type,
      id,
      correlationid,
    }: { readonly type: string; readonly id: string; readonly correlationid: string | undefined },
    given: string | undefined,
    publish: (traceparent: string | undefined) => Promise<T>,
  ): Promise<T> {
    const attributes = {
      'messaging.system': 'nats',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'messaging.destination.template': commandTemplate,
      'messaging.message.id': id,
      'messaging.message.conversation_id': correlationid ?? id,
      'cnm.command': type,
    };
    return this.#tracing.span(
      { name: `publish ${commandTemplate}`, kind: 'producer', attributes, links: [given] },
      (span) => publish(given ?? span.traceparent ?? undefined),
    );
  }

  #take(data: Uint8Array): void {
    const answer = Answer.safeParse(parseJson(data));
    if (answer.success) this.#pending.take(answer.data);
  }

  async #ask(id: string): Promise<readonly Answer[] | null> {
    try {
      const row = await this.command(id, { timeoutMs: ASK_TIMEOUT_MS });
      return row && answersOf(row);
    } catch {
      // nobody answers queries at this moment: asked again later
      return null;
    }
  }
}

/** What the service could answer to nobody, since it makes the address of the answer: refused before it is sent, at no position. */
const assertAddress = (command: string, host: string | null, id: string): void => {
  const problem =
    host !== null && !HostName.safeParse(host).success
      ? `host: ${host} is no name of a host`
      : CommandId.safeParse(id).success
        ? null
        : `id: ${id} is no id; mintId() makes one`;
  if (problem === null) return;
  const [field = ''] = problem.split(':');
  throw new CommandRefused({
    kind: 'refused',
    command,
    commandid: id,
    correlationid: id,
    position: 0,
    code: 'COMMAND_MALFORMED',
    detail: problem,
    culprits: [{ kind: 'field', id: field }],
  });
};

/** A promise that nobody has to look at. */
const settled = (promise: Promise<Outcome>): Promise<Outcome> => {
  promise.catch(() => undefined);
  return promise;
};

const decoder = new TextDecoder();

const parseJson = (data: Uint8Array): unknown => {
  try {
    return JSON.parse(decoder.decode(data));
  } catch {
    return undefined;
  }
};
