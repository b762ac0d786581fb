/**
 * Removes what has been silenced. The kernel's part of it holds the lock that all set-up needs, and on a kernel without preemption a
 * processor, in one stretch per batch: 94 ms for 200 namespaces, 506 ms for 1,000 (kernel.md, Teardown). Hence slices, with gaps between
 * them; and links before the namespace that they lead into, or both would go in one stretch.
 */
import type { ReapJob } from './host.ts';
import { batchBytes } from './host.ts';
import { close, SystemError } from './libc.ts';
import { AnswerLost, type NetlinkSocket } from './netlink.ts';
import { deleteGroup, getLinkByIndex, setLink } from './rtnetlink.ts';
import { MessageWriter } from './writer.ts';

/** Some 10 ms in one stretch. A slice waits as long for the kernel's grace periods, however small it is. */
const linksPerSliceMax = 25;

export interface ReaperOptions {
  readonly socket: NetlinkSocket;
  /** A socket that speaks to the namespace behind a descriptor; the reaper closes it. */
  readonly open: (namespace: number) => NetlinkSocket;
  readonly sleep: (ms: number) => Promise<void>;
  /** Called as jobs are done. */
  readonly done: (jobs: number) => void;
}

/** Between slices. */
const gapMs = 4;
const retryMs = 250;

export class Reaper {
  readonly #options: ReaperOptions;
  readonly #writer = new MessageWriter(batchBytes);
  readonly #queue: ReapJob[] = [];
  /** Resolves when nothing is under way. */
  #work: Promise<void> = Promise.resolve();
  #running = false;
  #stopped = false;

  constructor(options: ReaperOptions) {
    this.#options = options;
  }

  add(jobs: readonly ReapJob[]): void {
    this.#queue.push(...jobs);
    if (!this.#running) this.#work = this.#run();
  }

  /** Lets go of all namespaces at once. Links that stay are found, by their mark, when the next process starts. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const job of this.#queue.splice(0)) if (job.namespace >= 0) close(job.namespace);
    await this.#work;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#queue.length > 0) {
      const slice = this.#slice();
      await this.#reap(slice);
      this.#options.done(slice.length);
      await this.#options.sleep(gapMs);
    }
    this.#running = false;
  }

  #slice(): readonly ReapJob[] {
    const slice: ReapJob[] = [];
    for (let links = 0; slice.length < linksPerSliceMax; ) {
      const [next] = this.#queue;
      if (next === undefined || (slice.length > 0 && links + next.links.length > linksPerSliceMax)) break;
      links += next.links.length;
      slice.push(next);
      this.#queue.shift();
    }
    return slice;
  }

  async #reap(slice: readonly ReapJob[]): Promise<void> {
    const housed = slice.filter((job) => job.namespace >= 0);
    for (const job of housed) if (job.inside) await this.#deleteInside(job.namespace, job.inside);
    await this.#delete(slice.flatMap((job) => job.links));
    for (const job of housed) close(job.namespace);
  }

  /** What is inside a namespace that lives on. */
  async #deleteInside(namespace: number, links: readonly number[]): Promise<void> {
    const socket = this.#open(namespace);
    if (socket === null) return;
    try {
      await this.#delete(links, socket);
    } finally {
      socket.close();
    }
  }

  /** Null when the process has no descriptors left: the links are found, by their mark, when the next one starts. */
  #open(namespace: number): NetlinkSocket | null {
    try {
      return this.#options.open(namespace);
    } catch (error) {
      if (error instanceof SystemError) return null;
      throw error;
    }
  }

  /** Deletes links as a group, which takes as long as one. Not given up: what stays is not settled. */
  async #delete(links: readonly number[], socket = this.#options.socket): Promise<void> {
    let left = links;
    while (left.length > 0 && !this.#stopped) {
      const slice = left.slice(0, linksPerSliceMax);
      this.#deleteGroup(slice, socket);
      const still = this.#left(slice, socket);
      left = [...left.slice(linksPerSliceMax), ...still];
      if (left.length > 0) await this.#options.sleep(still.length > 0 ? retryMs : gapMs);
    }
  }

  /** The number of the group is the index of a link in it, which is high and not used twice: no other link is in it. */
  #deleteGroup(links: readonly number[], socket: NetlinkSocket): void {
    const [group] = links;
    if (group === undefined) return;
    this.#writer.reset();
    for (const index of links) setLink(this.#writer, index, { group });
    deleteGroup(this.#writer, group);
    this.#request(socket);
  }

  /** Those of the links that are still there. */
  #left(links: readonly number[], socket = this.#options.socket): readonly number[] {
    const left: number[] = [];
    for (let at = 0; at < links.length; at += linksPerSliceMax) {
      const slice = links.slice(at, at + linksPerSliceMax);
      this.#writer.reset();
      for (const index of slice) getLinkByIndex(this.#writer, index);
      const gone = this.#request(socket);
      left.push(...(gone === null ? slice : slice.filter((_, position) => !gone.has(position))));
    }
    return left;
  }

  /** Positions of the messages that found no link; null when the answers were lost. */
  #request(socket: NetlinkSocket): ReadonlySet<number> | null {
    try {
      const refusals = socket.request(this.#writer);
      return new Set(refusals.filter((refusal) => refusal.errno === 'ENODEV').map((refusal) => refusal.index));
    } catch (error) {
      if (error instanceof AnswerLost) return null;
      throw error;
    }
  }
}
