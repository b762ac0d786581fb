/** A service as those see it who watch it: what it counts, how it is, and the same for NATS tools and HTTP. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '../lib/clock.ts';
import { type Health, HealthWatch, type Look } from '../lib/health.ts';
import type { Logger } from '../lib/logger.ts';
import { meteredStream } from '../lib/metrics/metered-stream.ts';
import { Metrics, type Sample } from '../lib/metrics/metrics.ts';
import { noticesOf } from '../lib/notices.ts';
import type { Stream } from '../lib/stream.ts';
import { linkOf } from '../nats/link.ts';
import type { STREAMS } from '../nats/stream-config.ts';
import type { ServiceName } from './service-names.ts';

/** What is told of a service at one moment; can be cloned to another thread. */
export interface Inspection {
  readonly health: Health;
  readonly samples: readonly Sample[];
}

export interface ObservedOptions {
  readonly service: ServiceName;
  readonly connection: NatsConnection;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class Observed {
  readonly metrics: Metrics;
  readonly #options: ObservedOptions;
  #watch: HealthWatch | null = null;
  #isUp = true;

  constructor(options: ObservedOptions) {
    const { service, connection, logger } = options;
    this.#options = options;
    this.metrics = new Metrics(service);
    linkOf(connection).watch({ lost: () => this.#connected(false), restored: () => this.#connected(true) });
    this.metrics.gauge('cnm_nats_connected', () => [[{}, this.#isUp ? 1 : 0]]);
    this.metrics.count('cnm_nats_disconnects_total', {}, 0);
    this.metrics.counted('cnm_log_lines_total', () =>
      (noticesOf(logger)?.counts(service) ?? []).map(([level, count]) => [{ level }, count] as const),
    );
  }

  /** The same stream, its appends counted. */
  stream(name: keyof typeof STREAMS, stream: Stream): Stream {
    return meteredStream(stream, name, this.metrics, this.#options.clock);
  }

  /** @param head the last position that concerns the service */
  begin(look: () => Look, head: () => Promise<number>): void {
    const { service, clock, logger } = this.#options;
    const notice = () => noticesOf(logger)?.last(service) ?? null;
    const watch = new HealthWatch({ service, clock, look, head, notice });
    this.#watch = watch;
    const { metrics } = this;
    const health = () => watch.health();
    const byStage = (counts: Readonly<Record<string, number>>) =>
      Object.entries(counts).map(([stage, count]) => [{ stage }, count] as const);
    metrics.gauge('cnm_ready', () => [[{}, health().ready ? 1 : 0]]);
    metrics.gauge('cnm_not_ready', () =>
      [...new Set(health().reasons.map(({ code }) => code))].map((code) => [{ code }, 1]),
    );
    metrics.gauge('cnm_log_position', () => [[{}, look().position]]);
    metrics.gauge('cnm_log_lag_commits', () => {
      const { lag } = health();
      return lag === null ? [] : [[{}, lag]];
    });
    metrics.gauge('cnm_work_waiting', () => byStage(health().waiting));
    metrics.gauge('cnm_work_progress', () => byStage(health().progress));
    metrics.gauge('cnm_boundaries_parked', () => [[{}, look().parked ?? 0]]);
  }

  /** For NATS tools and `cnm status`; null before it has begun. */
  readonly health = (): Health | null => this.#watch?.health() ?? null;

  readonly inspect = async (): Promise<Inspection> => {
    if (!this.#watch) throw new Error(`${this.#options.service} is asked before it has begun`);
    return { health: await this.#watch.refresh(), samples: this.metrics.samples() };
  };

  /** Not ready from now on. */
  stopping(): void {
    this.#watch?.stopping();
  }

  close(): void {
    this.#watch?.close();
  }

  #connected(isUp: boolean): void {
    this.#isUp = isUp;
    this.#watch?.connected(isUp);
    if (!isUp) this.metrics.count('cnm_nats_disconnects_total', {});
  }
}
