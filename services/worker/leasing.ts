/**
 * Host ports that nobody has chosen: looked for while a unit waits, asked for by the ordinary command `LeasePorts`, and used when
 * `PortsLeased` is in the log. Nothing is kept that the log does not say: a command's id follows from intent and attempt.
 */
import type { Kernel, PortSearch } from '../../drivers/port.ts';
import type { CommandData } from '../../events/commands.ts';
import type { Event } from '../../events/envelope.ts';
import type { Fault } from '../../events/events.ts';
import { type OpenLease, openLeases } from '../../events/leases.ts';
import { commandId, subjects, workerActor } from '../../events/names.ts';
import type { BoundaryState } from '../../events/state.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import type { Unit } from './units.ts';

export interface LeasingOptions {
  readonly host: string;
  readonly commands: Stream;
  readonly kernel: Pick<Kernel, 'findPorts'>;
  readonly clock: Clock;
  /** Called when the unit of an intent need not wait any more, or its ports are to be looked for again. */
  readonly wake: (intent: string) => void;
  readonly onFault: (error: unknown) => void;
}

type Leases = CommandData<'LeasePorts'>['ports'];

/** How often ports are looked for that others then turn out to hold. */
const attemptsMax = 4;
const retryMsMax = 1_000;

const noPort = (text: string): Fault => ({
  code: 'PORT_IN_USE',
  step: 'find ports',
  errno: '',
  text,
  retryable: true,
  undoFaults: [],
});

/** Whether the host chose ports for a unit. */
export const hasChosenPorts = ({ intents }: Unit): boolean =>
  intents.some(({ type, data }) => {
    if (type === 'EndpointCreateRequested') return data.endpoint.ports.some(({ hostPort }) => hostPort === 0);
    if (type === 'EndpointUpdateRequested') return data.settings.ports.some(({ hostPort }) => hostPort === 0);
    return type === 'EndpointJoinRequested' && data.sandbox.ports.some(({ hostPort }) => hostPort === 0);
  });

const namePart = 'lease';
/** A command's id again as intent and attempt; null when it is none of ours. */
const attemptOf = (id: string): { readonly intent: string; readonly attempt: number } | null => {
  const match = /^[0-9a-z]+-lease\/(.+)\/(\d+)$/.exec(id);
  return match ? { intent: match[1] ?? '', attempt: Number(match[2]) } : null;
};

const portsOf = (from: number, count: number): readonly number[] => Array.from({ length: count }, (_, at) => from + at);

export class Leasing {
  readonly #options: LeasingOptions;
  readonly #actor: string;
  /** Attempts that were refused, by intent: known from the log alone. */
  readonly #refused = new Map<string, number>();
  /** Intents whose ports are being looked for or decided, with the attempt. */
  readonly #begun = new Map<string, number>();
  /** Intents whose ports are not to be had. */
  readonly #faults = new Map<string, Fault>();
  /** What was asked for and is not decided yet, as `tcp/32768`: nobody else of ours shall ask for it. */
  readonly #offered = new Map<string, ReadonlySet<string>>();
  #stopped = false;

  constructor(options: LeasingOptions) {
    this.#options = options;
    this.#actor = workerActor(options.host);
  }

  /** Every event of the log, before it is folded in. */
  note({ type, meta }: Event): void {
    const own = meta.actor === this.#actor ? attemptOf(meta.commandid) : null;
    if (!own) return;
    this.#offered.delete(own.intent);
    this.#options.wake(own.intent);
    if (type !== 'CommandRefused') return;
    this.#refused.set(own.intent, Math.max(this.#refused.get(own.intent) ?? 0, own.attempt + 1));
    this.#begun.delete(own.intent);
  }

  /** An intent has ended. */
  forget(intent: string): void {
    this.#refused.delete(intent);
    this.#begun.delete(intent);
    this.#faults.delete(intent);
    this.#offered.delete(intent);
  }

  /** Whether all ports of a unit are known, or that they will not be; else they are being looked for from here on. */
  isReady(state: BoundaryState, unit: Unit): boolean {
    if (unit.expired || this.faultOf(unit)) return true;
    const holders = new Set<string>();
    let ready = true;
    for (const intent of unit.intents) {
      const wanted = openLeases(state, intent).filter(({ holder }) => !holders.has(holder));
      for (const { holder } of wanted) holders.add(holder);
      if (wanted.length === 0) continue;
      ready = false;
      if (!this.#begun.has(intent.meta.id)) this.#begin(state, intent, wanted);
    }
    return ready && !this.faultOf(unit);
  }

  /** Why a unit cannot have its ports; null when it can, or may yet. */
  faultOf({ intents }: Unit): Fault | null {
    for (const { meta } of intents) {
      const fault = this.#faults.get(meta.id);
      if (fault) return fault;
    }
    return null;
  }

  stop(): void {
    this.#stopped = true;
  }

  #begin(state: BoundaryState, intent: Event, wanted: readonly OpenLease[]): void {
    const { id } = intent.meta;
    const attempt = this.#refused.get(id) ?? 0;
    this.#begun.set(id, attempt);
    if (attempt >= attemptsMax) {
      this.#give(id, `no free host port was found in ${attempt} attempts`);
      return;
    }
    this.#ask(state, intent, attempt, wanted).catch((error) => {
      if (!this.#stopped) this.#options.onFault(error);
    });
  }

  #give(intent: string, text: string): void {
    this.#faults.set(intent, noPort(text));
    // Whoever asked is still looking through the units.
    queueMicrotask(() => this.#options.wake(intent));
  }

  async #ask(state: BoundaryState, intent: Event, attempt: number, wanted: readonly OpenLease[]): Promise<void> {
    const { id, time, correlationid, traceparent } = intent.meta;
    const ports = await this.#find(state, id, wanted);
    if (this.#begun.get(id) !== attempt) return;
    if (typeof ports === 'string') {
      this.#give(id, ports);
      return;
    }
    const { commands, clock, host } = this.#options;
    const command = commandId(Date.parse(time), `${namePart}/${id}/${attempt}`);
    const envelope = { type: 'LeasePorts', id: command, correlationid, traceparent };
    const body = JSON.stringify({ ...envelope, data: { intent: id, ports } });
    const subject = subjects.command(this.#actor, host);
    for (let tries = 0; !this.#stopped && this.#begun.get(id) === attempt; tries++) {
      const appended = await commands.append({ subject, body, id: `${this.#actor}/${command}` });
      if (appended.kind === 'appended') return;
      await sleep(clock, Math.min(2 ** tries, retryMsMax));
    }
  }

  /** A host port for each, of which none is asked for twice; or a text that says why there are none. */
  async #find(state: BoundaryState, intent: string, wanted: readonly OpenLease[]): Promise<Leases | string> {
    const found: Leases = [];
    const own = new Set<string>();
    this.#offered.set(intent, own);
    let rest = wanted;
    while (rest.length > 0) {
      const taken = this.#taken(state);
      const searches = rest.map(({ port }): PortSearch => {
        const { protocol, hostAddresses: addresses, count, choice } = port;
        return { protocol, addresses, count, choice, avoid: taken.get(protocol) ?? [] };
      });
      const answers = await this.#options.kernel.findPorts(searches);
      const again: OpenLease[] = [];
      for (const [at, each] of rest.entries()) {
        const { holder, index, port } = each;
        const hostPort = answers[at] ?? null;
        if (hostPort === null) return `no free ${port.protocol} port for port ${port.port}`;
        const keys = portsOf(hostPort, port.count).map((number) => `${port.protocol}/${number}`);
        if (keys.some((key) => this.#isOffered(key))) again.push(each);
        else {
          found.push({ holder, index, hostPort });
          for (const key of keys) own.add(key);
        }
      }
      rest = again;
    }
    return found;
  }

  #isOffered(key: string): boolean {
    for (const keys of this.#offered.values()) if (keys.has(key)) return true;
    return false;
  }

  /** Ports by protocol that are leased, or are being asked for: no socket of the host shows them. O(leased ports). */
  #taken(state: BoundaryState): ReadonlyMap<string, readonly number[]> {
    const taken = new Map<string, number[]>();
    const add = (key: string): void => {
      const [protocol = '', number = ''] = key.split('/');
      const numbers = taken.get(protocol);
      if (numbers) numbers.push(Number(number));
      else taken.set(protocol, [Number(number)]);
    };
    for (const key of state.ports.keys()) add(key);
    for (const keys of this.#offered.values()) for (const key of keys) add(key);
    return taken;
  }
}
