/**
 * Which networks and endpoints have the labels that a watch asks for, from a position on: events name things by id, their labels stand
 * in the events that made or changed them. The same rules as in the views, so that it can be begun with their rows at any position.
 */
import { isCutShort } from '../events/cut-short.ts';
import { type EndpointLife, endpointLifeAfter } from '../events/endpoint-life.ts';
import { type Event, type EventOf, needsExecution } from '../events/envelope.ts';
import { isIntent } from '../events/events.ts';
import { fits } from '../events/fits.ts';
import { isRecordOnly } from '../events/state.ts';
import { type EndpointStatus, type NetworkStatus, networkTransitions } from '../events/states.ts';
import { endUpdate, type Update } from '../events/updates.ts';
import type { CommandRow } from './commands.ts';
import { type EndpointRow, endpoints as endpointsView } from './endpoints.ts';
import { type NetworkRow, networks as networksView } from './networks.ts';
import { labelNames } from './projection.ts';
import { nextStatus } from './status.ts';

/** `has`: whether its labels are those asked for. */
interface KnownNetwork {
  readonly status: Exclude<NetworkStatus, 'absent'>;
  /** The latest intent: the one whose report moves the state. */
  readonly intent: string;
  readonly has: boolean;
  readonly update: Update<boolean> | null;
}

/** Only those that have the labels are known: an endpoint's never change. */
interface KnownEndpoint extends EndpointLife<Exclude<EndpointStatus, 'absent'>> {
  readonly networkId: string;
}

/** Rows of views as of one position. */
export interface LabelRows {
  /** All of them. */
  readonly networks: readonly NetworkRow[];
  /** Those that have the labels, or more. */
  readonly endpoints: readonly EndpointRow[];
  /** Those that have timed out or were cancelled, or more. */
  readonly commands: readonly CommandRow[];
}

const mapUpdate = <From, To>(update: Update<From> | null, map: (settings: From) => To): Update<To> | null =>
  update && { intent: update.intent, before: map(update.before), earlier: mapUpdate(update.earlier, map) };

const includes = (update: Update<boolean> | null, intent: string): boolean =>
  update !== null && (update.intent === intent || includes(update.earlier, intent));

/** Events of endpoints that leave their life as it is. */
const settles: ReadonlySet<string> = new Set([
  'EndpointUpdateRequested',
  'EndpointUpdated',
  'EndpointUpdateFailed',
  'EndpointSettled',
  'JoinSettled',
]);

/** Ids of the networks and endpoints that an event is about; of an event of an endpoint not its network. */
const idsIn = ({ type, data }: Event): readonly string[] => {
  switch (type) {
    case 'NetworkCreateRequested':
      return [data.network.id];
    case 'EndpointCreateRequested':
      return [data.endpoint.id];
    case 'PortsLeased':
      return data.ports.map(({ holder }) => holder);
    case 'LeaseRenewed':
    case 'LeaseSuspected':
      return data.network ? [data.network.id] : [];
    case 'HostLost':
      return [...data.networks, ...data.endpoints];
    case 'CommandRefused':
      return data.culprits.flatMap(({ kind, id }) => (kind === 'network' || kind === 'endpoint' ? [id] : []));
    default:
      if ('endpointId' in data) return [data.endpointId];
      return 'networkId' in data ? [data.networkId] : [];
  }
};

/** Shown every event in log order, it tells those of things that have all of the labels, written `KEY` or `KEY=VALUE`. */
export class Labelled {
  readonly #wanted: readonly string[];
  readonly #networks = new Map<string, KnownNetwork>();
  readonly #endpoints = new Map<string, KnownEndpoint>();
  /** Updates whose command had timed out or was cancelled before they were reported: what is reported done will be taken back. */
  readonly #late = new Set<string>();

  /** @param rows as of the position that the events stand behind; none: the opening */
  constructor(wanted: readonly string[], rows: LabelRows = { networks: [], endpoints: [], commands: [] }) {
    this.#wanted = wanted;
    for (const row of rows.networks) {
      const { id, status, intent, labels } = row;
      if (isRecordOnly(row) && status === 'deleting') continue;
      const update = mapUpdate(row.update, (before) => this.#has(before.labels));
      this.#networks.set(id, { status, intent, has: this.#has(labels), update });
    }
    for (const { id, networkId, status, intent, leave, labels } of rows.endpoints)
      if (this.#has(labels)) this.#endpoints.set(id, { networkId, status, intent, leave });
    for (const { status, open } of rows.commands)
      if (isCutShort(status)) for (const intent of open) this.#noteLate(intent);
  }

  /** Whether an event is about a thing that has the labels before it or after it; poison is about nothing (docs/adr/0025). */
  concerns(event: Event): boolean {
    if (!fits(event)) return false;
    const ids = idsIn(event);
    const before = ids.some((id) => this.#isLabelled(id));
    this.#learn(event);
    return before || ids.some((id) => this.#isLabelled(id));
  }

  #has(labels: Readonly<Record<string, string>>): boolean {
    const names = labelNames(labels);
    return this.#wanted.every((label) => names.includes(label));
  }

  #isLabelled(id: string): boolean {
    return this.#endpoints.has(id) || this.#networks.get(id)?.has === true;
  }

  #learn(event: Event): void {
    switch (event.type) {
      case 'NetworkCreateRequested': {
        const { id, labels } = event.data.network;
        const status = needsExecution(event) ? 'creating' : 'active';
        if (!this.#networks.has(id))
          this.#networks.set(id, { status, intent: event.meta.id, has: this.#has(labels), update: null });
        return;
      }
      case 'EndpointCreateRequested': {
        const { id, networkId, labels } = event.data.endpoint;
        const life = { networkId, status: 'creating', intent: event.meta.id, leave: null } as const;
        if (this.#networks.has(networkId) && !this.#endpoints.has(id) && this.#has(labels))
          this.#endpoints.set(id, life);
        return;
      }
      case 'NetworkUpdateRequested':
      case 'NetworkUpdated':
      case 'NetworkUpdateFailed':
        this.#update(event);
        return;
      case 'CommandTimedOut':
      case 'CommandCancelled':
        for (const intent of event.data.intents) this.#noteLate(intent);
        return;
      case 'HostLost':
        for (const id of event.data.networks) this.#end(id);
        for (const id of event.data.endpoints) this.#endpoints.delete(id);
        return;
      default:
        if (endpointsView.handles.includes(event.type)) this.#moveEndpoint(event);
        else if (networksView.handles.includes(event.type)) this.#moveNetwork(event);
    }
  }

  #noteLate(intent: string): void {
    for (const { update } of this.#networks.values()) if (includes(update, intent)) this.#late.add(intent);
  }

  #update(event: EventOf<'NetworkUpdateRequested' | 'NetworkUpdated' | 'NetworkUpdateFailed'>): void {
    const { networkId } = event.data;
    const row = this.#networks.get(networkId);
    if (!row) return;
    const { id, causationid } = event.meta;
    if (event.type === 'NetworkUpdateRequested') {
      const update = needsExecution(event) ? { intent: id, before: row.has, earlier: row.update } : row.update;
      this.#networks.set(networkId, { ...row, has: this.#has(event.data.settings.labels), update });
      return;
    }
    const hasFailed = event.type === 'NetworkUpdateFailed';
    if (!hasFailed && this.#late.has(causationid)) return;
    this.#late.delete(causationid);
    const ended = endUpdate(row.update, causationid, hasFailed);
    if (ended) this.#networks.set(networkId, { ...row, has: ended.restored ?? row.has, update: ended.update });
  }

  #moveNetwork(event: Event): void {
    const id = 'networkId' in event.data ? event.data.networkId : '';
    const row = this.#networks.get(id);
    if (!row) return;
    const { type, meta } = event;
    const intends = isIntent(type);
    if (!intends && type !== 'NetworkCreateFailed' && meta.causationid !== row.intent) return;
    const status = nextStatus(networkTransitions, row.status, type);
    // Nobody reports the end of one that is only on record.
    if (status === 'absent' || (status === 'deleting' && intends && !needsExecution(event))) this.#end(id);
    else this.#networks.set(id, { ...row, status, intent: intends ? meta.id : row.intent });
  }

  /** A network that is gone has taken its endpoints along. */
  #end(networkId: string): void {
    this.#networks.delete(networkId);
    for (const [id, endpoint] of this.#endpoints) if (endpoint.networkId === networkId) this.#endpoints.delete(id);
  }

  #moveEndpoint(event: Event): void {
    if (!('endpointId' in event.data) || settles.has(event.type)) return;
    const id = event.data.endpointId;
    const row = this.#endpoints.get(id);
    const life = row && endpointLifeAfter(row, event);
    if (!life) return;
    const { status, intent, leave } = life;
    if (!life.counts) this.#endpoints.set(id, { ...row, leave });
    else if (status === 'absent') this.#endpoints.delete(id);
    else this.#endpoints.set(id, { ...row, status, intent, leave });
  }
}
