/** Who of a plugin's endpoints carries default routes: ProgramExternalConnectivity when that begins or changes, Revoke when it ends. */
import type { Fault } from '../../events/events.ts';
import type { Logger } from '../lib/logger.ts';
import { programOf } from './consulting-requests.ts';
import type { Desk, Run } from './consulting-steps.ts';
import { endpointParting } from './gone.ts';
import { settledView } from './inmates.ts';
import type { Inmate, SandboxView } from './sandbox.ts';

/** The families that an endpoint carries: `46`, `4`, `6`, or nothing. */
const carriedBy = (view: SandboxView, { endpoint }: Inmate): string =>
  ([4, 6] as const).filter((family) => view.gateways[`ipv${family}`] === endpoint.id).join('');

export class Carrying {
  readonly #desk: Desk;
  readonly #logger: Logger;
  /** What plugins have been told, by endpoint. */
  readonly #told = new Map<string, string>();

  constructor(desk: Desk, logger: Logger) {
    this.#desk = desk;
    this.#logger = logger;
  }

  /** As it was when the last worker ended. */
  begin(): void {
    const { state } = this.#desk;
    for (const row of state.sandboxes.values()) {
      const view = settledView(state, row);
      for (const inmate of this.#inmatesOf(view)) {
        const families = carriedBy(view, inmate);
        if (families !== '') this.#told.set(inmate.endpoint.id, families);
      }
    }
  }

  /** An endpoint leaves. @returns whether it carried something */
  drop(endpointId: string): boolean {
    return this.#told.delete(endpointId);
  }

  /** Tells plugins what is different in a sandbox as it is now. @returns the first fault of one that would not carry */
  async follow(view: SandboxView | null, options: Run['options']): Promise<Fault | null> {
    let first: Fault | null = null;
    for (const inmate of view === null ? [] : this.#inmatesOf(view)) {
      const fault = await this.#follow(view as SandboxView, inmate, options);
      if (fault) this.#logger.warn({ endpoint: inmate.endpoint.id, fault }, 'plugin would not carry a default route');
      first ??= fault;
    }
    return first;
  }

  async #follow(view: SandboxView, inmate: Inmate, options: Run['options']): Promise<Fault | null> {
    const { endpoint, network } = inmate;
    const { realm, plugins, partings } = this.#desk;
    const families = carriedBy(view, inmate);
    if (families === (this.#told.get(endpoint.id) ?? '')) return null;
    if (families === '') {
      this.#told.delete(endpoint.id);
      await partings.tell([endpointParting('revoke', network, endpoint)], options);
      return null;
    }
    const { ipv6 } = view.gateways;
    const request = programOf(realm, endpoint, view.facts, ipv6 !== null && ipv6 !== endpoint.id);
    const programmed = await plugins.network(network.driver).programExternal(request, options);
    if (!programmed.ok) return programmed.fault;
    this.#told.set(endpoint.id, families);
    return null;
  }

  #inmatesOf({ inmates }: SandboxView): readonly Inmate[] {
    return inmates.filter(({ network }) => this.#desk.isPlugin(network.driver));
  }
}
