/** When names come and go with what units do: told before the report, sockets open before it, closed before a namespace goes. */
import type { KernelFault, Operation } from '../../drivers/port.ts';
import type { SandboxFacts } from '../../events/events.ts';
import { networkOf, type SandboxRow } from '../../events/state.ts';
import type { Dns } from '../dns/dns.ts';
import { membersOf } from '../dns/members.ts';
import type { Course } from './course.ts';
import type { Scene } from './inmates.ts';
import { endpointAfter, endpointNow, networkAfter, networkNow } from './settings.ts';
import type { Unit } from './units.ts';

/** Sandboxes whose sockets are opened at once when there are many. */
const atOnceMax = 64;

export class Naming {
  readonly #dns: Dns;
  readonly #scene: Scene;

  constructor(dns: Dns, scene: Scene) {
    this.#dns = dns;
    this.#scene = scene;
  }

  /** All names of the log, in the order in which endpoints joined each sandbox. Before any unit is executed. */
  reset(): void {
    this.#dns.reset(membersOf(this.#scene.state));
  }

  /** Closes the sockets in namespaces that operations make, remove or make anew: open ones would keep the old namespace alive. */
  async release(operations: readonly Operation[]): Promise<void> {
    const gone = operations.filter(({ op, object }) => op !== 'update' && object.kind === 'netns');
    const held = gone.map(({ object }) => object.tag.id).filter((incarnation) => this.#dns.has(incarnation));
    if (held.length > 0) await Promise.all(held.map((incarnation) => this.#dns.release(incarnation)));
  }

  /** Opens the sockets of sandboxes that are served, if they are not open. @returns those that could not be, with the reason */
  async open<T extends { readonly course: Course }>(
    items: readonly T[],
  ): Promise<readonly (readonly [T, KernelFault])[]> {
    const opened = items.map(async (item): Promise<readonly (readonly [T, KernelFault])[]> => {
      const { view, remainder } = item.course;
      if (view === null || !remainder.ensure.some(({ kind }) => kind === 'resolver')) return [];
      const fault = await this.#dns.open(view.facts);
      return fault ? [[item, fault]] : [];
    });
    return (await Promise.all(opened)).flat();
  }

  /** Opens the sockets of the sandboxes whose namespaces or resolvers operations have made. */
  openIn(operations: readonly Operation[]): Promise<readonly { readonly what: string; readonly fault: KernelFault }[]> {
    const ids = new Set(
      operations.flatMap(({ op, object }) =>
        op !== 'delete' && (object.kind === 'netns' || object.kind === 'resolver') ? [object.tag.id] : [],
      ),
    );
    return this.openAll([...ids].flatMap((id) => this.#scene.state.sandboxes.get(id) ?? []));
  }

  /** Opens the sockets of all sandboxes that are there. */
  async openAll(
    rows: Iterable<SandboxRow> = this.#scene.state.sandboxes.values(),
  ): Promise<readonly { readonly what: string; readonly fault: KernelFault }[]> {
    const { present } = this.#scene;
    const there: SandboxFacts[] = [];
    for (const { facts, members } of rows) {
      const isServed = present.of('sandbox', facts.incarnation).some(({ kind }) => kind === 'resolver');
      if (isServed && members.length > 0) there.push(facts);
    }
    const faults: { what: string; fault: KernelFault }[] = [];
    for (let at = 0; at < there.length; at += atOnceMax) {
      const some = there.slice(at, at + atOnceMax);
      const opened = await Promise.all(some.map((facts) => this.#dns.open(facts)));
      for (const [index, fault] of opened.entries()) if (fault) faults.push({ what: some[index]?.id ?? '', fault });
    }
    return faults;
  }

  /** What a unit that was executed has made of names. */
  done({ intents }: Unit, { ended }: Course): void {
    if (ended) this.#close(ended);
    const { state } = this.#scene;
    const { endpoints, sandboxes } = state;
    for (const { type, data, meta } of intents) {
      if (type === 'EndpointJoinRequested') {
        const endpoint = endpoints.get(data.endpointId);
        const network = networkOf(state, data.networkId);
        const sandbox = sandboxes.get(data.sandbox.incarnation)?.facts ?? data.sandbox;
        if (endpoint && network)
          this.#dns.joined({ network: networkNow(network), endpoint: endpointNow(endpoint), sandbox });
      } else if (type === 'EndpointLeaveRequested' || type === 'EndpointDeleteRequested') {
        this.#dns.left(data.endpointId);
      } else if (type === 'EndpointUpdateRequested') {
        const row = endpoints.get(data.endpointId);
        if (row) this.#dns.endpointChanged(endpointAfter(row, meta.id));
      } else if (type === 'NetworkUpdateRequested') {
        const row = networkOf(state, data.networkId);
        if (row) this.#dns.networkChanged(networkAfter(row, meta.id));
      }
    }
  }

  /** What was taken back may have been told before. */
  undone({ intents }: Unit, { returned, ended }: Course): void {
    if (ended) this.#close(ended);
    for (const { type, data } of intents) {
      const isOut = type === 'EndpointLeaveRequested' || type === 'EndpointDeleteRequested';
      if (type === 'EndpointJoinRequested' || (isOut && !returned.has(data.endpointId)))
        this.#dns.left(data.endpointId);
    }
  }
  /** Of a sandbox that has ended whose namespace was no object of ours to the last: brought and not entered, or lost. */
  #close({ incarnation }: SandboxFacts): void {
    void this.#dns.release(incarnation);
  }
}
