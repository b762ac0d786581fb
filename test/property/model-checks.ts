/** The invariants of design.md section 7 that the log alone can show, checked at every position; and a state as plain data. */
import assert from 'node:assert/strict';
import { cutsShort } from '../../events/cut-short.ts';
import { verdictOn } from '../../events/deciders/upkeep.ts';
import { type Event, isRevertible, needsExecution } from '../../events/envelope.ts';
import { type EventType, isConstructive, isFailure, isIntent } from '../../events/events.ts';
import { Releases } from '../../events/ipam-releases.ts';
import { expiresMs } from '../../events/lifetime.ts';
import { type BoundaryState, commandKey, type EndpointRow, isMoving, networkOf } from '../../events/state.ts';
import { endpointTransitions, networkTransitions } from '../../events/states.ts';
import { Journal, Queue, Table } from '../../events/table.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { applyMessage, type Boundary, emptyRealm, type Realm } from '../../services/lib/realm.ts';
import { batchHeaders, type Message } from '../../services/lib/stream.ts';
import { Claims } from './model-admissions.ts';
import { checkNetworks, checkShared, unique } from './model-networks.ts';

// ---------------------------------------------------------------- a state as plain data

const plain = (value: unknown): unknown => {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Journal) return value.active ? 'active' : null;
  if (value instanceof Releases) return { size: value.size, oldestFirst: [...value.oldestFirst()].map(plain) };
  if (value instanceof Queue) return Array.from({ length: value.length }, (_, index) => plain(value.at(index)));
  if (value instanceof Table || value instanceof Map) {
    const rows = [...value].map(([key, row]): readonly [string, unknown] => [String(key), plain(row)]);
    return Object.fromEntries(rows.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  if (value instanceof Uint8Array) return value.length;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
};

/** All that a fold knows. Boundaries on which nothing has happened are left out: looking at one makes it. */
export const dump = (realm: Realm): unknown => ({
  position: realm.position,
  roundFrom: realm.roundFrom,
  isTorn: realm.isTorn,
  awaited: [...realm.awaited].sort(),
  shared: plain(realm.shared),
  networks: [...realm.networks.values()]
    .filter(({ head }) => head !== null)
    .map(({ subject, head, decidedThrough }) => [subject, head?.position, decidedThrough].join(' '))
    .sort(),
  boundaries: [...realm.boundaries.values()]
    .filter(({ head, outcomeHead }) => head !== null || outcomeHead !== null)
    .map(({ subject, state, head, outcomeHead, decidedThrough }) => ({
      subject,
      state: plain({ ...state, shared: null }),
      head: head?.position,
      outcomeHead: outcomeHead?.position,
      decidedThrough,
    }))
    .sort((a, b) => (a.subject < b.subject ? -1 : 1)),
});

// ---------------------------------------------------------------- invariants of a state

interface Held {
  readonly owner: string;
  readonly protocol: string;
  readonly from: number;
  readonly to: number;
  readonly address: string;
}

/** Every range of host ports on every address, by who holds it; what holds again if an update fails is held too. */
const heldPorts = (state: BoundaryState): readonly Held[] => {
  const owned = [
    ...[...state.endpoints.values()].map(({ facts, update }) => {
      const lists = [facts.ports];
      for (let open = update; open; open = open.earlier) lists.push(open.before.ports);
      return { owner: facts.id, leases: lists.flat() };
    }),
    ...[...state.sandboxes.values()].map(({ facts }) => ({ owner: facts.incarnation, leases: facts.ports })),
  ];
  return owned.flatMap(({ owner, leases }) =>
    leases
      .filter(({ hostPort }) => hostPort > 0)
      .flatMap(({ protocol, hostPort: from, count, hostAddresses }) =>
        hostAddresses.map((address) => ({ owner, protocol, from, to: from + count - 1, address })),
      ),
  );
};

const meets = (a: string, b: string): boolean => {
  const isV6 = (address: string) => address.includes(':');
  return a === b || (isV6(a) === isV6(b) && [a, b].some((address) => address === '0.0.0.0' || address === '::'));
};

/** Held once: ranges overlap where they meet, a wildcard overlaps its family, an endpoint's own before and after of an update do not. */
const checkPorts = (state: BoundaryState): void => {
  const held = heldPorts(state);
  const indexed = new Set<string>();
  for (const [key, holders] of state.ports)
    for (const { id, addresses } of holders) for (const address of addresses) indexed.add(`${key} ${address} ${id}`);
  const expected = new Set<string>();
  for (const [index, one] of held.entries()) {
    for (let port = one.from; port <= one.to; port++)
      expected.add(`${one.protocol}/${port} ${one.address} ${one.owner}`);
    for (const other of held.slice(index + 1)) {
      const isApart = one.protocol !== other.protocol || one.to < other.from || other.to < one.from;
      if (isApart || one.owner === other.owner || !meets(one.address, other.address)) continue;
      assert.fail(`${one.protocol} ${one.address}:${one.from}-${one.to} of ${one.owner} and ${other.owner}`);
    }
  }
  assert.deepEqual([...indexed].sort(), [...expected].sort(), 'the index of ports is that of their holders');
};

/** Of those that can carry a family the highest priority, of equal ones the first that joined. */
const checkGateways = (state: BoundaryState): void => {
  for (const { facts, members, gateways } of state.sandboxes.values()) {
    const rows = members.map((id) => state.endpoints.get(id)?.facts ?? assert.fail(`no endpoint ${id}`));
    for (const [family, key] of [[4, 'ipv4'] as const, [6, 'ipv6'] as const]) {
      const able = rows.filter(({ networkId }) => {
        const network = networkOf(state, networkId)?.facts ?? assert.fail(`no network ${networkId}`);
        if (network.internal || network.defaultRoute !== 'gateway') return false;
        return network.subnets.find((subnet) => subnet.family === family)?.gateway;
      });
      const highest = Math.max(...able.map(({ gatewayPriority }) => gatewayPriority));
      const first = able.find(({ gatewayPriority }) => gatewayPriority === highest);
      assert.equal(gateways[key], first?.id ?? null, `gateway of sandbox ${facts.id}, IPv${family}`);
    }
  }
};

/** An endpoint is in at most one sandbox, a sandbox exists exactly while an endpoint is to be in it. */
const checkSandboxes = (state: BoundaryState): void => {
  const members = [...state.sandboxes.values()].flatMap((row) =>
    row.members.map((id) => ({ id, incarnation: row.facts.incarnation })),
  );
  unique(
    'endpoint by sandboxes',
    members.map(({ id }) => id),
  );
  for (const { id, incarnation } of members) {
    const row = state.endpoints.get(id);
    assert.equal(row?.sandbox?.incarnation, incarnation, `${id} is a member, and says so`);
    assert.ok(row?.status === 'joining' || row?.status === 'joined', `a member is ${row?.status}`);
  }
  for (const row of state.endpoints.values()) {
    const isIn = row.status === 'joining' || row.status === 'joined';
    assert.equal(
      members.some(({ id }) => id === row.facts.id),
      isIn,
      `endpoint ${row.facts.name} is ${row.status}`,
    );
  }
  for (const row of state.sandboxes.values()) {
    const { facts, status, members: ids } = row;
    assert.equal(ids.length === 0, status === 'removing', `sandbox ${facts.id} with ${ids.length} is ${status}`);
    const isNamed = state.sandboxIds.get(facts.id) === facts.incarnation;
    // Nobody else has the name of a sandbox that somebody may come back into.
    assert.equal(isNamed, status !== 'removing' || isMoving(state, row), `sandbox ${facts.id} ${status} by its name`);
  }
  for (const incarnation of state.sandboxIds.values()) assert.ok(state.sandboxes.has(incarnation));
  const inside = [...state.endpoints.values()].flatMap(({ sandbox }) => sandbox?.incarnation ?? []);
  for (const incarnation of new Set([...inside, ...state.occupants.keys()]))
    assert.equal(state.occupants.get(incarnation), inside.filter((one) => one === incarnation).length);
};

export const checkState = (state: BoundaryState): void => {
  const endpoints = [...state.endpoints.values()];
  for (const { facts } of endpoints) assert.ok(networkOf(state, facts.networkId), `${facts.name} is in a network`);
  checkNetworks(
    state,
    endpoints.map((row) => ({ row, home: state })),
  );
  checkPorts(state);
  checkGateways(state);
  checkSandboxes(state);
  for (const id of state.expired.keys()) assert.ok(state.intents.has(id), 'only what is open can be too late');
};

// ---------------------------------------------------------------- invariants of a history

/** Follows a log message by message and fails at the first position that breaks a rule. */
export class Checker {
  readonly realm: Realm = emptyRealm();
  /** Pairs of state and event that the tables do not know. */
  readonly impossible: string[] = [];
  /** Ids of commands that were refused or failed. */
  readonly failed = new Set<string>();
  /** Where each command was decided: the batch, or the position of the commit. */
  readonly #decidedAt = new Map<string, string>();
  readonly #ended = new Set<string>();
  readonly #accepted = new Set<string>();
  readonly #claims = new Claims();
  readonly #lastOn = new Map<string, Message>();
  /** Intents of timed-out commands that were open then and make something: what came too late must be reported as undone. */
  readonly #late = new Set<string>();
  /** What has happened to each endpoint last. */
  readonly #lastEvent = new Map<string, EventType>();
  /** Of endpoints whose update has ended: behind which decision of its host, and what had happened to them last before. */
  readonly #updated = new Map<string, { readonly head: number; readonly before: EventType | undefined }>();

  take(message: Message): void {
    this.#checkChain(message);
    applyMessage(this.realm, message, {
      before: (boundary, event) =>
        this.#before(boundary, event, message.header(batchHeaders.id) || String(message.position)),
      ended: ({ actor, commandid }) => {
        const key = commandKey(actor, commandid);
        assert.ok(!this.#ended.has(key), `command ${key} ended twice`);
        this.#ended.add(key);
      },
    });
    for (const { state } of this.realm.boundaries.values()) checkState(state);
    // In the middle of what was appended as one a name may have its next holder before the last one has let go of it.
    this.#claims.take(message);
    if (this.realm.isTorn) return;
    checkShared(this.realm);
    this.#claims.check(this.realm);
  }

  /** Accepted commands that have not ended. */
  open(): readonly string[] {
    return [...this.#accepted].filter((key) => !this.#ended.has(key));
  }

  /** What came too late and is not undone. */
  late(): readonly string[] {
    return [...this.#late];
  }

  get decided(): ReadonlyMap<string, string> {
    return this.#decidedAt;
  }

  #checkChain(message: Message): void {
    const before = this.#lastOn.get(message.subject);
    assert.equal(message.header('Cnm-Prev-Hash'), before ? chainHash(before) : '', 'the chain holds');
    this.#lastOn.set(message.subject, message);
  }

  #before(boundary: Boundary, event: Event, place: string): void {
    const { state } = boundary;
    const { actor, commandid, commandseq } = event.meta;
    const key = commandKey(actor, commandid);
    // An admission decides nothing, its creation does; nor what other hosts are to forget.
    if (commandseq !== undefined && event.type !== 'EndpointAdmitted' && event.type !== 'PeersForgotten') {
      assert.equal(this.#decidedAt.get(key) ?? place, place, `command ${key} was decided twice`);
      this.#decidedAt.set(key, place);
      if (needsExecution(event)) this.#accepted.add(key);
    }
    this.#countImpossible(state, event);
    if (cutsShort(event) && state.progress.has(commandKey(event.data.actor, event.data.commandId))) {
      for (const id of event.data.intents) {
        const intent = state.intents.get(id);
        // A move that was done stays done.
        if (intent && isConstructive(intent.type) && !isRevertible(intent)) this.#late.add(id);
      }
    }
    // What was under way on a lost host nobody undoes.
    if (event.type === 'HostLost') for (const id of state.intents.keys()) this.#late.delete(id);
    if (event.meta.commandtype === 'ExpireLease') this.#checkLease(state, event);
    if (isFailure(event.type) || event.type === 'CommandRefused') this.failed.add(commandid);
    if (isFailure(event.type)) this.#late.delete(event.meta.causationid);
    if (event.type === 'EndpointSuspected') this.#checkGarbage(boundary, event, false);
    if (event.type === 'EndpointDeleteRequested' && event.data.cause === 'garbage')
      this.#checkGarbage(boundary, event, true);
    this.#noteLast(boundary, event);
  }

  #noteLast({ state, head }: Boundary, event: Event): void {
    if (!('endpointId' in event.data)) return;
    const { endpointId } = event.data;
    const row = state.endpoints.get(endpointId);
    const endsUpdate = this.#endsUpdate(state, row, event);
    const isNews =
      isIntent(event.type) ||
      event.type === 'EndpointSuspected' ||
      event.meta.causationid === row?.intent ||
      endsUpdate;
    if (endsUpdate && this.#updated.get(endpointId)?.head !== head?.position)
      this.#updated.set(endpointId, { head: head?.position ?? 0, before: this.#lastEvent.get(endpointId) });
    if (isNews) this.#lastEvent.set(endpointId, event.type);
  }

  /** An update that is still open; what was done too late does not end one. */
  #endsUpdate(state: BoundaryState, row: EndpointRow | undefined, event: Event): boolean {
    const intent = event.meta.causationid;
    if (state.expired.has(intent) && !isFailure(event.type)) return false;
    for (let open = row?.update ?? null; open; open = open.earlier) if (open.intent === intent) return true;
    return false;
  }

  /**
   * An update has ended between the decision to collect its endpoint and the commit of that, which is guarded against decisions and not against
   * reports. With a decision of the host in between, that end was known.
   */
  #isRaced({ head }: Boundary, endpointId: string): boolean {
    const updated = this.#updated.get(endpointId);
    return updated?.before === 'EndpointSuspected' && updated.head === head?.position;
  }

  /** No live endpoint is ever collected: not in a sandbox, nothing under way, its time over, and seen so twice. */
  #checkGarbage(boundary: Boundary, event: Event & { data: { endpointId: string } }, isSecond: boolean): void {
    const { state } = boundary;
    const row = state.endpoints.get(event.data.endpointId);
    // Undone meanwhile: then there is nothing left to collect.
    if (!row) return;
    assert.equal(row.status, 'created', 'only what nobody uses is garbage');
    if (!isSecond || !this.#isRaced(boundary, event.data.endpointId)) {
      assert.equal(row.suspected, isSecond);
      const isLast = this.#lastEvent.get(event.data.endpointId) === 'EndpointSuspected';
      assert.equal(isLast, isSecond, 'nothing has happened to it between the steps');
    }
    const dueAt = verdictOn(state, row)?.dueAt ?? null;
    assert.ok(dueAt !== null && Date.parse(dueAt) <= Date.parse(event.meta.time), `collected at ${event.meta.time}`);
  }

  /** No sandbox is detached while its lease runs, nor before it was suspected, nor behind a renewal. */
  #checkLease(state: BoundaryState, event: Event): void {
    if (event.type !== 'EndpointLeaveRequested') return;
    const row = state.sandboxes.get(event.data.sandbox.incarnation);
    // Its join was reported as failed while this was being decided.
    if (!row) return;
    const { lease } = row;
    assert.ok(lease?.suspectedAt, 'a sandbox is detached that was not suspected');
    assert.ok(expiresMs(lease) <= Date.parse(event.meta.time), `detached at ${event.meta.time}`);
  }

  /** Decisions, and reports on the latest intent, must be in the tables. What is absent takes no notice of anything. */
  #countImpossible(state: BoundaryState, event: Event): void {
    const data = event.data as { readonly networkId?: string; readonly endpointId?: string };
    if (event.type === 'EndpointSuspected' || event.type === 'EndpointCreateRequested') return;
    // An update moves no state.
    if (event.type === 'EndpointUpdateRequested' || event.type === 'NetworkUpdateRequested') return;
    const row =
      data.endpointId === undefined ? networkOf(state, data.networkId ?? '') : state.endpoints.get(data.endpointId);
    if (!row || !(isIntent(event.type) || event.meta.causationid === row.intent)) return;
    const table: Readonly<Record<string, Readonly<Partial<Record<EventType, string>>>>> =
      data.endpointId === undefined ? networkTransitions : endpointTransitions;
    if (table[row.status]?.[event.type] === undefined) this.impossible.push(`${row.status} ${event.type}`);
  }
}
