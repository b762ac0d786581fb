/** What the adapters need to know of a connection's life: is it up, was it lost, is it closed. */
import {
  type ConnectionOptions,
  createInbox,
  type NatsConnection,
  PermissionViolationError,
} from '@nats-io/transport-node';
import type { Clock } from '../lib/clock.ts';

export interface LinkListener {
  /** The connection was lost and is there again. */
  readonly restored?: () => void;
  /** The connection was lost: what was asked and not answered will not be answered. */
  readonly lost?: () => void;
  /** The connection is closed and will not come back. */
  readonly closed?: () => void;
  /** The server has denied a publish or a subscription. */
  readonly denied?: (error: PermissionViolationError) => void;
}

/** No answer can come, as the connection was lost after or before the sending. */
export class LinkLost extends Error {
  override readonly name = 'LinkLost';
}

export interface Link {
  /** Adds a listener; the answer removes it. */
  watch(listener: LinkListener): () => void;
  /**
   * Runs a request once the connection is up. The library would drop what is sent before, and would wait the whole timeout for an answer that
   * cannot come any more; a server that restarts would cost seconds instead of the moment it takes.
   *
   * @throws LinkLost when the connection was lost meanwhile, or did not come back within `timeoutMs`; else what the request throws
   */
  whileUp<Answer>(clock: Clock, timeoutMs: number, request: () => Promise<Answer>): Promise<Answer>;
}

const links = new WeakMap<NatsConnection, Link>();

/** The one link of a connection: one status iterator serves all readers and writers. */
export const linkOf = (connection: NatsConnection): Link => {
  let link = links.get(connection);
  if (link === undefined) {
    link = new ConnectionLink(connection);
    links.set(connection, link);
  }
  return link;
};

class ConnectionLink implements Link {
  private readonly listeners = new Set<LinkListener>();
  private up = true;

  constructor(connection: NatsConnection) {
    void connection.closed().then(() => this.tell('closed'));
    void this.follow(connection);
  }

  watch(listener: LinkListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async whileUp<Answer>(clock: Clock, timeoutMs: number, request: () => Promise<Answer>): Promise<Answer> {
    if (!this.up) await this.restored(clock, timeoutMs);
    return new Promise((resolve, reject) => {
      const unanswered = () => reject(new LinkLost('the connection was lost before an answer came'));
      const release = this.watch({ lost: unanswered, closed: unanswered });
      request().then(resolve, reject).finally(release);
    });
  }

  private restored(clock: Clock, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => () => {
        release();
        cancel();
        act();
      };
      const release = this.watch({ restored: settle(resolve), closed: settle(resolve) });
      const away = new LinkLost(`no connection within ${timeoutMs} ms`);
      const cancel = clock.after(
        timeoutMs,
        settle(() => reject(away)),
      );
    });
  }

  private async follow(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      const { type } = status;
      if (type === 'error' && status.error instanceof PermissionViolationError) {
        for (const listener of [...this.listeners]) listener.denied?.(status.error);
      } else if (type === 'disconnect') {
        this.up = false;
        this.tell('lost');
      } else if (type === 'reconnect') {
        this.up = true;
        this.tell('restored');
      }
    }
  }

  private tell(what: 'restored' | 'lost' | 'closed'): void {
    for (const listener of [...this.listeners]) listener[what]?.();
  }
}

/** What a connection was made with; the library does not tell it. */
export interface Made {
  readonly inboxPrefix: string;
  /** Where JetStream answers for its account. */
  readonly apiPrefix: string;
  readonly tls: ConnectionOptions['tls'];
}

const made = new WeakMap<NatsConnection, Made>();
const API_PREFIX = '$JS.API';

export const keepMade = (connection: NatsConnection, settings: Made): void => {
  made.set(connection, settings);
};

/** A fresh inbox under the prefix that this connection's role may subscribe to. */
export const newInbox = (connection: NatsConnection): string => createInbox(made.get(connection)?.inboxPrefix);

/** `$JS.API`, or under what this connection's account has imported it. */
export const apiPrefixOf = (connection: NatsConnection): string => made.get(connection)?.apiPrefix ?? API_PREFIX;

/** Undefined: as the server wants it, with the authorities of the system. */
export const tlsOf = (connection: NatsConnection): ConnectionOptions['tls'] => made.get(connection)?.tls;
