/** What must hold, at every position of the log and once everything has come to rest: design.md section 7. */
import assert from 'node:assert/strict';
import { drivers } from '../../drivers/registry.ts';
import { verdictOn } from '../../events/deciders/upkeep.ts';
import { decodeCommit } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import { decodeToken } from '../../events/names.ts';
import { type BoundaryState, commandKey } from '../../events/state.ts';
import type { CommandRow } from '../../projections/commands.ts';
import { compareViews } from '../../projections/compare.ts';
import { applyCommit, createViews, rowsOf, type Views } from '../../projections/views.ts';
import { boundaryOf } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { repairs } from '../../services/worker/census.ts';
import { Present } from '../../services/worker/present.ts';
import { Checker } from '../property/model-checks.ts';
import { assertEndedOnce } from '../support/ended-once.ts';
import { startMs } from '../support/fake-clock.ts';
import { hostServers } from '../support/system.ts';
import type { Client, Sent } from './client.ts';
import { realm } from './services.ts';
import type { Machine, Stage } from './stage.ts';
import { broughtNamespaces } from './wishes.ts';

const decoder = new TextDecoder();

const actorOf = ({ subject }: Message): string => decodeToken(subject.split('.')[2] ?? '') ?? assert.fail(subject);

/** Whose command a message is, as `ACTOR ID`. */
const keyOfCommand = (message: Message): string =>
  commandKey(actorOf(message), (JSON.parse(decoder.decode(message.body)) as { id: string }).id);

/** One that was refused with others was told so, if it was told anything. */
const checkSummed = ({ actor, id, type, first, outcome }: Sent, codes: readonly string[]): void => {
  assert.equal(outcome, null, `${type} ${actor} ${id} was refused`);
  if (first === null) return;
  assert.ok(first.kind === 'refused' && codes.includes(first.code), `${type} ${id}: ${JSON.stringify(first)}`);
};

/** Sees all that is stored, and fails at the first position that breaks a rule. */
export class Witness {
  readonly checker = new Checker();
  readonly views: Views = createViews();
  readonly #stage: Stage;
  readonly #machines: readonly Machine[];
  #seen = 0;
  /** Commands that were refused together, by where they stand. */
  readonly #summed: EventData<'CommandsRefused'>[] = [];

  constructor(stage: Stage, machines: readonly Machine[]) {
    this.#stage = stage;
    this.#machines = machines;
  }

  /** Invariants 1, 4 and 5, the chain, and that nothing is decided or ended twice. */
  look(): void {
    const { messages } = this.#stage.log;
    for (const message of messages.slice(this.#seen)) {
      this.checker.take(message);
      const { subject, position, body } = message;
      const events = decodeCommit(body, subject);
      applyCommit(this.views, subject, position, events);
      for (const { type, data } of events) if (type === 'CommandsRefused') this.#summed.push(data);
      this.#seen += 1;
    }
    assert.deepEqual(this.checker.impossible, [], 'a state and an event that its table does not know');
  }

  stateOf({ host }: Machine): BoundaryState {
    return boundaryOf(this.checker.realm, host).state;
  }

  /** What is still to happen; empty once everything has come to rest. */
  async unrest(): Promise<readonly string[]> {
    const { realm: all } = this.checker;
    const summed = this.#summedKeys();
    const undecided = this.#stage.commands.messages
      .map(keyOfCommand)
      .filter((key) => !this.checker.decided.has(key) && !summed.has(key));
    if (undecided.length > 0) return [`undecided: ${undecided.slice(0, 5).join(', ')}`];
    if (all.isTorn || all.awaited.size > 0) return ['half of something is on the log'];
    const open = this.checker.open();
    if (open.length > 0) return [`accepted and not ended: ${open.slice(0, 5).join(', ')}`];
    const unrest: string[] = [];
    for (const machine of this.#machines) unrest.push(...(await this.#unrestOf(machine)));
    return unrest;
  }

  /** Those that stand where some were refused; with the codes of it. */
  #summedKeys(): ReadonlyMap<string, readonly string[]> {
    const found = new Map<string, readonly string[]>();
    for (const message of this.#stage.commands.messages) {
      const key = keyOfCommand(message);
      const { position } = message;
      const codes = this.#summed
        .filter(({ actor, first, last }) => actor === actorOf(message) && first <= position && position <= last)
        .map(({ code }) => code);
      if (codes.length > 0) found.set(key, codes);
    }
    return found;
  }

  /** Invariant 3: what is in the kernel against what the log adds up to. */
  async #unrestOf(machine: Machine): Promise<readonly string[]> {
    const { host, kernel } = machine;
    const state = this.stateOf(machine);
    const open = [...state.intents.values()].map(({ type, meta }) => `${host}: open ${type} ${meta.id}`);
    const moving = [...state.sandboxes.values()]
      .filter(({ status, members }) => status !== 'ready' || members.length === 0)
      .map(({ facts, status, members }) => `${host}: sandbox ${facts.id} is ${status} with ${members.length}`);
    const underlay = state.facts.get('host')?.underlay ?? null;
    const deployment = { host: { realm, host, underlay }, drivers, resolvConf: hostServers.config };
    const wrong = repairs({ state, deployment, present: new Present() }, kernel.census(realm, host));
    const nowMs = startMs + this.#stage.scheduler.nowMs;
    const overdue = [...state.endpoints.values()].flatMap((row) => {
      const dueAt = verdictOn(state, row)?.dueAt ?? null;
      return dueAt !== null && Date.parse(dueAt) < nowMs ? [`${host}: garbage since ${dueAt}: ${row.facts.name}`] : [];
    });
    return [
      ...open,
      ...moving,
      ...overdue,
      ...wrong.map((operation) => `${host}: to be done ${JSON.stringify(operation)}`),
    ];
  }

  /** Names of what could not be removed, and has to be asked for again. */
  stuck(): readonly { readonly host: string; readonly network: string; readonly endpoint: string | null }[] {
    return this.#machines.flatMap((machine) => {
      const { endpoints, networks } = this.stateOf(machine);
      const { host } = machine;
      return [
        ...[...endpoints.values()]
          .filter(({ status }) => status === 'stuck')
          .map(({ facts }) => ({ host, network: facts.networkId, endpoint: facts.id })),
        ...[...networks.values()]
          .filter(({ status }) => status === 'stuck')
          .map(({ facts }) => ({ host, network: facts.id, endpoint: null })),
      ];
    });
  }

  /** All that must hold now that everything is at rest. */
  check(clients: readonly Client[]): void {
    this.look();
    assertEndedOnce(this.#stage.log.messages.flatMap(({ body, subject }) => decodeCommit(body, subject)));
    assert.deepEqual(this.checker.late(), [], 'what came too late is undone');
    const stored = new Set(this.#stage.commands.messages.map(keyOfCommand));
    const summed = this.#summedKeys();
    for (const client of clients)
      for (const sent of client.sent.values()) {
        const key = commandKey(sent.actor, sent.id);
        const codes = summed.get(key) ?? [];
        const wasSummed = sent.first?.kind === 'refused' && codes.includes(sent.first.code);
        if (codes.length > 0 && !this.checker.decided.has(key)) checkSummed(sent, codes);
        // Stored twice, one may be refused for the rate, which is no decision on its id, and the other decided.
        else this.#checkAnswers(wasSummed ? { ...sent, first: null } : sent, stored);
      }
    // 4 and 7: what is not ours is as it was.
    for (const { kernel, host } of this.#machines) {
      assert.deepEqual(kernel.foreign, foreignLinks, `links of others on ${host}`);
      for (const path of broughtNamespaces) assert.ok(kernel.hasNamespace(path), `${path} of ${host} is there`);
    }
  }

  /** Invariants 2 and 8: nothing acknowledged is lost, and every answer is what the log says. */
  #checkAnswers({ actor, id, type, acknowledged, first, outcome }: Sent, stored: ReadonlySet<string>): void {
    const key = commandKey(actor, id);
    if (acknowledged) assert.ok(stored.has(key), `${type} ${key} was acknowledged and is lost`);
    if (!stored.has(key)) return;
    const row = rowsOf(this.views, 'commands').get(id) as CommandRow | undefined;
    assert.ok(row && row.actor === actor, `${type} ${key} is in no view`);
    assert.notEqual(row.status, 'accepted', `${type} ${key} has not ended`);
    if (first) {
      assert.equal(first.kind, row.refusal ? 'refused' : 'accepted', `first answer to ${type} ${key}`);
      assert.equal(first.position, row.position, `position of the decision on ${type} ${key}`);
      if (first.kind === 'refused') assert.equal(first.code, row.refusal?.code);
    }
    if (outcome?.kind === 'outcome') {
      assert.equal(outcome.status, row.status, `outcome of ${type} ${key}`);
      assert.equal(outcome.position, row.endedPosition, `position of the end of ${type} ${key}`);
    }
  }

  /** Invariant 6, for a projector that has read as far as this. */
  checkViews(name: string, live: Views): void {
    assert.equal(live.position, this.views.position, `${name} has read everything`);
    assert.deepEqual(compareViews(live, this.views), [], `views of ${name} are those of the log`);
  }

  /** After everything was deleted. */
  checkEmpty(): void {
    for (const machine of this.#machines) {
      const { endpoints, networks, sandboxes, expired, shared, ports } = this.stateOf(machine);
      const left = { endpoints, networks, sandboxes, expired, shared: shared.networks, ports };
      for (const [what, table] of Object.entries(left)) assert.equal(table.size, 0, `${what} left on ${machine.host}`);
      assert.deepEqual(machine.kernel.objects(), [], `objects left on ${machine.host}`);
    }
  }
}

/** On every machine, and nobody's business. */
export const foreignLinks: readonly string[] = ['link br-others', 'link veth-others'];
