/**
 * Keeps what encrypts packets to and from other hosts in step with the log (docs/adr/0017): while an encrypted network is here, there are
 * associations with every host that can encrypt, and none otherwise. Keys are derived when they are added, and kept nowhere but in the kernel.
 */
import type { Logger } from 'pino';
import { encryptedPort } from '../../drivers/objects.ts';
import type { Association, Kernel, KernelFault } from '../../drivers/port.ts';
import type { Event } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import type { Clock } from '../lib/clock.ts';
import { associationKey, encryptionStep, outdatedBy, type Session, type Situation } from './encryption-plan.ts';
import type { Peers } from './peers.ts';
import type { Present } from './present.ts';
import { derivedOf, type Side } from './tunnel-keys.ts';

export interface EncryptionOptions {
  readonly realm: string;
  readonly host: string;
  readonly kernel: Pick<Kernel, 'associations' | 'changeAssociations'>;
  /** Null: there is none, so nothing can be encrypted. */
  readonly secret: Uint8Array | null;
  readonly present: Pick<Present, 'tunnels'>;
  /** What every host has stated last, this one among them. */
  readonly hosts: () => Iterable<EventData<'HostFacts'>>;
  /** Of the keys, as far as the log is folded in. */
  readonly generation: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** This host needs another epoch: keys of the one that it is in are spent. */
  readonly renew: () => void;
  readonly onFault: (error: unknown) => void;
}

/** Between looks while an encrypted network is here, or something is left to be removed. */
const everyMs = 2_000;

interface Known {
  /** What the session is made of. */
  readonly id: string;
  /** The other host's own part in that. */
  readonly remote: string;
  readonly session: Session;
}

const sideOf = ({ host, underlay, capabilities, bootId, epoch }: EventData<'HostFacts'>): Side | null =>
  underlay && capabilities.esp ? { host, address: underlay.address, bootId, epoch } : null;

const idOf = ({ address, bootId, epoch }: Side): string => `${address} ${bootId} ${epoch}`;

export class Encryption {
  readonly #options: EncryptionOptions;
  #known = new Map<string, Known>();
  /** Of the sessions of one epoch of this host, whatever address it has had in that: one may come back. */
  #spent = new Set<string>();
  #spentIn = '';
  /** The epoch that another one was asked for in. */
  #renewedIn = '';
  #outdatedMs: ReadonlyMap<string, number> = new Map();
  /** Nothing of ours is in the kernel, as far as is known. */
  #clean = false;
  /** Id of the log; empty before its first event. */
  #log = '';
  /** What it follows has changed since it last looked. */
  #due = false;
  #begun = false;
  #closed = false;
  #turn: Promise<void> = Promise.resolve();
  /** A look that was asked for and has not begun: it does for whoever asks until then. */
  #next: Promise<void> | null = null;
  #cancel: () => void = () => undefined;

  constructor(options: EncryptionOptions) {
    this.#options = options;
  }

  /** The kernel's objects are in place: what an earlier worker has left is used or removed, and from here on it is kept. */
  async begin(): Promise<void> {
    this.#begun = true;
    await this.look();
  }

  /** An event of any host, in log order; it may not be folded in yet. */
  note({ type, data }: Event): void {
    if (type === 'RealmOpened' || type === 'SegmentOpened') this.#log = data.epoch;
    if (type === 'SegmentOpened' || type === 'HostFacts' || type === 'TunnelKeysRotated' || type === 'RealmOpened')
      this.#due = true;
  }

  /** Follows what has changed since the last time; costs nothing when nothing has. */
  tell(): void {
    if (this.#due) this.lookSoon();
  }

  lookSoon(): void {
    void this.look();
  }

  /** Something may have changed: hosts, the generation, or which networks are here. Costs nothing where none of them is encrypted. */
  look(): Promise<void> {
    this.#due = false;
    if (!this.#begun || this.#closed || (this.#clean && !this.#isNeeded())) return Promise.resolve();
    if (this.#next) return this.#next;
    this.#turn = this.#turn.then(() => this.#look());
    this.#next = this.#turn;
    return this.#turn;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  #isNeeded(): boolean {
    return this.#options.present.tunnels().some(({ port }) => port === encryptedPort);
  }

  async #look(): Promise<void> {
    this.#next = null;
    if (this.#closed) return;
    this.#cancel();
    try {
      this.#clean = await this.#correct();
    } catch (error) {
      if (!this.#closed) this.#options.onFault(error);
      return;
    }
    if (this.#closed || this.#clean) return;
    this.#cancel = this.#options.clock.after(everyMs, () => void this.look());
  }

  /** @returns whether nothing is left to look after */
  async #correct(): Promise<boolean> {
    const { kernel, logger } = this.#options;
    const answer = await kernel.associations();
    const needed = this.#isNeeded();
    // A kernel without anything of the kind holds nothing of ours.
    if (!answer.ok) return needed ? this.#failed(answer.fault) : true;
    const { present, guarded } = answer.found;
    const situation = this.#situation(needed, present);
    const step = encryptionStep(situation);
    this.#outdatedMs = outdatedBy(situation);
    if (step.lost) this.#renew();
    const isRight = step.add.length + step.remove.length === 0 && guarded === needed;
    if (isRight) return !needed;
    const counts = { added: step.add.length, removed: step.remove.length };
    const add = step.add.map(({ keyed }) => keyed());
    const result = await kernel.changeAssociations({ guard: needed, add, remove: step.remove });
    if (!result.ok) {
      await this.#spendAdded(step.add);
      return this.#failed(result.fault);
    }
    this.#spend(step.add);
    if (needed && !guarded) logger.warn(counts, 'plain packets of encrypted networks were not dropped, and are now');
    else if (counts.added + counts.removed > 0) logger.info(counts, 'what encrypts packets to other hosts has changed');
    // Whether the guard could go shows at the next look.
    return false;
  }

  #spend(associations: readonly Association[]): void {
    for (const each of associations) this.#spent.add(associationKey(each));
  }

  /** Some may have been added before the fault, or behind it. All are taken for that where it cannot be known. */
  async #spendAdded(asked: readonly Association[]): Promise<void> {
    const answer = await this.#options.kernel.associations();
    this.#spend(answer.ok ? answer.found.present : asked);
  }

  #failed(fault: KernelFault): false {
    this.#options.logger.error({ fault }, 'packets to other hosts cannot be encrypted, trying again later');
    return false;
  }

  #situation(needed: boolean, present: Situation['present']): Situation {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const sessions = needed ? this.#sessions(nowMs) : [];
    this.#spend(present);
    return { sessions, present, spent: this.#spent, outdatedMs: this.#outdatedMs, nowMs };
  }

  /** The newest session with each host. What was known of one stays known: what it made is not made again. */
  #sessions(nowMs: number): readonly Session[] {
    const { realm, host, secret, hosts, generation } = this.#options;
    const sides = [...hosts()].flatMap((facts) => sideOf(facts) ?? []);
    const own = sides.find((side) => side.host === host);
    if (secret === null || own === undefined) return [];
    const epoch = `${own.bootId} ${own.epoch}`;
    if (this.#spentIn !== epoch) {
      this.#spentIn = epoch;
      this.#spent = new Set();
    }
    const keys = { realm, log: this.#log, generation: generation() };
    const known = new Map<string, Known>();
    for (const side of sides) {
      if (side === own) continue;
      const before = this.#known.get(side.host);
      const remote = idOf(side);
      const id = `${keys.log} ${keys.generation} ${idOf(own)} ${remote}`;
      if (before?.id === id) {
        known.set(side.host, before);
        continue;
      }
      const [inbound, outbound] = [derivedOf(secret, keys, side, own), derivedOf(secret, keys, own, side)];
      const patient = before === undefined || before.remote === remote;
      known.set(side.host, { id, remote, session: { inbound, outbound, sinceMs: nowMs, patient } });
    }
    this.#known = known;
    return [...known.values()].map(({ session }) => session);
  }

  /** Once an epoch: the next one is on its way to the log. */
  #renew(): void {
    if (this.#renewedIn === this.#spentIn) return;
    this.#renewedIn = this.#spentIn;
    this.#options.logger.warn('what encrypts packets to other hosts is gone, or was, so new keys are taken');
    this.#options.renew();
  }
}

/** What a tunnel leads to, and what its packets are encrypted with: both are there before a join is reported. */
export const encrypting = (
  peers: Pick<Peers, 'set' | 'forget'>,
  encryption: Pick<Encryption, 'look' | 'lookSoon'>,
): Pick<Peers, 'set' | 'forget'> => ({
  set: async (networkIds) => {
    const ids = [...networkIds];
    if (ids.length > 0) await encryption.look();
    await peers.set(ids);
  },
  forget: (networkId) => {
    peers.forget(networkId);
    encryption.lookSoon();
  },
});
