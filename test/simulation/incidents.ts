/** What goes wrong, by chance: to processes, machines, clocks and kernels. The wire has its own ways (wire.ts). */
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Dice } from './dice.ts';
import type { Service } from './services.ts';
import type { Machine } from './stage.ts';

export interface Victims {
  readonly services: readonly Service[];
  readonly workers: readonly (readonly [Service, Machine])[];
  readonly machines: readonly Machine[];
  readonly nowMs: () => number;
  /** Somebody says, so much later, that a host is lost. */
  readonly declareLost: (host: string, laterMs: number) => void;
}

const weights = {
  crash: 6,
  crashAll: 0.5,
  restart: 2,
  cutOff: 3,
  stall: 3,
  clock: 1.5,
  kernelFails: 3,
  kernelHangs: 1,
  lose: 1.5,
  listen: 1,
  duel: 1.5,
  loseHost: 0.7,
  reboot: 0.7,
} as const;
export type Incident = keyof typeof weights;
export const incidentNames = Object.keys(weights) as readonly Incident[];

const kinds: readonly KernelObject['kind'][] = ['netns', 'bridge', 'vxlan', 'element', 'veth', 'route', 'file'];

/** How long a process is away: mostly for a moment, at times longer than a lease, a deadline. */
const awayMs = (dice: Dice): number =>
  dice.chance(0.1) ? dice.between(10_000, 45_000) : dice.between(1, dice.chance(0.5) ? 200 : 6_000);

/** Something of ours is gone while nobody looks. */
const lose = (dice: Dice, { kernel }: Machine): void => {
  for (const object of kernel.objects()) {
    if (!dice.chance(0.2)) continue;
    if (object.kind === 'netns') {
      kernel.removeNamespace(object.path);
      kernel.tamper(`netns ${object.path}`, null);
      if (!object.owned) kernel.addNamespace(object.path);
    }
    if (object.kind === 'route') kernel.tamper(`route ${object.netns} ${object.destination}`, null);
    if (object.kind === 'element') kernel.tamper(`element ${object.set} ${object.key.join(' . ')}`, null);
  }
};

/** Nothing is left but what is on disk. Callers have made their namespaces again by the time that the worker comes. */
const reboot = (dice: Dice, { kernel, journal }: Machine): void => {
  const brought = kernel.objects().flatMap((object) => (object.kind === 'netns' && !object.owned ? [object.path] : []));
  for (const object of kernel.objects()) {
    if (object.kind === 'netns') kernel.removeNamespace(object.path);
    kernel.tamper(objectKey(object), null);
  }
  for (const path of brought) kernel.addNamespace(path);
  kernel.facts = { ...kernel.facts, bootId: `boot-${dice.text(8)}` };
  journal.empty();
};

export const befall = (incident: Incident, dice: Dice, victims: Victims): void => {
  const { services, workers, machines } = victims;
  const service = dice.pick(services);
  const machine = dice.pick(machines);
  switch (incident) {
    case 'crash':
      service.kill(awayMs(dice));
      return;
    case 'crashAll':
      for (const one of services) one.kill(awayMs(dice));
      return;
    case 'restart':
      service.restart(awayMs(dice));
      return;
    case 'cutOff':
      if (service.life) service.life.cutOffUntilMs = victims.nowMs() + dice.between(50, 15_000);
      return;
    case 'stall':
      if (service.life) service.life.stalledUntilMs = victims.nowMs() + dice.between(50, 9_000);
      return;
    case 'clock':
      machine.place.wallOffsetMs = dice.chance(0.3) ? 0 : dice.between(-60_000, 60_000);
      return;
    case 'kernelFails': {
      const [kind, op] = [dice.pick(kinds), dice.pick(['create', 'delete', 'update'])];
      const undoFaults = dice.chance(0.3) ? ['not undone'] : [];
      const when = (asked: { op: string; object: KernelObject }) => asked.op === op && asked.object.kind === kind;
      machine.kernel.fail({ when, undoFaults, once: true });
      return;
    }
    case 'kernelHangs': {
      const [worker] = dice.pick(workers);
      if (worker.life) worker.life.kernelStallUntilMs = victims.nowMs() + dice.between(100, 8_000);
      return;
    }
    case 'lose': {
      // Drift under a live worker is another matter: here its host lost something while it was away.
      const [worker, own] = dice.pick(workers);
      worker.kill(awayMs(dice));
      lose(dice, own);
      return;
    }
    case 'loseHost': {
      // Cut off, or dead; and somebody says that it does not come back. It does.
      const [worker, { host }] = dice.pick(workers);
      const away = dice.between(14_000, 30_000);
      if (worker.life && dice.chance(0.5)) worker.life.cutOffUntilMs = victims.nowMs() + away;
      else worker.kill(away);
      victims.declareLost(host, dice.between(9_000, 20_000));
      return;
    }
    case 'reboot': {
      const [worker, own] = dice.pick(workers);
      worker.kill(awayMs(dice));
      reboot(dice, own);
      return;
    }
    case 'duel': {
      // The one that decides is held up for longer than its lease, and then goes on where it was, beside the other.
      const deciders = services.filter(({ name }) => name.startsWith('controller'));
      const stalledUntilMs = victims.nowMs() + dice.between(6_000, 12_000);
      const { life } = dice.pick(deciders);
      if (life) life.stalledUntilMs = stalledUntilMs;
      return;
    }
    case 'listen': {
      const port = dice.pick([80, 81, 32_768]);
      machine.kernel.removeListener(port);
      if (dice.chance(0.6)) {
        const holder = { protocol: 'tcp', address: '0.0.0.0', holder: 'pid 7 (nginx)' };
        machine.kernel.addListener({ ...holder, port });
      }
      return;
    }
    default:
      incident satisfies never;
  }
};

export const anyIncident = (dice: Dice, without: ReadonlySet<string>): Incident | null => {
  const incident = dice.weighed(weights);
  return without.has(incident) ? null : incident;
};
