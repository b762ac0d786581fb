/** The thread that enters namespaces: everything it does is synchronous, one request after the other. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { changeAssociations, readAssociations } from './associations.ts';
import { takeCensus } from './census.ts';
import { announce, applyPlans } from './executor.ts';
import { readFacts } from './facts.ts';
import { isFailure } from './failure.ts';
import { closeFirewall, type Firewall, openFirewall } from './firewall.ts';
import { type Host, openHost } from './host.ts';
import { findLeftovers } from './leftovers.ts';
import { close } from './libc.ts';
import { linkListeners } from './link-listeners.ts';
import { dropListeners, openResolver } from './listener.ts';
import { lookAt } from './look.ts';
import { mountRunDirectory } from './netns.ts';
import { changePeers, checkPeers, setPeers } from './peers.ts';
import type { Reply, Request, ThreadOptions } from './protocol.ts';
import { schedule } from './scheduling.ts';
import { closeSpares } from './spare.ts';
import { Spares } from './spares.ts';

const { options, reaper } = workerData as { readonly options: ThreadOptions; readonly reaper: MessagePort };
const pending = new Int32Array(options.pending);

// Before the loop that answers: system calls here are the longest part of every change, one after the other, and whoever interrupts them
// makes all wait longer; a fifth of a burst's rate on two processors. Without CAP_SYS_NICE it stays as it is, which costs only time.
schedule({ nice: -15, sliceMs: 0.2 });

const handOver = (host: Host): void => {
  const jobs = host.reaps.splice(0);
  if (jobs.length === 0) return;
  Atomics.add(pending, 0, jobs.length);
  reaper.postMessage(jobs);
};

/** Without privileges this fails, which shows in the host's facts; whatever needs the directory then fails as well. */
const prepareRunDirectory = (opened: Host): void => {
  try {
    mountRunDirectory(opened);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
};

/** Isolation is up before the first network is. Where this fails, the first change of an element says why. */
const prepareTable = ({ table }: Firewall): void => {
  try {
    table.prepare();
  } catch (error) {
    if (!isFailure(error)) throw error;
  }
};

const start = (): { readonly host: Host; readonly firewall: Firewall } => {
  const host = openHost(options, new Spares(options.spares));
  const firewall = openFirewall(host, options.ownTable ?? true);
  prepareTable(firewall);
  Atomics.store(pending, 1, firewall.table.port);
  prepareRunDirectory(host);
  host.reaps.push(...findLeftovers(host));
  handOver(host);
  return { host, firewall };
};

const { host, firewall } = start();

/**
 * Whoever waits for an answer goes first: what was done is reported and told within two or three milliseconds, by threads that would wait a whole
 * namespace long for the processor on which one is being made.
 */
const idleMs = 3;

let sparing: NodeJS.Timeout | null = null;

/** When nothing has been asked for a while: until then another thread at work would only be in the way. */
const spareSoon = (): void => {
  if (sparing) clearTimeout(sparing);
  sparing = setTimeout(() => {
    sparing = null;
    if (!host.spares.isFull) host.spares.call();
  }, idleMs);
};

/** A thread that could not come home must not go on. */
const leaveUnlessHome = (): void => {
  if (host.away) process.exit(1);
};

/** What was changed may be news to neighbours. */
const announcing = <T>(change: () => T): T => {
  const result = change();
  announce(host);
  return result;
};

const answer = (request: Request): unknown => {
  switch (request.call) {
    case 'apply':
      return applyPlans(host, firewall, request.plans);
    case 'census':
      return request.extent === null ? takeCensus(host, firewall.table) : lookAt(host, firewall.table, request.extent);
    case 'facts':
      return readFacts(host, options.underlay ?? null);
    case 'listeners':
      return linkListeners();
    case 'setPeers':
      return announcing(() => setPeers(host, request.tables));
    case 'changePeers':
      return announcing(() => changePeers(host, request.changes));
    case 'checkPeers':
      return announcing(() => checkPeers(host, request.left));
    case 'associations':
      return readAssociations(host);
    case 'changeAssociations':
      return changeAssociations(host, request.change);
    case 'findPorts':
      return firewall.ports.find(request.searches);
    case 'openResolver':
      return openResolver(host, request.netns, request.port);
    case 'close':
      closeFirewall(firewall);
      if (sparing) clearTimeout(sparing);
      closeSpares(host);
      for (const path of [...host.listeners.keys()]) dropListeners(host, path);
      host.announcer.close();
      host.route.close();
      close(host.home);
      handOver(host);
      reaper.postMessage('stop');
      return null;
    default:
      return request satisfies never;
  }
};

const replyTo = (request: Request): Reply => {
  try {
    return { id: request.id, ok: true, value: answer(request) };
  } catch (error) {
    return {
      id: request.id,
      ok: false,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
};

parentPort?.on('message', (text: string) => {
  const requests = JSON.parse(text) as readonly Request[];
  const replies = requests.map(replyTo);
  handOver(host);
  parentPort?.postMessage(JSON.stringify(replies));
  leaveUnlessHome();
  if (requests.some(({ call }) => call === 'apply')) spareSoon();
});
