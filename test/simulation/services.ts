/** The services of a realm as processes that may be killed at any step and come back. Each is made as `cnm serve` makes it. */
import { drivers } from '../../drivers/registry.ts';
import { DEFAULT_IPV4_POOLS } from '../../events/ipam.ts';
import { createCollector } from '../../services/collector/collector.ts';
import { createController } from '../../services/controller/controller.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import { lease } from '../../services/nats/lease.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { keepWorker } from '../../services/worker/parked.ts';
import { workerLease } from '../../services/worker/tenure.ts';
import { createWorker } from '../../services/worker/worker.ts';
import { fakePlugins } from '../support/plugins/fake.ts';
import { hostServers } from '../support/system.ts';
import { silent } from '../support/world.ts';
import { Life, type Place } from './life.ts';
import { simKernel } from './sim-kernel.ts';
import { simNames } from './sim-names.ts';
import type { Machine, Stage } from './stage.ts';
import { wired } from './wire.ts';

export const realm = 'sim';
export const runDir = '/run/cnm';
export const netnsRoots = ['/run', '/tmp'];
export const quarantineMs = 5_000;

/** A service that runs. */
export interface Running {
  readonly stop: () => Promise<void>;
  readonly failed: Promise<never>;
}

export type Start = (life: Life) => Promise<Running>;

const never = new Promise<never>(() => undefined);
const onlyFailure = (promise: Promise<unknown>): Promise<never> => promise.then(() => never);

interface Streams {
  readonly log: Stream;
  readonly commands: Stream;
  readonly leases: Stream;
}

const streamsOf = ({ wire, log, commands, leases }: Stage, life: Life): Streams => ({
  log: wired(wire, log, life),
  commands: wired(wire, commands, life),
  leases: wired(wire, leases, life),
});

export const startController =
  (stage: Stage): Start =>
  async (life) => {
    const { log, commands, leases } = streamsOf(stage, life);
    const { clock } = life;
    const publish = (subject: string, body: string): void => stage.answer(life, subject, body);
    const context = { realm, log, commands, drivers, publish, clock, logger: silent, quarantineMs };
    const controller = createController({ ...context, actorProof: 'claim' });
    await controller.start();
    let turn = Promise.resolve();
    const then = (step: () => Promise<void> | void): void => {
      turn = turn.then(step);
    };
    const handlers = {
      onAcquired: () => then(() => controller.activate()),
      onLost: () => then(() => controller.deactivate()),
    };
    const held = lease(leases, 'controller', `${life.name}/${clock.randomId(8)}`, handlers, { clock });
    return {
      failed: Promise.race([controller.failed, onlyFailure(held.closed)]),
      stop: async () => {
        await turn;
        await controller.deactivate();
        await held.stop();
        await controller.stop();
      },
    };
  };

export const startWorker =
  (stage: Stage, { host, kernel, journal }: Machine): Start =>
  async (life) => {
    const { log, commands, leases } = streamsOf(stage, life);
    const { clock } = life;
    const taken = Promise.withResolvers<void>();
    // Its machine's lock is ours, so whoever held the lease before is dead.
    const holder = `${host}/${clock.randomId(8)}`;
    const handlers = { onAcquired: () => taken.resolve(), onLost: () => undefined };
    const held = lease(leases, workerLease(host), holder, handlers, { clock, isDead: (other) => other !== holder });
    held.closed.catch(() => undefined);
    await Promise.race([taken.promise, held.closed]);
    const kernelOfLife = simKernel(kernel, { realm, host }, life);
    const create = () =>
      createWorker({
        ...{ realm, host, runDir, pools: DEFAULT_IPV4_POOLS, netnsRoots, ula: 'fd00:1:2::/48', secret: null },
        ...{ log, commands, kernel: kernelOfLife, drivers, plugins: fakePlugins([]) },
        ...{ hostServers, clock, logger: silent, names: simNames, journal },
      });
    const worker = await keepWorker({ create, log, logger: silent });
    return {
      failed: Promise.race([worker.failed, onlyFailure(held.closed)]),
      stop: async () => {
        await worker.stop();
        await held.stop();
      },
    };
  };

export const startCollector =
  (stage: Stage): Start =>
  async (life) => {
    const streams = streamsOf(stage, life);
    const collector = createCollector({ realm, ...streams, clock: life.clock, logger: silent, confirmMs: 1_000 });
    await Promise.race([collector.start(), collector.failed]);
    return collector;
  };

export const startProjector =
  (stage: Stage, started: (projector: Projector) => void): Start =>
  async (life) => {
    const { log } = streamsOf(stage, life);
    const projector = createProjector({ log, clock: life.clock, logger: silent });
    const failed = onlyFailure(projector.closed);
    await Promise.race([projector.caughtUp, failed]);
    started(projector);
    return { failed, stop: () => projector.stop() };
  };

/** The server was away: whoever runs a service starts it again. Anything else is a bug. */
const isPassing = (error: unknown): boolean => error instanceof NatsFault && error.retry === 'later';

/** One service: what runs it now, and what starts it again. */
export class Service {
  readonly name: string;
  readonly #stage: Stage;
  readonly #place: Place;
  readonly #start: Start;
  life: Life | null = null;
  #running: Running | null = null;
  #lives = 0;
  /** Whether it may be started again: nothing has been planned for it. */
  #comesBack = false;

  constructor(name: string, stage: Stage, place: Place, start: Start) {
    this.name = name;
    this.#stage = stage;
    this.#place = place;
    this.#start = start;
  }

  get isUp(): boolean {
    return this.#running !== null;
  }

  begin(): void {
    if (this.life?.alive) return;
    this.#comesBack = false;
    const { scheduler, dice } = this.#stage;
    const name = `${this.name}#${++this.#lives}`;
    const life = new Life(name, this.#place, scheduler, dice.fork(name));
    this.life = life;
    const failed = (error: unknown): void => {
      if (!life.alive) return;
      if (!isPassing(error)) this.#stage.blame(`${life.name} failed`, error);
      this.kill(life.dice.between(100, 1_000));
    };
    this.#start(life).then((running) => {
      if (!life.alive) return;
      this.#running = running;
      running.failed.catch(failed);
    }, failed);
  }

  /** `kill -9`; it comes back after a while. */
  kill(awayMs: number): void {
    this.life?.kill();
    this.#running = null;
    if (this.#comesBack) return;
    this.#comesBack = true;
    this.#stage.scheduler.after(awayMs, `${this.name} comes back`, () => this.begin());
  }

  /** Ends it in good order, as on SIGTERM; one that takes too long is killed. */
  restart(awayMs: number): void {
    const { life } = this;
    const running = this.#running;
    if (!life || !running) return;
    this.#running = null;
    const cancel = life.after(20_000, 'is killed since it does not end', () => this.kill(awayMs));
    running.stop().then(
      () => {
        cancel();
        if (life.alive) this.kill(awayMs);
      },
      (error: unknown) => this.#stage.blame(`${life.name} could not be stopped`, error),
    );
  }
}
