/** What works beside the execution of intents for as long as a worker lives, put together: each is told what it needs of the others. */
import type { EventData } from '../../events/events.ts';
import { createDns, type Dns } from '../dns/dns.ts';
import { boundaryOf, type FollowedRealm } from '../lib/realm.ts';
import { Drift } from './drift.ts';
import { Encryption } from './encryption.ts';
import type { Execution } from './execution.ts';
import { Leasing } from './leasing.ts';
import { MemoryOfLog } from './memory-of-log.ts';
import { Peers } from './peers.ts';
import { Present } from './present.ts';
import type { Report } from './reports.ts';
import { carriedSubnets, statedBy } from './statement.ts';
import { Stating } from './stating.ts';
import { driftTimes, type WorkerOptions } from './worker-options.ts';

/** What is there only some time after the start. */
export interface Links {
  readonly followed: () => FollowedRealm | null;
  readonly execution: () => Execution | null;
  /** Whether the host has not been booted since it was stated last. */
  readonly isSameBoot: () => boolean;
  /** Reports come to nothing before the first statement. */
  readonly report: (reports: readonly Report[]) => void;
  /** The unit of an intent need not wait any more for what was asked for it. */
  readonly ready: (intent: string) => void;
  readonly fail: (error: unknown) => void;
}

export class Parts {
  readonly #options: WorkerOptions;
  readonly #links: Links;
  readonly present = new Present();
  readonly dns: Dns;
  readonly memory: MemoryOfLog;
  readonly stating: Stating;
  readonly leasing: Leasing;
  readonly peers: Peers;
  readonly encryption: Encryption;
  readonly drift: Drift;

  constructor(options: WorkerOptions, links: Links) {
    this.#options = options;
    this.#links = links;
    const { realm, kernel, logger, hostServers, host, commands, clock, names = createDns } = options;
    const { present } = this;
    const repair = (): void => links.execution()?.reconciliation.soon();
    this.dns = names({ kernel, logger, clock, upstreams: hostServers, onUnserved: repair });
    this.memory = new MemoryOfLog({ journal: options.journal ?? null, clock });
    this.stating = new Stating({
      kernel,
      clock,
      logger,
      place: options,
      known: () => this.known,
      carried: () => this.#carried,
      report: links.report,
      onFault: links.fail,
    });
    this.leasing = new Leasing({ host, commands, kernel, clock, wake: links.ready, onFault: links.fail });
    this.peers = new Peers({
      host,
      kernel,
      clock,
      logger,
      present,
      dns: this.dns,
      network: (id) => links.followed()?.realm.shared.networks.get(id)?.facts,
      checked: (networkId, tunnel, wrong) => this.drift.peersChecked(networkId, tunnel, wrong),
      repair,
      onFault: links.fail,
    });
    this.encryption = new Encryption({
      realm,
      host,
      kernel,
      clock,
      logger,
      secret: options.secret ?? null,
      present,
      hosts: () => {
        const followed = links.followed();
        return followed ? statedBy(followed.realm) : [];
      },
      generation: () => links.followed()?.realm.shared.tunnelKeys.get('generation') ?? 0,
      renew: () => this.stating.renew('keys of encrypted networks are taken anew'),
      onFault: links.fail,
    });
    this.drift = new Drift({
      host,
      kernel,
      clock,
      logger,
      scene: () => this.#execution.scene,
      isSameBoot: links.isSameBoot,
      ...driftTimes,
      ...options.drift,
      report: links.report,
      mend: (plans) => this.#execution.reconciliation.mend(plans),
      release: (operations) => this.#execution.reconciliation.release(operations),
      onFault: links.fail,
    });
  }

  /** What was stated of this host last. */
  get known(): EventData<'HostFacts'> | undefined {
    const followed = this.#links.followed();
    return followed ? boundaryOf(followed.realm, this.#options.host).state.facts.get('host') : undefined;
  }

  get #carried(): ReadonlySet<string> {
    const { drivers, host } = this.#options;
    const followed = this.#links.followed();
    const isBuiltIn = (driver: string): boolean => drivers.has(driver);
    return followed ? carriedSubnets(boundaryOf(followed.realm, host).state, isBuiltIn) : new Set();
  }

  get #execution(): Execution {
    const execution = this.#links.execution();
    if (!execution) throw new Error('worker: looked at before anything was executed');
    return execution;
  }

  /** None of them begins anything any more. Names are answered, and what is read is remembered, until `dns` and `memory` are closed. */
  close(): void {
    this.stating.stop();
    this.leasing.stop();
    this.peers.close();
    this.drift.close();
    this.encryption.close();
  }
}
