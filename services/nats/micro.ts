/** A responder of the NATS services protocol (ADR-32), so that every NATS tool finds and watches our services. */
import { headers, type Msg, type MsgHdrs, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { type Clock, systemClock } from '../lib/clock.ts';
import { describeError } from './fault.ts';

/** An answer that is an error: `code` goes into Nats-Service-Error-Code, `description` into Nats-Service-Error, `body` is optional detail. */
export interface ServiceError {
  readonly error: { readonly code: number; readonly description: string; readonly body?: Uint8Array };
}

export interface Endpoint {
  /** Letters, digits, `-` and `_`. */
  readonly name: string;
  /** The subject served, wildcards allowed; behind `group` when that is given. */
  readonly subject: string;
  /** A prefix of the subject. */
  readonly group?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** `headers` are those of the request, `subject` the one it was sent to. What it throws is answered with code 500. */
  readonly handler: (
    request: Uint8Array,
    headers: MsgHdrs | undefined,
    subject: string,
  ) => Promise<Uint8Array | ServiceError>;
}

export interface ServiceOptions {
  /** Letters, digits, `-` and `_`. */
  readonly name: string;
  /** Semantic version. */
  readonly version: string;
  readonly description: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly endpoints: readonly Endpoint[];
  readonly clock?: Clock;
  /** What the service says of itself beside the protocol, in `data` of its statistics. */
  readonly data?: () => object | null;
  /** Told what a handler threw, after it was answered. */
  readonly onError?: (endpoint: string, error: unknown) => void;
}

export interface Service {
  readonly id: string;
  /** Takes no more requests, answers those it has, and resolves when all are answered. */
  stop(): Promise<void>;
}

/** Several instances of a service share the requests: the default queue group of ADR-32. */
const QUEUE = 'q';
const NAME = /^[A-Za-z0-9_-]+$/;
const VERSION = /^\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$/;
const NANOS_PER_MS = 1e6;

interface Stats {
  num_requests: number;
  num_errors: number;
  last_error: string;
  processing_time: number;
}

/** Serves until `stop()`. @throws TypeError for a name or version that the protocol does not allow */
export const serve = (connection: NatsConnection, options: ServiceOptions): Service =>
  new Responder(connection, options);

class Responder implements Service {
  readonly id: string;
  private readonly connection: NatsConnection;
  private readonly options: ServiceOptions;
  private readonly clock: Clock;
  private readonly started: string;
  private readonly stats = new Map<Endpoint, Stats>();
  private readonly served: Subscription[] = [];
  private readonly discovery: Subscription[] = [];
  private readonly inFlight = new Set<Promise<void>>();

  constructor(connection: NatsConnection, options: ServiceOptions) {
    for (const { name } of [options, ...options.endpoints]) {
      if (!NAME.test(name)) throw new TypeError(`not a service or endpoint name: ${name}`);
    }
    if (!VERSION.test(options.version)) throw new TypeError(`not a semantic version: ${options.version}`);
    this.connection = connection;
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.id = this.clock.randomId();
    this.started = new Date(this.clock.nowMs()).toISOString();
    for (const endpoint of options.endpoints) this.serve(endpoint);
    this.discover('PING', () => this.identity('ping'));
    this.discover('INFO', () => this.info());
    this.discover('STATS', () => this.statistics());
  }

  async stop(): Promise<void> {
    for (const subscription of this.discovery) subscription.unsubscribe();
    // drains answer only that nothing more comes in; what came in runs on
    if (!this.connection.isClosed()) await Promise.allSettled(this.served.map((subscription) => subscription.drain()));
    await Promise.all(this.inFlight);
    if (!this.connection.isClosed()) await this.connection.flush().catch(() => {});
  }

  private serve(endpoint: Endpoint): void {
    const stats: Stats = { num_requests: 0, num_errors: 0, last_error: '', processing_time: 0 };
    this.stats.set(endpoint, stats);
    const subscription = this.connection.subscribe(subjectOf(endpoint), {
      queue: QUEUE,
      callback: (error, msg) => {
        if (error !== null) return this.options.onError?.(endpoint.name, error);
        const answered = this.answer(endpoint, stats, msg).finally(() => this.inFlight.delete(answered));
        this.inFlight.add(answered);
      },
    });
    this.served.push(subscription);
  }

  /** Never rejects: whatever the handler does, the caller gets an answer. */
  private async answer(endpoint: Endpoint, stats: Stats, msg: Msg): Promise<void> {
    const startedMs = this.clock.monotonicMs();
    stats.num_requests++;
    try {
      const answer = await endpoint.handler(msg.data, msg.headers, msg.subject);
      if (answer instanceof Uint8Array) msg.respond(answer);
      else this.refuse(stats, msg, answer.error);
    } catch (thrown) {
      this.options.onError?.(endpoint.name, thrown);
      this.refuse(stats, msg, { code: 500, description: describeError(thrown) });
    }
    stats.processing_time += Math.round((this.clock.monotonicMs() - startedMs) * NANOS_PER_MS);
  }

  private refuse(stats: Stats, msg: Msg, error: ServiceError['error']): void {
    stats.num_errors++;
    const description = error.description.replaceAll(/[\r\n]+/g, ' ');
    stats.last_error = `${error.code}:${description}`;
    const answer = headers();
    answer.set('Nats-Service-Error', description);
    answer.set('Nats-Service-Error-Code', String(error.code));
    try {
      msg.respond(error.body ?? '', { headers: answer });
    } catch {
      // the connection is gone, and the caller's timeout tells it
    }
  }

  private discover(verb: string, answer: () => object): void {
    for (const subject of [
      `$SRV.${verb}`,
      `$SRV.${verb}.${this.options.name}`,
      `$SRV.${verb}.${this.options.name}.${this.id}`,
    ]) {
      const callback = (error: Error | null, msg: Msg) => {
        if (error === null) msg.respond(JSON.stringify(answer()));
      };
      this.discovery.push(this.connection.subscribe(subject, { callback }));
    }
  }

  private identity(response: string): object {
    const { name, version, metadata = {} } = this.options;
    return { type: `io.nats.micro.v1.${response}_response`, name, id: this.id, version, metadata };
  }

  private info(): object {
    const endpoints = this.options.endpoints.map((endpoint) => ({
      name: endpoint.name,
      subject: subjectOf(endpoint),
      queue_group: QUEUE,
      metadata: endpoint.metadata ?? {},
    }));
    return { ...this.identity('info'), description: this.options.description, endpoints };
  }

  private statistics(): object {
    const endpoints = [...this.stats].map(([endpoint, stats]) => ({
      name: endpoint.name,
      subject: subjectOf(endpoint),
      queue_group: QUEUE,
      ...stats,
      average_processing_time: stats.num_requests === 0 ? 0 : Math.round(stats.processing_time / stats.num_requests),
    }));
    const data = this.options.data?.();
    return { ...this.identity('stats'), started: this.started, endpoints, ...(data ? { data } : {}) };
  }
}

const subjectOf = (endpoint: Endpoint): string =>
  endpoint.group === undefined ? endpoint.subject : `${endpoint.group}.${endpoint.subject}`;
