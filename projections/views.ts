/**
 * All views together: one pass over the log folds each event into every view that it concerns. The views are owned by whoever made them
 * and changed in place; between two commits their rows never are, so a copy of the maps is a copy of the views.
 */
import type { Event } from '../events/envelope.ts';
import { type EventType, eventData } from '../events/events.ts';
import type { ViewName } from '../events/queries.ts';
import { type AddressRow, addresses } from './addresses.ts';
import { type CapacityRow, capacity } from './capacity.ts';
import { type CommandRow, commands, forgetCommands, noCommand } from './commands.ts';
import { followRoutes } from './default-routes.ts';
import { type DriftRow, drift } from './drift.ts';
import { type DriverRow, drivers } from './drivers.ts';
import { endEndpoints, loseHost } from './endings.ts';
import { type EndpointRow, endpoints } from './endpoints.ts';
import { type GarbageRow, garbage } from './garbage.ts';
import { type HoldRow, holds } from './holds.ts';
import { type HostRow, heard, hosts } from './hosts.ts';
import { type LeaseRow, leases } from './leases.ts';
import { type NameRow, names } from './names.ts';
import { countEndpoints, type NetworkRow, networks } from './networks.ts';
import { ObservedMap, type ViewObserver } from './observer.ts';
import { originOf } from './origin.ts';
import { type ParkedRow, Poisoned, parked } from './parked.ts';
import { followGateways, followPorts } from './port-map.ts';
import { nameFound, type PortRow, ports } from './ports.ts';
import type { At, Projection } from './projection.ts';
import { type QuotaRow, quotas } from './quotas.ts';
import { sandboxAbout } from './sandbox-about.ts';
import { type SandboxRow, sandboxes } from './sandboxes.ts';
import { type ShreddedRow, shredded } from './shredded.ts';

export interface ViewRows {
  readonly networks: NetworkRow;
  readonly endpoints: EndpointRow;
  readonly sandboxes: SandboxRow;
  readonly addresses: AddressRow;
  readonly names: NameRow;
  readonly ports: PortRow;
  readonly hosts: HostRow;
  readonly drivers: DriverRow;
  readonly commands: CommandRow;
  readonly garbage: GarbageRow;
  readonly drift: DriftRow;
  readonly leases: LeaseRow;
  readonly parked: ParkedRow;
  readonly holds: HoldRow;
  readonly shredded: ShreddedRow;
  readonly quotas: QuotaRow;
  readonly capacity: CapacityRow;
}

export type Rows = { readonly [View in ViewName]: Map<string, ViewRows[View]> };

export interface Views {
  rows: Rows;
  /** How many events were folded in since the maps of `rows` were made. */
  eventsInMaps: number;
  /** Of the last commit that is folded in; 0 before the opening. */
  position: number;
  /** The latest day that an event names, `YYYY-MM-DD`: the log's own clock. */
  day: string;
  /** Of the last commit at which commands were forgotten since these views were begun with; 0: none. */
  forgottenAt: number;
  /** Told of rows that change. */
  readonly observer: ViewObserver | null;
}

/** The maps of a set of views, those that an observer watches among them. */
const mapsOf = (rows: Rows | null, commands: Rows['commands'], observer: ViewObserver | null): Rows => {
  const watched = observer && {
    endpoints: new ObservedMap(rows?.endpoints ?? [], (key, before, after) =>
      observer.changed({ view: 'endpoints', key, before, after }),
    ),
    addresses: new ObservedMap(rows?.addresses ?? [], (key, before, after) =>
      observer.changed({ view: 'addresses', key, before, after }),
    ),
    names: new ObservedMap(rows?.names ?? [], (key, before, after) =>
      observer.changed({ view: 'names', key, before, after }),
    ),
    ports: new ObservedMap(rows?.ports ?? [], (key, before, after) =>
      observer.changed({ view: 'ports', key, before, after }),
    ),
  };
  return {
    networks: new Map(rows?.networks),
    endpoints: watched?.endpoints ?? new Map(rows?.endpoints),
    sandboxes: new Map(rows?.sandboxes),
    addresses: watched?.addresses ?? new Map(rows?.addresses),
    names: watched?.names ?? new Map(rows?.names),
    ports: watched?.ports ?? new Map(rows?.ports),
    hosts: new Map(rows?.hosts),
    drivers: new Map(rows?.drivers),
    commands,
    garbage: new Map(rows?.garbage),
    drift: new Map(rows?.drift),
    leases: new Map(rows?.leases),
    parked: new Map(rows?.parked),
    holds: new Map(rows?.holds),
    shredded: new Map(rows?.shredded),
    quotas: new Map(rows?.quotas),
    capacity: new Map(rows?.capacity),
  };
};

/** Empty views, as before the opening of the log. */
export const createViews = (observer: ViewObserver | null = null): Views => ({
  rows: mapsOf(null, new Map(), observer),
  eventsInMaps: 0,
  position: 0,
  day: '',
  forgottenAt: 0,
  observer,
});

/**
 * The same views to go on with independently. Complexity: the number of rows, which are shared.
 * @param commands the map of commands to use, which becomes the copy's own; one of all of them when left out
 * @param observer of the copy, told of what changes from here on; none when left out
 */
export const copyViews = (
  { rows, position, day, forgottenAt }: Views,
  commands: Rows['commands'] = new Map(rows.commands),
  observer: ViewObserver | null = null,
): Views => ({
  rows: mapsOf(rows, commands, observer),
  eventsInMaps: 0,
  position,
  day,
  forgottenAt,
  observer,
});

/** Puts the rows that others have folded in place of those of some views. The position must be the same; the other maps are given up. */
export const replaceRows = (views: Views, from: Views, replaced: readonly ViewName[]): void => {
  const taken = Object.fromEntries(replaced.map((view) => [view, from.rows[view]]));
  const rows: Rows = { ...views.rows, ...taken };
  views.rows = mapsOf(rows, rows.commands, views.observer);
  views.eventsInMaps = 0;
};

/** Of the views that have most. */
const entriesOf = ({ endpoints, sandboxes, addresses, names, ports, garbage }: Rows): number =>
  endpoints.size + sandboxes.size + addresses.size + names.size + ports.size + garbage.size;

const EVENTS_IN_MAPS_MIN = 1_000;

/**
 * Gives the maps that rows come into and go out of new tables, before they outgrow theirs. A table that V8 replaces by itself leads to the
 * one that follows it, so once one is old, it keeps all later ones alive with the rows that were in them, dead or not, until the old
 * generation is collected: more than half of what a rebuild had to copy. Commands come and are forgotten by the day, so that table stays.
 * Complexity: half a copied entry for each event.
 */
const renewMaps = (views: Views, events: number): void => {
  views.eventsInMaps += events;
  const { rows, eventsInMaps } = views;
  if (eventsInMaps < EVENTS_IN_MAPS_MIN || eventsInMaps < 2 * entriesOf(rows)) return;
  views.rows = mapsOf(rows, rows.commands, views.observer);
  views.eventsInMaps = 0;
};

/** Every projection by its view, for what is the same for all of them: filters and references. */
export const projections: { readonly [View in ViewName]: Projection<ViewRows[View]> } = {
  networks,
  endpoints,
  sandboxes,
  addresses,
  names,
  ports,
  hosts,
  drivers,
  commands,
  garbage,
  drift,
  leases,
  parked,
  holds,
  shredded,
  quotas,
  capacity,
};

type Fold = (rows: Rows, event: Event, at: At) => unknown;

/** In this order: networks and endpoints come first, since the others look at what they have made of the event. */
const folds: readonly { readonly handles: readonly EventType[]; readonly fold: Fold }[] = [
  {
    handles: ['PortsLeased'],
    fold: (rows, event, at) => event.type === 'PortsLeased' && nameFound(rows.ports, event, at),
  },
  { handles: networks.handles, fold: (rows, event, at) => networks.apply(rows.networks, event, at) },
  { handles: endpoints.handles, fold: (rows, event, at) => endpoints.apply(rows.endpoints, event, at) },
  { handles: sandboxes.handles, fold: (rows, event, at) => sandboxes.apply(rows.sandboxes, event, at) },
  { handles: addresses.handles, fold: (rows, event, at) => addresses.apply(rows.addresses, event, at) },
  { handles: names.handles, fold: (rows, event, at) => names.apply(rows.names, event, at) },
  {
    handles: [
      'EndpointJoinRequested',
      'JoinSettled',
      'EndpointLeaveRequested',
      'EndpointUpdateRequested',
      'EndpointUpdateFailed',
      'EndpointJoinFailed',
      'EndpointLeaveReverted',
      'EndpointDeleteReverted',
      'EndpointCreateFailed',
      'EndpointDeleted',
    ],
    fold: (rows, event, at) => followGateways(rows.endpoints, event, at),
  },
  {
    handles: [
      'EndpointJoined',
      'EndpointJoinFailed',
      'EndpointLeft',
      'EndpointUpdated',
      'EndpointUpdateFailed',
      'EndpointLeaveReverted',
      'EndpointDeleteReverted',
      'EndpointCreateFailed',
      'EndpointDeleted',
    ],
    fold: (rows, event, at) => followRoutes(rows.endpoints, event, at),
  },
  { handles: ports.handles, fold: (rows, event, at) => ports.apply(rows.ports, event, at) },
  {
    handles: [
      'EndpointJoinRequested',
      'EndpointJoined',
      'EndpointUpdated',
      'EndpointJoinFailed',
      'EndpointLeft',
      'EndpointCreateFailed',
      'EndpointDeleted',
      'EndpointDeleteReverted',
      'SandboxRemoved',
    ],
    fold: (rows, event, at) => followPorts(rows.endpoints, rows.ports, event, at),
  },
  { handles: hosts.handles, fold: (rows, event, at) => hosts.apply(rows.hosts, event, at) },
  { handles: drivers.handles, fold: (rows, event, at) => drivers.apply(rows.drivers, event, at) },
  { handles: commands.handles, fold: (rows, event, at) => commands.apply(rows.commands, event, at) },
  { handles: holds.handles, fold: (rows, event, at) => holds.apply(rows.holds, event, at) },
  { handles: shredded.handles, fold: (rows, event, at) => shredded.apply(rows.shredded, event, at) },
  { handles: drift.handles, fold: (rows, event, at) => drift.apply(rows.drift, event, at) },
  { handles: capacity.handles, fold: (rows, event, at) => capacity.apply(rows.capacity, event, at) },
  { handles: garbage.handles, fold: (rows, event, at) => garbage.apply(rows.garbage, event, at) },
  {
    handles: ['EndpointCreateRequested', 'EndpointCreateFailed', 'EndpointDeleted'],
    fold: (rows, event, at) => countEndpoints(rows.networks, event, at),
  },
  { handles: leases.handles, fold: (rows, event, at) => leases.apply(rows.leases, event, at) },
  // When all that comes and goes with an event has done so.
  { handles: quotas.handles, fold: (rows, event, at) => quotas.apply(rows.quotas, event, at) },
];

interface Plan {
  /** The folds that an event of this type concerns. */
  readonly folds: readonly Fold[];
  /** Whose row before the event the folds are shown. */
  readonly about: 'network' | 'endpoint' | 'other';
}

/** By type of event. */
const plans: ReadonlyMap<string, Plan> = new Map(
  (Object.keys(eventData) as EventType[]).map((type) => {
    const concerned = folds.filter(({ handles }) => handles.includes(type)).map(({ fold }) => fold);
    const about = networks.handles.includes(type) ? 'network' : endpoints.handles.includes(type) ? 'endpoint' : 'other';
    return [type, { folds: concerned, about }];
  }),
);

/** The id that an event of a network or an endpoint is about. Names no types, since it is asked for nearly every event of a cold read. */
const idOf = ({ data }: Event, about: 'network' | 'endpoint'): string => {
  const ids = data as { readonly networkId?: string; readonly endpointId?: string };
  const facts = data as { readonly network?: { readonly id: string }; readonly endpoint?: { readonly id: string } };
  return (about === 'network' ? (ids.networkId ?? facts.network?.id) : (ids.endpointId ?? facts.endpoint?.id)) ?? '';
};

/** The sandbox that a report is about. */
const sandboxNamed = ({ type, data }: Event): string => (type === 'SandboxRemoved' ? data.sandbox.incarnation : '');

/** One for all events of a commit: what they are about is set for each in turn. */
type CommitAt = { -readonly [Field in keyof At]: At[Field] };

const foldEvent = (rows: Rows, event: Event, at: CommitAt): void => {
  const plan = plans.get(event.type);
  if (!plan) return;
  const { about } = plan;
  const id = about === 'other' ? '' : idOf(event, about);
  const networkBefore = about === 'network' ? rows.networks.get(id) : undefined;
  const endpointBefore = about === 'endpoint' ? rows.endpoints.get(id) : undefined;
  at.networkBefore = networkBefore;
  at.endpointBefore = endpointBefore;
  at.sandboxBefore = rows.sandboxes.get(endpointBefore?.sandboxIncarnation ?? sandboxNamed(event));
  at.networkAbout = networkBefore ?? rows.networks.get(endpointBefore?.networkId ?? '');
  at.sandboxAbout = sandboxAbout(rows, event, endpointBefore);
  if (event.type === 'HostLost') loseHost(rows, event, at);
  for (const fold of plan.folds) fold(rows, event, at);
  if (networkBefore && networkBefore.endpoints > 0 && !rows.networks.has(id)) {
    endEndpoints(rows, ({ networkId }) => networkId === id, event, at);
  }
};

/** Folds the events of a commit in. @throws Poisoned where a fold could not: the views are not to be used any more */
const foldEvents = (views: Views, at: CommitAt, events: readonly (Event | null)[]): void => {
  const { observer, rows } = views;
  let index = 0;
  try {
    for (; index < events.length; index++) {
      const event = events[index];
      if (!event) continue;
      observer?.at(at.position, index);
      foldEvent(rows, event, at);
    }
  } catch (error) {
    throw new Poisoned(at.position, index, error);
  }
};

/**
 * Folds one commit into all views. A position that they hold already changes nothing.
 * @param events null in the place of one that is left out
 * @throws Poisoned
 */
export const applyCommit = (
  views: Views,
  subject: string,
  position: number,
  events: readonly (Event | null)[],
): void => {
  if (position <= views.position) return;
  const { host, reports } = originOf(subject);
  const { rows } = views;
  const at: CommitAt = {
    position,
    host,
    networks: rows.networks,
    endpoints: rows.endpoints,
    sandboxes: rows.sandboxes,
    commands: rows.commands,
    networkBefore: undefined,
    endpointBefore: undefined,
    sandboxBefore: undefined,
    networkAbout: undefined,
    sandboxAbout: null,
    command: noCommand(),
  };
  foldEvents(views, at, events);
  views.position = position;
  const time = events.findLast((event) => event !== null)?.meta.time ?? '';
  if (reports && host !== null && time !== '') heard(rows.hosts, host, time, position);
  const day = time.slice(0, 10);
  if (day > views.day) {
    views.day = day;
    if (forgetCommands(rows.commands, day) > 0) views.forgottenAt = position;
  }
  renewMaps(views, events.length);
};

/** The rows of a view, in the order in which they came into it: the same order whenever the same log is folded. */
export const rowsOf = <View extends ViewName>(views: Views, view: View): ReadonlyMap<string, ViewRows[View]> =>
  views.rows[view];
