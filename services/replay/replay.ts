/** A moment of a host in the namespace of this process: fold, build, answer names. */
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';
import { type BoundaryState, findSandbox, initialState } from '../../events/state.ts';
import { RESOLVER_PORT } from '../dns/address.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Stream } from '../lib/stream.ts';
import type { Inside } from './child.ts';
import { ReplayFault } from './fault.ts';
import { networksOfOthers, withoutLent } from './lent.ts';
import { deploymentOf, hostOf, Moment, positionOf, standing } from './moment.ts';
import { Names } from './names.ts';
import { type Relocation, relocate, relocatePath } from './relocate.ts';
import { Stage } from './stage.ts';
import type { Step, Steps } from './stepping.ts';

export interface ReplayOptions {
  readonly log: Stream;
  readonly realm: string;
  /** A position, a time, or the end of it. */
  readonly until: number | string | null;
  /** The only one that had anything, when left out. */
  readonly host: string | undefined;
  /** A directory of our own, empty. */
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What stands, in numbers. */
export interface Standing {
  readonly networks: number;
  readonly sandboxes: number;
  readonly objects: number;
}

export class Replay implements Steps {
  readonly host: string;
  readonly #options: ReplayOptions;
  #moment: Moment;
  readonly #kernel: Kernel;
  readonly #stage: Stage;
  readonly #names: Names;

  private constructor(options: ReplayOptions, moment: Moment, host: string, kernel: Kernel) {
    this.#options = options;
    this.#moment = moment;
    this.#kernel = kernel;
    this.host = host;
    const { realm, clock, logger } = options;
    this.#stage = new Stage({ kernel, realm, host: this.host });
    const pathOf = (path: string): string => relocatePath(this.#relocation(), path);
    this.#names = new Names({ kernel, clock, logger, host: this.host, pathOf });
  }

  /** Nothing is built yet. @throws ReplayFault */
  static async open(options: ReplayOptions): Promise<Replay> {
    const { log, until, realm, directory } = options;
    const moment = await Moment.open(log, await positionOf(log, until));
    const host = hostOf(moment, options.host);
    const kernel = await linuxKernel({ realm, host, runDir: directory, resolverPort: RESOLVER_PORT });
    return new Replay(options, moment, host, kernel);
  }

  get position(): number {
    return this.#moment.position;
  }

  get recordedMs(): number {
    return this.#moment.recordedMs;
  }

  /** Makes the kernel hold what the host held. */
  async show(): Promise<Step> {
    const deployment = deploymentOf(this.#options.realm, this.host, this.#state);
    const relocation = this.#relocation();
    const stood = withoutLent(standing(this.#state, deployment));
    const objects = stood.map((object) => relocate(relocation, object));
    const { peers } = this.#moment;
    const changes = this.#stage.changes({ objects });
    await this.#names.release(changes);
    const failures = await this.#stage.show({ objects, peers });
    // What is deleted goes in slices; nobody is to see it any more.
    if (changes.some(({ op }) => op === 'delete')) await this.#kernel.settled();
    const served = this.#stage.objects().flatMap(({ kind, tag }) => (kind === 'resolver' ? [tag.id] : []));
    await this.#names.show(this.#state, peers, new Set(served));
    return { position: this.position, events: [], changes, failures };
  }

  async next(): Promise<Step | null> {
    const events = await this.#moment.next();
    return events && { ...(await this.show()), events };
  }

  /** There or back. @throws ReplayFault REPLAY_POSITION_UNKNOWN */
  async goTo(position: number): Promise<Step> {
    this.#moment = await Moment.open(this.#options.log, position);
    return this.show();
  }

  count(): Standing {
    const objects = this.#stage.objects();
    const networks = [...this.#state.networks.values()].filter(({ status }) => status === 'active').length;
    return { networks, sandboxes: objects.filter(({ kind }) => kind === 'netns').length, objects: objects.length };
  }

  /** What was there and is not to be built: sandboxes in the host's own network, what programs of others had made, and what cannot be read. */
  notOurs(): readonly string[] {
    const beside = [...this.#state.sandboxes.values()].flatMap(({ facts, members }) =>
      facts.files === null && members.length > 0 ? [`sandbox ${facts.id}, in the network of the host itself`] : [],
    );
    const missing = this.#moment.missing(this.host);
    return [...networksOfOthers(this.#state), ...beside, ...(missing === null ? [] : [missing])];
  }

  /** Where commands run that are to be in a sandbox. @throws ReplayFault REPLAY_SANDBOX_UNKNOWN */
  inside(id: string): Inside {
    const facts = findSandbox(this.#state, id)?.facts;
    const netns = this.#stage.objects().find(({ kind, tag }) => kind === 'netns' && tag.id === facts?.incarnation);
    if (facts && netns?.kind === 'netns') {
      const { files } = facts;
      return { netns: netns.path, files: files === null ? null : relocatePath(this.#relocation(), files) };
    }
    const isBegun = facts !== undefined && facts.files !== null;
    const standing = this.#stage.objects().flatMap(({ kind, tag }) => (kind === 'netns' ? [tag.id] : []));
    const names = [...this.#state.sandboxes.values()].flatMap(({ facts: one }) =>
      standing.includes(one.incarnation) ? [one.id] : [],
    );
    const why = isBegun ? `sandbox ${id} is not made yet` : `no sandbox ${id} stands`;
    const there = names.length === 0 ? 'there is none yet' : `there are ${names.join(', ')}`;
    throw new ReplayFault('REPLAY_SANDBOX_UNKNOWN', `${why} at position ${this.position}: ${there}`);
  }

  async close(): Promise<void> {
    await this.#names.close();
    await this.#kernel.close();
  }

  /** Empty before the host has stated itself. */
  get #state(): BoundaryState {
    return this.#moment.hosts().get(this.host) ?? initialState();
  }

  #relocation(): Relocation {
    return { from: this.#state.facts.get('host')?.runDir ?? '', to: this.#options.directory };
  }
}
