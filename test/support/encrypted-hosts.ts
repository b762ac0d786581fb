/**
 * Hosts with an encrypted network, each with a kernel of its own and with a log that it may be behind of. Packets are sent as kernels do:
 * with the association that was added last, and taken where the same one is, once.
 */
import assert from 'node:assert/strict';
import { encryptedPort } from '../../drivers/objects.ts';
import type { Association, AssociationChange, KeyedAssociation, PlanResult } from '../../drivers/port.ts';
import type { EventData } from '../../events/events.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { Encryption } from '../../services/worker/encryption.ts';
import { FakeClock } from './fake-clock.ts';
import { vxlan } from './kernel-objects.ts';
import { MemoryAssociations } from './memory-associations.ts';
import { hostFacts } from './world.ts';

type HostFacts = EventData<'HostFacts'>;
type Entry = { readonly facts: HostFacts } | { readonly generation: number };

export const sharedSecret = new Uint8Array(32).fill(7);

const pairOf = ({ source, destination }: Association): string => `${source} ${destination}`;

export class EncryptedHost {
  readonly name: string;
  readonly clock: FakeClock;
  readonly kernel = new MemoryAssociations();
  readonly #log: Entry[];
  readonly #secret: Uint8Array | null;
  /** Keys that were ever added here: none may be twice. */
  readonly #added = new Set<string>();
  /** What was folded of the log. */
  #position = 0;
  readonly #facts = new Map<string, HostFacts>();
  #generation = 0;
  #boots = 1;
  #epoch = 0;
  #tunnel = true;
  #encryption: Encryption | null = null;
  /** Every change that was asked for. */
  readonly changes: AssociationChange[] = [];

  constructor(name: string, log: Entry[], clock: FakeClock, secret: Uint8Array | null = sharedSecret) {
    this.name = name;
    this.clock = clock;
    this.#log = log;
    this.#secret = secret;
  }

  get address(): string {
    return `192.0.2.${this.name.slice(1)}`;
  }

  get epoch(): number {
    return this.#epoch;
  }

  #state(): void {
    this.#epoch += 1;
    const underlay = { address: this.address, device: 'up0', mtu: 1500 };
    const changes = { bootId: `boot ${this.name} ${this.#boots}`, epoch: this.#epoch, underlay };
    const facts = hostFacts(this.name, changes);
    this.#log.push({ facts: { ...facts, capabilities: { ...facts.capabilities, esp: this.#secret !== null } } });
  }

  #change(change: AssociationChange): PlanResult {
    this.changes.push(change);
    const result = this.kernel.change(change, this.#tunnel);
    if (!result.ok) return result;
    for (const { key } of change.add) {
      assert.ok(!this.#added.has(key), `${this.name} adds a key for the second time`);
      this.#added.add(key);
    }
    return result;
  }

  /** A worker starts: it folds all that there is, states its host, and folds that. */
  async start(): Promise<void> {
    this.#encryption?.close();
    this.#state();
    const encryption = new Encryption({
      realm: 'test',
      host: this.name,
      secret: this.#secret,
      kernel: {
        associations: async () => ({ ok: true, found: this.kernel.found }),
        changeAssociations: async (change) => this.#change(structuredClone(change)),
      },
      present: { tunnels: () => (this.#tunnel ? [vxlan(1, { port: encryptedPort })] : [vxlan(2)]) },
      hosts: () => this.#facts.values(),
      generation: () => this.#generation,
      clock: this.clock,
      logger: silentLogger(),
      renew: () => this.#state(),
      onFault: (error) => assert.fail(String(error)),
    });
    this.#encryption = encryption;
    this.#fold();
    await encryption.begin();
  }

  #fold(): boolean {
    const news = this.#log.slice(this.#position);
    this.#position = this.#log.length;
    for (const entry of news) {
      if ('facts' in entry) this.#facts.set(entry.facts.host, entry.facts);
      else this.#generation = entry.generation;
    }
    return news.length > 0;
  }

  /** Folds the log up to its end, and does what follows from it. */
  async follow(): Promise<void> {
    if (this.#fold()) await this.#encryption?.look();
  }

  /** The machine starts anew: its kernel holds nothing. */
  async reboot(): Promise<void> {
    this.#boots += 1;
    this.kernel.lose();
    this.kernel.guarded = false;
    await this.start();
  }

  /** The first encrypted network comes, or the last one goes. */
  async use(tunnel: boolean): Promise<void> {
    this.#tunnel = tunnel;
    if (tunnel) this.kernel.guarded = true;
    await this.#encryption?.look();
  }

  close(): void {
    this.#encryption?.close();
  }

  /** As kernels do: of those that would do, the one that was added last. */
  outbound(to: EncryptedHost): KeyedAssociation | undefined {
    return this.#between(this.address, to.address).at(-1);
  }

  inbound(from: EncryptedHost): readonly KeyedAssociation[] {
    return this.#between(from.address, this.address);
  }

  #between(source: string, destination: string): readonly KeyedAssociation[] {
    return this.kernel.found.present
      .filter((each) => pairOf(each) === pairOf({ source, destination, spi: 0 }))
      .map((each) => ({ ...each, key: this.kernel.keyOf(each) ?? '' }));
  }

  /** Whether a packet to the other host is taken there now. */
  reaches(to: EncryptedHost): boolean {
    const sent = this.outbound(to);
    return sent !== undefined && to.inbound(this).some(({ spi, key }) => spi === sent.spi && key === sent.key);
  }
}

/** Hosts that have found each other. */
export const encryptedHosts = async (count: number) => {
  const log: Entry[] = [];
  const clock = new FakeClock();
  const hosts = Array.from({ length: count }, (_, at) => new EncryptedHost(`h${at + 1}`, log, clock));
  let generation = 0;
  const rotate = (): void => {
    generation += 1;
    log.push({ generation });
  };
  const turn = async (): Promise<void> => {
    // Each may state something that the others have not seen.
    for (let round = 0; round < 4; round++) for (const host of hosts) await host.follow();
  };
  for (const host of hosts) await host.start();
  await turn();
  return { hosts, clock, rotate, turn, add: (host: EncryptedHost) => hosts.push(host), log };
};

/** Pairs that do not reach each other. */
export const cutOff = (hosts: readonly EncryptedHost[]): readonly string[] =>
  hosts.flatMap((from) =>
    hosts.flatMap((to) => (from === to || from.reaches(to) ? [] : [`${from.name} to ${to.name}`])),
  );
