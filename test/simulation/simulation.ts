/**
 * A whole realm under a seed: controllers, workers with kernels in memory, projectors and collectors over a log in memory, in virtual
 * time. For a while clients ask for this and that while everything goes wrong that can; then it calms down, and what must hold is
 * checked. The same seed and the same options take the same steps.
 */
import assert from 'node:assert/strict';
import { decodeCommit } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import type { Answer } from '../../events/queries.ts';
import type { Projector } from '../../services/projector/projector.ts';
import type { Mark } from '../../services/worker/journal.ts';
import { startMs } from '../support/fake-clock.ts';
import { MemoryMachine } from '../support/memory-kernel.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { Client, type Sent, type Wish } from './client.ts';
import { Dice } from './dice.ts';
import { anyIncident, befall, type Incident } from './incidents.ts';
import type { Life } from './life.ts';
import { foreignLinks, Witness } from './quiet.ts';
import { Scheduler } from './scheduler.ts';
import { Service, startCollector, startController, startProjector, startWorker } from './services.ts';
import type { Machine, Stage } from './stage.ts';
import { fairWeather, Store, Wire } from './wire.ts';
import { actors, broughtNamespaces, foundations, wish } from './wishes.ts';

export type Trouble = Incident | 'weather';

export interface SimulationOptions {
  readonly seed: number;
  /** How many things happen: commands and incidents. Those of a smaller number are the first of a larger one. */
  readonly happenings: number;
  /** After how many of them it calms down and is checked. */
  readonly every: number;
  /** What does not happen. */
  readonly without: ReadonlySet<Trouble>;
}

export const defaults = { happenings: 240, every: 80, without: new Set<Trouble>() } satisfies Omit<
  SimulationOptions,
  'seed'
>;

/** What one run was. */
export interface Report {
  readonly seed: number;
  readonly steps: number;
  readonly virtualMs: number;
  readonly commands: number;
  readonly commits: number;
  readonly incidents: Readonly<Record<string, number>>;
  /** How commands ended: `succeeded`, `failed`, `timed-out`, or the code of the refusal. */
  readonly statuses: Readonly<Record<string, number>>;
  /** What the log tells of, by type of event. */
  readonly events: Readonly<Record<string, number>>;
  readonly digest: number;
}

/** Codes of refusals that are summed. */
const summedCodes: ReadonlySet<string> = new Set(['RATE_LIMITED', 'QUOTA_EXCEEDED']);
const hosts = ['h1', 'h2', 'h3'];
/** Longer than every deadline, lease and pause between two tries. */
const restMsMax = 20 * 60_000;

const store = (name: string, scheduler: Scheduler): Store =>
  new Store(
    memoryStream(name, { nowMs: () => Math.floor(startMs + scheduler.nowMs), later: (run) => queueMicrotask(run) }),
  );

const memoryJournal = (): Machine['journal'] => {
  let last: Mark | null = null;
  return {
    read: () => last,
    write: (mark) => {
      last = mark;
    },
    close: () => undefined,
    empty: () => {
      last = null;
    },
  };
};

const machineOf = (host: string, index: number): Machine => {
  const kernel = new MemoryMachine();
  kernel.facts = { ...kernel.facts, underlay: { address: `192.0.2.${index + 1}`, device: 'up0', mtu: 1500 } };
  for (const link of foreignLinks) kernel.addForeign(link, 'of others');
  for (const path of broughtNamespaces) kernel.addNamespace(path);
  return { host, kernel, place: { name: host, wallOffsetMs: 0 }, journal: memoryJournal() };
};

const count = (counts: Record<string, number>, name: string): void => {
  counts[name] = (counts[name] ?? 0) + 1;
};

class Simulation implements Stage {
  readonly scheduler = new Scheduler();
  readonly dice: Dice;
  readonly wire: Wire;
  readonly log: Store;
  readonly commands: Store;
  readonly leases: Store;
  readonly #options: SimulationOptions;
  readonly #machines = hosts.map(machineOf);
  readonly #workers: readonly (readonly [Service, Machine])[];
  readonly #services: readonly Service[];
  readonly #clients: readonly Client[];
  readonly #projectors = new Map<string, Projector>();
  readonly #witness: Witness;
  readonly #incidents: Record<string, number> = {};
  #happened = 0;
  #isResting = false;
  #blamed: unknown = null;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.dice = new Dice(options.seed);
    this.wire = new Wire(this.scheduler, this.dice.fork('wire'));
    this.log = store('CNM_LOG', this.scheduler);
    this.commands = store('CNM_COMMANDS', this.scheduler);
    this.leases = store('CNM_LEASE', this.scheduler);
    const [first, second] = this.#machines as [Machine, Machine];
    this.#workers = this.#machines.map((machine) => [
      new Service(`worker.${machine.host}`, this, machine.place, startWorker(this, machine)),
      machine,
    ]);
    const twice = (name: string, start: (name: string) => ReturnType<typeof startController>): Service[] =>
      [first, second].map(({ place }, index) => {
        const full = `${name}.${index + 1}`;
        return new Service(full, this, place, start(full));
      });
    this.#services = [
      ...this.#workers.map(([service]) => service),
      ...twice('controller', () => startController(this)),
      ...twice('collector', () => startCollector(this)),
      ...twice('projector', (name) => startProjector(this, (projector) => this.#projectors.set(name, projector))),
    ];
    this.#clients = actors.map((actor) => new Client(actor, this, { name: actor, wallOffsetMs: 0 }));
    this.#witness = new Witness(this, this.#machines);
  }

  /** At most once, and only while its process lives. */
  answer(life: Life, subject: string, body: string): void {
    if (life.isCutOff || this.wire.dice.chance(this.wire.weather.silence)) return;
    this.scheduler.after(this.wire.hopMs(), `answer ${subject}`, () => {
      const answer = JSON.parse(body) as Answer;
      const client = this.#clients.find(({ actor }) => subject === subjects.reply(actor, answer.commandid));
      const sent = client?.sent.get(answer.commandid);
      if (sent) this.#answered(sent, answer);
    });
  }

  /** The same id gets the same answer, however often. */
  #answered(sent: Sent, answer: Answer): void {
    const which = answer.kind === 'outcome' ? 'outcome' : 'first';
    const before = sent[which];
    // What was refused in a sum is not known by its id: sent anew, it is a new one (docs/adr/0034).
    const isSummed = (one: Answer | null): boolean => one?.kind === 'refused' && summedCodes.has(one.code);
    if (before && isSummed(answer) && answer.position < before.position) return;
    if (isSummed(before)) sent[which] = answer;
    else if (before) {
      const same = (one: Answer) => [one.kind, one.position, 'code' in one ? one.code : null];
      if (JSON.stringify(same(before)) !== JSON.stringify(same(answer)))
        this.blame(
          `${sent.type} ${sent.id} was answered twice`,
          new Error(`${JSON.stringify(before)}, then ${JSON.stringify(answer)}`),
        );
    }
    sent[which] ??= answer;
  }

  blame(what: string, error: unknown): void {
    this.#blamed ??= new Error(what, { cause: error });
  }

  async #run(ms: number, isDone: () => boolean = () => false): Promise<void> {
    await this.scheduler.run(this.scheduler.nowMs + ms, () => this.#blamed !== null || isDone());
    if (this.#blamed !== null) throw this.#blamed;
    this.#witness.look();
  }

  #send(each: Wish): Sent {
    return this.dice.pick(this.#clients).send(each);
  }

  async play(): Promise<void> {
    for (const service of this.#services) service.begin();
    await this.#run(2_000);
    for (const each of foundations(this.dice.fork('foundations'), hosts)) this.#clients[0]?.send(each);
    await this.#run(1_000);
    const { happenings, every } = this.#options;
    while (this.#happened < happenings) {
      await this.#trouble(Math.min(happenings, this.#happened + every));
      await this.#rest();
    }
    await this.#clear();
  }

  /** Clients ask, and things go wrong, until so much has happened. */
  async #trouble(until: number): Promise<void> {
    this.#isResting = false;
    const dice = this.dice.fork(`trouble ${this.#happened}`);
    const { without } = this.#options;
    if (!without.has('weather'))
      this.wire.weather = dice.pick([
        { loss: 0.02, silence: 0.02, twice: 0.05, late: 0.01 },
        { loss: 0.1, silence: 0.08, twice: 0.1, late: 0.06 },
        { loss: 0, silence: 0, twice: 0.3, late: 0.15 },
      ]);
    const victims = {
      services: this.#services,
      workers: this.#workers,
      machines: this.#machines,
      nowMs: () => this.scheduler.nowMs,
      declareLost: (host: string, laterMs: number) => this.#declareLost(host, laterMs),
    };
    while (this.#happened < until) {
      this.#happened += 1;
      const known = this.#machines.map((machine) => ({ host: machine.host, state: this.#witness.stateOf(machine) }));
      if (dice.chance(0.75)) this.#send(wish(dice, known));
      else {
        const incident = anyIncident(dice, without);
        if (incident) {
          count(this.#incidents, incident);
          befall(incident, dice, victims);
        }
      }
      // Mostly at once, so that much is under way together.
      await this.#run(dice.chance(0.7) ? dice.between(0, 5) : dice.between(0, dice.chance(0.1) ? 9_000 : 700));
    }
  }

  #declareLost(host: string, laterMs: number): void {
    this.scheduler.after(laterMs, `somebody declares ${host} lost`, () => {
      if (!this.#isResting)
        this.#send({ type: 'DeclareHostLost', data: { host, reason: 'nobody answers' }, host: null });
    });
  }

  /** Nothing goes wrong any more, and everything comes to rest. */
  async #rest(): Promise<void> {
    this.#isResting = true;
    this.wire.weather = { ...fairWeather };
    for (const { place, kernel } of this.#machines) {
      place.wallOffsetMs = 0;
      kernel.heal();
      for (const port of [80, 81, 32_768]) kernel.removeListener(port);
    }
    for (const service of this.#services) {
      service.begin();
      const { life } = service;
      if (life) [life.cutOffUntilMs, life.stalledUntilMs, life.kernelStallUntilMs] = [0, 0, 0];
    }
    await this.#quiet();
    for (let tries = 0; this.#witness.stuck().length > 0; tries++) {
      assert.ok(tries < 5, `cannot be removed: ${JSON.stringify(this.#witness.stuck())}`);
      this.#removeStuck();
      await this.#quiet();
    }
    this.#witness.check(this.#clients);
    await this.#checkProjectors();
  }

  #removeStuck(): void {
    for (const { host, network, endpoint } of this.#witness.stuck()) {
      if (endpoint !== null) this.#send({ type: 'DeleteEndpoint', data: { network, endpoint }, host });
      else this.#send({ type: 'DeleteNetwork', data: { network }, host });
    }
  }

  /** Steps until nothing is left to do, and goes on to be so for a while. */
  async #quiet(): Promise<void> {
    const endMs = this.scheduler.nowMs + restMsMax;
    let unrest: readonly string[] = [];
    for (let calm = 0; calm < 3; ) {
      await this.#run(4_000);
      unrest = [
        ...this.#services.filter(({ isUp }) => !isUp).map(({ name }) => `${name} is not up`),
        ...(await this.#witness.unrest()),
      ];
      calm = unrest.length === 0 ? calm + 1 : 0;
      if (this.scheduler.nowMs > endMs)
        assert.fail(`no rest within ${restMsMax / 60_000} minutes: ${unrest.slice(0, 4).join('; ')}`);
    }
  }

  async #checkProjectors(): Promise<void> {
    for (const [name, projector] of this.#projectors) {
      let report: Awaited<ReturnType<Projector['rebuild']>> | null = null;
      projector.rebuild({ swap: false }).then(
        (one) => {
          report = one;
        },
        (error: unknown) => this.blame(`${name} could not be rebuilt`, error),
      );
      await this.#run(60_000, () => report !== null);
      assert.ok(report, `${name} rebuilds its views`);
      const { equal, differences } = report as Awaited<ReturnType<Projector['rebuild']>>;
      assert.ok(equal, `views of ${name} are not those of the log: ${JSON.stringify(differences)}`);
    }
  }

  /** Everything is deleted, and nothing is left. */
  async #clear(): Promise<void> {
    for (const actor of actors) this.#send({ type: 'SetQuota', data: { actor, limits: null }, host: null });
    await this.#quiet();
    await this.#quiet();
    const states = () => this.#machines.map((machine) => [machine.host, this.#witness.stateOf(machine)] as const);
    for (const [host, { sandboxes }] of states())
      for (const { facts } of sandboxes.values())
        this.#send({ type: 'DetachSandbox', data: { sandbox: facts.id }, host });
    await this.#quiet();
    for (const [host, { endpoints }] of states())
      for (const { facts } of endpoints.values())
        this.#send({ type: 'DeleteEndpoint', data: { network: facts.networkId, endpoint: facts.id }, host });
    await this.#quiet();
    for (const [host, { networks }] of states())
      for (const { facts } of networks.values())
        this.#send({ type: 'DeleteNetwork', data: { network: facts.id }, host });
    for (const { facts } of this.#witness.checker.realm.shared.networks.values())
      this.#send({ type: 'DeleteNetwork', data: { network: facts.id }, host: null });
    await this.#rest();
    this.#witness.checkEmpty();
  }

  get report(): Report {
    const statuses: Record<string, number> = {};
    for (const { status, refusal } of this.#witness.views.rows.commands.values())
      count(statuses, refusal?.code ?? status);
    const events: Record<string, number> = {};
    for (const { body, subject } of this.log.messages)
      for (const { type } of decodeCommit(body, subject)) count(events, type);
    return {
      seed: this.#options.seed,
      steps: this.scheduler.steps,
      virtualMs: Math.round(this.scheduler.nowMs),
      commands: this.commands.messages.length,
      commits: this.log.messages.length,
      incidents: this.#incidents,
      statuses,
      events,
      digest: this.scheduler.digest,
    };
  }
}

/** A simulation that failed. */
export class Broken extends Error {
  readonly options: SimulationOptions;
  readonly trace: readonly string[];

  constructor(options: SimulationOptions, trace: readonly string[], cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.options = options;
    this.trace = trace;
  }
}

/** Runs one simulation. @throws Broken */
export const simulate = async (
  asked: Pick<SimulationOptions, 'seed'> & Partial<SimulationOptions>,
): Promise<Report> => {
  const options = { ...defaults, ...asked };
  const simulation = new Simulation(options);
  try {
    await simulation.play();
  } catch (error) {
    throw new Broken(options, [...simulation.scheduler.trace], error);
  }
  return simulation.report;
};
