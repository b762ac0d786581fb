/**
 * One round: commands that wait together, decided one after another on the state that the one before leaves, and gathered into one
 * commit per boundary. Nothing is kept: the state only moves when a commit comes back from the log.
 */

import type { Logger } from 'pino';
import { hostFull } from '../../events/capacity.ts';
import { type Context, decide } from '../../events/decide.ts';
import { overQuota } from '../../events/deciders/quotas.ts';
import { checkId } from '../../events/deciders/upkeep.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import { type Event, encodeEvent, eventVersions, isMixed, type Meta } from '../../events/envelope.ts';
import { type Fact, isIntent } from '../../events/events.ts';
import { evolve } from '../../events/evolve.ts';
import type { SubnetPool } from '../../events/ipam.ts';
import { commandId, mintedMs } from '../../events/names.ts';
import { type Refusal, refuse } from '../../events/refusals.ts';
import type { RefusedRange } from '../../events/refused-ranges.ts';
import { routeCommand } from '../../events/route.ts';
import { type BoundaryState, commandKey, executorOf } from '../../events/state.ts';
import type { Journal } from '../../events/table.ts';
import { aboutOf } from '../lib/about.ts';
import type { CommitHead } from '../lib/commit-head.ts';
import { aboutCommand } from '../lib/log-fields.ts';
import { type Boundary, boundaryOf, knownHosts, networkBoundary, type Realm } from '../lib/realm.ts';
import type { Intake } from './intake.ts';
import { boundaryAt, refusalAt, refusalOfFacts } from './parked.ts';

/** A commit stays well below the server's 1 MiB; design.md section 3 says 256 KB. */
const commitBytesMax = 256 * 1024;

/** What one command may put on the log: with what stands in its commit before it, that stays below the 1 MiB of a message (max_payload). */
const recordedBytesMax = 640 * 1024;

export interface RoundContext {
  readonly realmName: string;
  readonly nowMs: number;
  readonly drivers: ReadonlyMap<string, DriverRules>;
  readonly plugin: (name: string) => DriverRules;
  readonly quarantineMs: number;
  readonly realmPools: readonly SubnetPool[];
  readonly realmUla: string;
  /** Who vouches for the actors of commands. */
  readonly actorProof: NonNullable<Meta['actorproof']>;
  readonly newId: () => string;
  /** Whether a refusal by quota may be recorded by itself; else it is summed. */
  readonly mayRecord?: (actor: string) => boolean;
  /** Who may set quotas; null or left out: everybody. */
  readonly operators?: ReadonlySet<string> | null;
  /** Commands that were refused together before this controller began, by whomever: they are refused again. */
  readonly refusedBefore?: (intake: Intake) => RefusedRange | undefined;
  readonly log: Logger;
}

/** What one boundary decides in a round. */
export interface Batch {
  readonly boundary: Boundary;
  /** The boundary's last commit when this was decided: the guard, whatever is folded in before the append. */
  readonly head: CommitHead | null;
  readonly commitId: string;
  /** Its events, encoded. */
  readonly events: string[];
  /** Commands in it, in order, with the first answer of each. */
  readonly decided: { readonly intake: Intake; readonly refusal: Refusal | null; readonly events: readonly Event[] }[];
  /** Commands that were decided before: answered again, from the log. */
  readonly repeated: Intake[];
  bytes: number;
}

/**
 * How the batches of a round hang together. `apart`: not at all. `admitted`: hosts create what networks of the realm admit, so the
 * admissions are stored before. `joint`: what was decided for all hosts stands on the hosts' boundaries too, or they stand on it, or one host
 * creates under a name that another lets go of in this round, or one is declared lost, so all are stored together, or none.
 */
export type Bond = 'apart' | 'admitted' | 'joint';

export interface Summed {
  readonly intake: Intake;
  readonly refusal: Refusal;
}

export interface Round {
  readonly batches: readonly Batch[];
  readonly bond: Bond;
  /** Commands that are refused without a record of their own, and why. */
  readonly summed: readonly Summed[];
  /** Commands that were refused so before. */
  readonly again: readonly { readonly intake: Intake; readonly range: RefusedRange }[];
  /** Commands that did not fit any more. */
  readonly rest: readonly Intake[];
}

/**
 * An intake whose id is another command's: it is recorded under an id of its own, so that the first one's record stays as it is. The
 * same each time, so that whoever reads the message again knows that it is decided.
 */
const underOtherId = (intake: Intake): Intake => ({
  ...intake,
  id: commandId(mintedMs(intake.id), `reused/${intake.sequence}`),
});

const refused = (intake: Intake, { code, detail, culprits }: Refusal): Fact => ({
  type: 'CommandRefused',
  data: { command: intake.type, code, detail, culprits: [...culprits] },
});

const nameKey = ({ networkId, name }: { readonly networkId: string; readonly name: string }): string =>
  `${networkId} ${name.toLowerCase()}`;

class RoundInProgress {
  readonly batches = new Map<Boundary, Batch>();
  bond: Bond = 'apart';
  readonly summed: Summed[] = [];
  readonly again: Round['again'][number][] = [];
  readonly #realm: Realm;
  readonly #context: RoundContext;
  readonly #journals = new Set<Journal>();
  /** Who has taken a name in this round last, by network and name. */
  readonly #admitted = new Map<string, Batch>();
  /** Who has let go of a name in this round, by network and name. */
  readonly #released = new Map<string, Batch>();
  /** What the last command has come to: nobody asks for the state that it leaves unless another one follows. */
  #untried: readonly { readonly state: BoundaryState; readonly event: Event }[] = [];

  constructor(realm: Realm, context: RoundContext) {
    this.#realm = realm;
    this.#context = context;
  }

  /** Each once: boundaries of the realm share a state, and all share what is decided for all hosts together. */
  #begin(journal: Journal): void {
    for (const one of [journal, this.#realm.shared.journal]) {
      if (this.#journals.has(one)) continue;
      one.begin();
      this.#journals.add(one);
    }
  }

  /** The states are as before. */
  rollback(): void {
    for (const journal of this.#journals) journal.rollback();
  }

  batch(boundary: Boundary): Batch {
    let batch = this.batches.get(boundary);
    if (!batch) {
      this.#begin(boundary.state.journal);
      const { head } = boundary;
      batch = { boundary, head, commitId: this.#context.newId(), events: [], decided: [], repeated: [], bytes: 0 };
      this.batches.set(boundary, batch);
    }
    return batch;
  }

  /** The boundary that decides a command; without any host it is the one of no host, with the reason. */
  #route(intake: Intake): { readonly boundary: Boundary; readonly refusal: Refusal | null } {
    const hosts = knownHosts(this.#realm);
    if (!intake.command.ok) {
      const isThere = intake.host !== null && hosts.has(intake.host) && !boundaryOf(this.#realm, intake.host).parked;
      const host = isThere ? intake.host : null;
      return { boundary: boundaryOf(this.#realm, host), refusal: intake.command };
    }
    const places = { hosts, shared: this.#realm.shared, drivers: this.#context.drivers };
    const routed = routeCommand(places, intake.command.value, intake.host, intake.actor);
    if (!routed.ok) return { boundary: boundaryOf(this.#realm, null), refusal: routed };
    // On a boundary that stands still nothing could be recorded that anybody takes up.
    const refusal = refusalAt(this.#realm, routed.place, intake.command.value.type);
    if (refusal) return { boundary: boundaryOf(this.#realm, null), refusal };
    return { boundary: boundaryAt(this.#realm, routed.place), refusal: null };
  }

  /** An admission stands on the boundary of its network, what all other hosts have to know on that of no host, all else where it was decided. */
  #home(fact: Fact, decided: Batch): Batch {
    if (fact.type === 'EndpointAdmitted') return this.batch(networkBoundary(this.#realm, fact.data.networkId));
    return fact.type === 'PeersForgotten' ? this.batch(boundaryOf(this.#realm, null)) : decided;
  }

  /** The boundary that has decided this command id before, if any. */
  #known({ actor, id }: Intake): Boundary | undefined {
    const key = commandKey(actor, id);
    for (const boundary of this.#realm.boundaries.values()) if (boundary.state.commands.has(key)) return boundary;
    return undefined;
  }

  #check(intake: Intake): Refusal | null {
    const { nowMs } = this.#context;
    const startBy = intake.command.ok ? intake.command.value.startBy : undefined;
    if (startBy !== undefined && Date.parse(startBy) < nowMs) {
      return refuse('COMMAND_NOT_STARTED', `it was not worth starting after ${startBy}`);
    }
    return checkId(intake.id, nowMs, this.#realm.shared.memoryMs);
  }

  #decide(boundary: Boundary, intake: Intake): readonly Fact[] | Refusal {
    const problem = this.#check(intake);
    if (problem || !intake.command.ok) return problem ?? (intake.command as Refusal);
    const hosts = knownHosts(this.#realm);
    const context: Context = { ...this.#context, host: boundary.host ?? '', hosts, actor: intake.actor };
    try {
      const decision = decide(boundary.state, intake.command.value, context);
      return decision.ok ? (this.#refusalOf(boundary, intake.actor, decision.facts) ?? decision.facts) : decision;
    } catch (error) {
      return this.#faulty(intake, error);
    }
  }

  /** Why what was decided cannot stand, whatever it is: something is parked, the quota of the actor, the capacity of the host. */
  #refusalOf({ state, host }: Boundary, actor: string, facts: readonly Fact[]): Refusal | null {
    return (
      refusalOfFacts(this.#realm, facts) ??
      overQuota(state, actor, facts) ??
      (host === null ? null : hostFull(state.pressure.values(), host, facts))
    );
  }

  /** @returns false when it is for the next round: the commit of its boundary is full, or it follows on what is folded behind it */
  add(intake: Intake): boolean {
    for (const { state, event } of this.#untried) evolve(state, event, 0);
    this.#untried = [];
    const known = this.#known(intake);
    const digest = known?.state.commands.get(commandKey(intake.actor, intake.id))?.digest;
    if (known && digest === intake.digest) {
      this.batch(known).repeated.push(intake);
      return true;
    }
    const recorded = known ? underOtherId(intake) : intake;
    if (known && this.#known(recorded)) return true;
    const before = known ? undefined : this.#context.refusedBefore?.(intake);
    if (before) {
      this.again.push({ intake, range: before });
      return true;
    }
    const routed = this.#route(intake);
    const batch = this.batch(routed.boundary);
    if (batch.bytes >= commitBytesMax / 2) return false;
    const answer = known
      ? refuse('COMMAND_ID_REUSED', `command id ${intake.id} stands for other content`, [
          { kind: 'command', id: intake.id },
        ])
      : (routed.refusal ?? this.#decide(routed.boundary, intake));
    if (!('ok' in answer) && this.#isTooEarly(batch, answer)) return false;
    if ('code' in answer && answer.code === 'QUOTA_EXCEEDED' && this.#context.mayRecord?.(intake.actor) === false)
      this.summed.push({ intake, refusal: answer });
    else batch.decided.push({ intake, ...this.#record(batch, recorded, answer) });
    return true;
  }

  /** Puts what was decided into the commit, and has it folded into the state on trial before the next command. */
  #record(batch: Batch, intake: Intake, answer: readonly Fact[] | Refusal): Omit<Batch['decided'][number], 'intake'> {
    const refusal = 'ok' in answer ? answer : null;
    const facts = 'ok' in answer ? [refused(intake, answer)] : answer;
    const homes = new Set(facts.map((fact) => this.#home(fact, batch)));
    const shares = [...homes].map((home) => ({
      home,
      events: this.#envelop(
        home,
        intake,
        facts.filter((fact) => this.#home(fact, batch) === home),
      ),
    }));
    const events = shares.find(({ home }) => home === batch)?.events ?? [];
    let encoded: readonly (readonly string[])[];
    try {
      encoded = shares.map((share) => share.events.map(encodeEvent));
    } catch (error) {
      // Nothing is folded yet; a refusal has no content of the sender's but its type, so it can be stored.
      if (refusal) throw error;
      return this.#record(batch, intake, this.#faulty(intake, error));
    }
    const bytes = encoded.map((texts) => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0));
    const most = Math.max(...bytes);
    if (!refusal && most > recordedBytesMax) {
      const detail = `it would put ${most} bytes on the log at once, and at most ${recordedBytesMax} go there`;
      return this.#record(batch, intake, refuse('COMMAND_TOO_LARGE', detail));
    }
    const isJoint = facts.some(({ type }) => type === 'HostLost') || this.#succeeds(batch, facts);
    if (isJoint || (!refusal && batch.boundary.host === null)) this.bond = 'joint';
    else if (shares.length > 1 && this.bond === 'apart') this.bond = 'admitted';
    this.#untried = shares.flatMap(({ home, events: own }) =>
      own.map((event) => ({ state: home.boundary.state, event })),
    );
    for (const [index, { home }] of shares.entries()) {
      home.events.push(...(encoded[index] ?? []));
      home.bytes += bytes[index] ?? 0;
    }
    return { refusal, events };
  }

  /**
   * Whether some endpoint takes a name that another host has taken and let go of in this round. Commits of a round are folded host by host, and
   * then that host would take it again behind this one: it is for the next round.
   */
  #isTooEarly(batch: Batch, facts: readonly Fact[]): boolean {
    return facts.some(
      ({ type, data }) => type === 'EndpointAdmitted' && (this.#admitted.get(nameKey(data)) ?? batch) !== batch,
    );
  }

  /** Whether some endpoint takes a name that another host lets go of in this round. */
  #succeeds(batch: Batch, facts: readonly Fact[]): boolean {
    let succeeds = false;
    for (const { type, data } of facts) {
      if (type !== 'EndpointDeleteRequested' && type !== 'EndpointAdmitted') continue;
      const key = nameKey(data);
      if (type === 'EndpointAdmitted') this.#admitted.set(key, batch);
      if (type === 'EndpointDeleteRequested') this.#released.set(key, batch);
      else if ((this.#released.get(key) ?? batch) !== batch) succeeds = true;
    }
    return succeeds;
  }

  /** A defect must not stop the stream: the command is refused, and the defect is loud in our own log. */
  #faulty(intake: Intake, error: unknown): Refusal {
    const { id } = intake;
    this.#context.log.error({ ...aboutCommand(intake), err: error }, 'decider failed');
    const detail = `the decider failed: ${error instanceof Error ? error.message : String(error)}`;
    return refuse('COMMAND_FAULTY', detail, [{ kind: 'command', id }]);
  }

  #envelop(batch: Batch, intake: Intake, facts: readonly Fact[]): readonly Event[] {
    const { nowMs, realmName, actorProof: actorproof } = this.#context;
    const deadlineMs = intake.command.ok ? intake.command.value.deadlineMs : 0;
    const first = batch.events.length;
    const revertible = isMixed(facts) ? { revertible: true } : {};
    return facts.map((fact, index): Event => {
      const deadline = new Date(nowMs + deadlineMs).toISOString();
      const executors = executorOf(batch.boundary.state, fact, batch.boundary.host ?? '');
      const intent = isIntent(fact.type) ? { executors, deadline, ...revertible } : {};
      const meta: Event['meta'] = {
        id: `${batch.commitId}.${first + index}`,
        source: `/cnm/${realmName}/controller`,
        subject: aboutOf(fact, `${intake.actor}/${intake.id}`),
        time: new Date(nowMs).toISOString(),
        actor: intake.actor,
        actorproof,
        commandid: intake.id,
        correlationid: intake.correlationid,
        causationid: intake.id,
        commandtype: intake.type,
        commandseq: intake.sequence,
        commanddigest: intake.digest,
        ...intent,
        ...(intake.traceparent === undefined ? {} : { traceparent: intake.traceparent }),
      };
      return { ...fact, version: eventVersions[fact.type], meta } as Event;
    });
  }
}

/**
 * Batches of a joint round in the order in which they are appended: the realm first, so that whoever reads a host's commit knows what it stands on.
 */
export const inLogOrder = (batches: readonly Batch[]): readonly Batch[] =>
  batches
    .filter(({ events }) => events.length > 0)
    .sort((a, b) => Number(a.boundary.host !== null) - Number(b.boundary.host !== null));

/**
 * Decides as many commands as fit. The states are as before when it returns.
 * Complexity: linear in the commands; each costs what its decider costs.
 */
export const decideRound = (realm: Realm, intakes: readonly Intake[], context: RoundContext): Round => {
  const round = new RoundInProgress(realm, context);
  let fitting = 0;
  try {
    for (const intake of intakes) {
      if (!round.add(intake)) break;
      fitting += 1;
    }
  } finally {
    round.rollback();
  }
  const { bond, summed, again } = round;
  return { batches: [...round.batches.values()], bond, summed, again, rest: intakes.slice(fitting) };
};
