/** What a plan has done so far, so that it can be undone. */
import type { Tag } from '../objects.ts';
import type { Announcement } from './announce.ts';
import { describeFailure, expectNone, isFailure } from './failure.ts';
import { deathMark, type Host, listLinks, type ReapJob, readLink, readLinkAt } from './host.ts';
import { close } from './libc.ts';
import type { Refusal } from './netlink.ts';
import { plainPort, samePort } from './port-flags.ts';
import type { LinkRecord } from './records.ts';
import { setLink, setPort } from './rtnetlink.ts';

/** A link that the plan has made, as it was asked for. */
export interface Made {
  readonly index: number;
  readonly name: string;
  /** With its tag. */
  readonly alias: string;
  /** The bridge that it is a port of. */
  readonly on?: { readonly name: string; readonly index: number };
  /** The other end of a pair. */
  readonly inner?: { readonly name: string; readonly netns: string };
  /** The kernel has said that all that was asked for of it is done. */
  isThere: boolean;
}

export interface Transaction {
  readonly host: Host;
  /** How to take back each step; run from the last to the first. */
  readonly undo: { readonly what: string; readonly run: () => void }[];
  readonly made: Made[];
  /** Directories that it has made: nobody else has put anything there. */
  readonly directories: Set<string>;
  /** Interfaces to be announced when the plan has succeeded. */
  readonly announcements: Announcement[];
  /** What is left to do when the plan has succeeded. Where it fails, the next start sees to it. */
  readonly done: (() => void)[];
  /** Removals that cannot be taken back: they start when the plan has succeeded. */
  readonly reaps: ReapJob[];
}

export const begin = (host: Host): Transaction => ({
  host,
  undo: [],
  made: [],
  directories: new Set(),
  announcements: [],
  done: [],
  reaps: [],
});

export const commit = (transaction: Transaction): void => {
  transaction.host.reaps.push(...transaction.reaps);
  transaction.host.announcements.push(...transaction.announcements);
  for (const run of transaction.done) {
    try {
      run();
    } catch (error) {
      // The plan stands: to fail now would be to deny it.
      if (!isFailure(error)) throw error;
    }
  }
};

/** Takes everything back; answers what could not be. */
export const rollback = (transaction: Transaction): readonly string[] => {
  const faults: string[] = [];
  for (const { what, run } of transaction.undo.reverse()) {
    try {
      run();
    } catch (error) {
      faults.push(`${what}: ${describeFailure(error)}`);
    }
  }
  for (const job of transaction.reaps) if (job.namespace >= 0) close(job.namespace);
  return faults;
};

/** Runs a step of an undoing, which is final itself. */
export const undoing = (host: Host, step: (transaction: Transaction) => void): void => {
  const inner = begin(host);
  step(inner);
  commit(inner);
};

export const isDead = (owner: Pick<Tag, 'realm' | 'host'>, link: LinkRecord): boolean =>
  link.alias === deathMark(owner);

/**
 * Notes how a link is unmade, before it is asked for: the answer may be lost, and then nobody knows whether it was made. The index is
 * this thread's alone; where it is taken after all, it is by a link of another name, which is nobody's business.
 */
export const unmaking = (
  transaction: Transaction,
  what: string,
  made: Omit<Made, 'isThere'>,
  run: () => void,
): Made => {
  const { host } = transaction;
  const noted = { ...made, isThere: false };
  const unmake = (): void => {
    const link = readLinkAt(host.route, host.writer, made.index);
    // Whatever somebody else calls it meanwhile.
    if (link?.name === made.name || link?.alias === made.alias) run();
  };
  transaction.made.push(noted);
  transaction.undo.push({ what, run: unmake });
  return noted;
};

/** Links per batch: far from filling its buffer. */
const chunk = 256;

/** Takes links out of service at once. Deleting them would wait for the kernel's grace periods: a reaper's work. */
export const silence = (host: Host, indexes: readonly number[]): void => {
  const alias = deathMark(host);
  for (let at = 0; at < indexes.length; at += chunk) {
    const writer = host.writer.reset();
    for (const index of indexes.slice(at, at + chunk)) setLink(writer, index, { up: false, alias });
    expectNone(host.route.request(writer).filter(stillThere));
  }
};

/** Whether a refusal says anything but that the link is gone. */
export const stillThere = (refusal: Refusal): boolean => refusal.errno !== 'ENODEV';

/**
 * A dead link keeps its name until it is reaped; whoever needs the name moves it aside. In the host's namespace its own index
 * makes a name that is free; inside a sandbox its host end's does.
 */
export const moveAside = (host: Host, link: LinkRecord, socket = host.route, unique = link.index): void => {
  const writer = host.writer.reset();
  setLink(writer, link.index, { up: false });
  setLink(writer, link.index, { name: `cd${unique.toString(36)}` });
  expectNone(socket.request(writer).filter(stillThere));
};

/** Dead ports hold their places on a bridge until they are reaped; frees some of them. */
export const freePorts = (host: Host, bridge: number): boolean => {
  const dead = listLinks(host.route, host.writer).filter((link) => link.master === bridge && isDead(host, link));
  if (dead.length === 0) return false;
  const writer = host.writer.reset();
  // At about 100 us each, this many do not hold up the thread.
  for (const link of dead.slice(0, 64)) setLink(writer, link.index, { master: 0 });
  expectNone(host.route.request(writer).filter(stillThere));
  return true;
};

/** Takes back a `silence`: the name too, which another link may have had meanwhile. */
export const revive = (host: Host, link: LinkRecord): void => {
  const holder = readLink(host.route, host.writer, link.name);
  if (holder !== null && holder.index !== link.index && isDead(host, holder)) moveAside(host, holder);
  const request = (): readonly Refusal[] => {
    const writer = host.writer.reset();
    setLink(writer, link.index, { name: link.name, alias: link.alias, master: link.master });
    // Lost, if it lost its place on the bridge.
    if (!samePort(link.port, plainPort)) setPort(writer, link.index, link.port);
    setLink(writer, link.index, { up: link.up });
    return host.route.request(writer);
  };
  const refusals = request();
  // What took its place on a full bridge has been undone before, and is dead.
  expectNone(refusals[0]?.errno === 'EXFULL' && freePorts(host, link.master) ? request() : refusals);
};
