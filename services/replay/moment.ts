/** A realm as it was at a position of a log that is put away, and its hosts. */

import type { KernelObject } from '../../drivers/objects.ts';
import { drivers } from '../../drivers/registry.ts';
import type { Event } from '../../events/envelope.ts';
import type { BoundaryState } from '../../events/state.ts';
import { type PeerRow, PeerView } from '../../projections/peers.ts';
import { openedAt } from '../audit/export.ts';
import { parkedEvent } from '../lib/boundary-parking.ts';
import { openedThrough } from '../lib/opening.ts';
import { readRange } from '../lib/read-range.ts';
import { applyMessage, boundaryOf, emptyRealm, knownHosts, type Realm } from '../lib/realm.ts';
import type { Message, Stream } from '../lib/stream.ts';
import { settledObjects } from '../worker/census.ts';
import type { Deployment } from '../worker/sandbox.ts';
import { ReplayFault } from './fault.ts';

/** Names are asked of nobody: the servers of the host that was are not here. */
const nobody = () => ({ servers: [], search: [], options: [] });

const isReport = ({ subject }: Message): boolean => subject.startsWith('cnm.outcome.');

/** The log from its opening to some position, folded; goes on, never back. */
export class Moment {
  readonly #log: Stream;
  readonly #realm: Realm = emptyRealm();
  /** Endpoints of all hosts: nobody is called ''. */
  readonly peers = new PeerView('');
  /** When the last message that is folded in was recorded, milliseconds since 1970. */
  recordedMs = 0;

  private constructor(log: Stream) {
    this.#log = log;
  }

  /** @throws ReplayFault REPLAY_POSITION_UNKNOWN; ExportFault at a damaged line; UnreadableCommit */
  static async open(log: Stream, position: number): Promise<Moment> {
    const [first, last] = [await log.first(), await log.last()];
    const segment = await openedAt(log, first);
    if (first !== 1 && segment === null) {
      throw new ReplayFault('REPLAY_POSITION_UNKNOWN', `it begins at position ${first}: what was before is not in it`);
    }
    if (position < first) {
      throw new ReplayFault('REPLAY_POSITION_UNKNOWN', `nothing was recorded by then: it begins at position ${first}`);
    }
    if (position > last) {
      throw new ReplayFault('REPLAY_POSITION_UNKNOWN', `position ${position} is not in it: it ends at ${last}`);
    }
    const moment = new Moment(log);
    // What a segment begins with is one state.
    await moment.#fold(Math.max(position, segment ? openedThrough(segment) : 0), () => undefined);
    return moment;
  }

  get position(): number {
    return this.#realm.position;
  }

  /** Folds the next message in. @returns its events; null behind the last */
  async next(): Promise<readonly Event[] | null> {
    if (this.position >= (await this.#log.last())) return null;
    const events: Event[] = [];
    await this.#fold(this.position + 1, (event) => events.push(event));
    return events;
  }

  /** Hosts that had stated themselves by then. */
  hosts(): ReadonlyMap<string, BoundaryState> {
    return knownHosts(this.#realm);
  }

  /** What the host did that is not in its state: from an event on that cannot be folded. Null: nothing. */
  missing(host: string): string | null {
    const { parked } = boundaryOf(this.#realm, host);
    return parked && `what was done on ${host} from event ${parkedEvent(parked)} on: ${parked.reason}`;
  }

  async #fold(until: number, note: (event: Event) => void): Promise<void> {
    for await (const batch of readRange(this.#log, this.position + 1, until)) {
      for (const message of batch) {
        const reported = isReport(message);
        applyMessage(this.#realm, message, {
          before: ({ host }, event) => {
            note(event);
            if (event.type === 'PeersForgotten') this.peers.apply(event.data.host, event);
            else if (reported && host !== null) this.peers.apply(host, event);
          },
          opened: (_, opening) => {
            for (const [kind, row] of opening.lines()) if (kind === 'peer') this.peers.carry(row as PeerRow);
          },
        });
        this.recordedMs = message.recordedMs;
      }
    }
  }
}

/** The position that is meant: as it is, or the last one that was recorded at or before a time. */
export const positionOf = async (log: Stream, moment: number | string | null): Promise<number> => {
  if (typeof moment === 'number') return moment;
  if (moment === null) return log.last();
  return (await log.positionAt(Date.parse(moment) + 1)) - 1;
};

/** A host as those see it who say what its kernel has to hold. */
export const deploymentOf = (realm: string, host: string, state: BoundaryState): Deployment => ({
  host: { realm, host, underlay: state.facts.get('host')?.underlay ?? null },
  drivers,
  resolvConf: nobody,
});

/**
 * What was reported as done on a host and not undone: what stood there, at its own paths. What open intents want is not there yet, and what
 * they want gone is gone: between decision and report only the kernel itself knew.
 */
export const standing = (state: BoundaryState, deployment: Deployment): readonly KernelObject[] =>
  settledObjects(state, deployment);

/** The host that is meant, or the only one on which anything stood. @throws ReplayFault REPLAY_HOST_UNKNOWN */
export const hostOf = (moment: Moment, asked: string | undefined): string => {
  const hosts = moment.hosts();
  const busy = [...hosts].filter(([, { networks, sandboxes }]) => networks.size + sandboxes.size > 0);
  const [first] = busy.length === 1 ? busy : hosts;
  const isOpen = asked === undefined && (busy.length === 1 || hosts.size === 1);
  const host = isOpen ? first?.[0] : asked;
  if (host !== undefined && hosts.has(host)) return host;
  const known = hosts.size === 0 ? 'there was none yet' : `there were ${[...hosts.keys()].join(', ')}`;
  throw new ReplayFault(
    'REPLAY_HOST_UNKNOWN',
    asked === undefined ? `which host? At position ${moment.position} ${known}` : `no host ${asked}: ${known}`,
  );
};
