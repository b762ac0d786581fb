/** Ports that were asked for, and what is found for those whose host port was left open. Pure, for the boundary's rows and those of views alike. */
import type { EndpointSettings, EventData, PublishedPort } from './events.ts';
import { beforeUpdates, type Update } from './updates.ts';

/** The ports of a holder, with the updates of it that are not reported yet. A sandbox has none. */
export interface Asked {
  readonly ports: PublishedPort[];
  readonly update: Update<EndpointSettings> | null;
}

/** All leases of a holder, in its own list and in those of before updates that are not reported; the same one may come twice. */
export const allLeases = ({ ports, update }: Asked): readonly PublishedPort[] =>
  update === null ? ports : [ports, ...beforeUpdates(update).map((settings) => settings.ports)].flat();

/** The ports that an intent brings: the update's, or those that the holder was made with. */
export const broughtBy = ({ ports, update }: Asked, intent: string): readonly PublishedPort[] => {
  let brought: readonly PublishedPort[] = ports;
  for (let at = update; at !== null && at.intent !== intent; at = at.earlier) brought = at.before.ports;
  return brought;
};

type Found = EventData<'PortsLeased'>['ports'];

/** `asked`: what stood at the same places when they were asked for. */
const filled = (ports: readonly PublishedPort[], asked: readonly PublishedPort[], found: Found): PublishedPort[] => {
  const all = [...ports];
  for (const { index, hostPort } of found) {
    const [port, wanted] = [ports[index], asked[index]];
    // An update since then may have another port at that place; what is the same port keeps what was found for it.
    if (port?.hostPort === 0 && JSON.stringify(port) === JSON.stringify(wanted)) all[index] = { ...port, hostPort };
  }
  return all;
};

/** The ports of a holder with the host ports that were found for it. */
export const withFound = (asked: Asked, holder: string, { intent, ports: all }: EventData<'PortsLeased'>): Asked => {
  const brought = broughtBy(asked, intent);
  const found = all.filter((one) => one.holder === holder);
  const fill = (update: Asked['update']): Asked['update'] =>
    update && {
      ...update,
      before: { ...update.before, ports: filled(update.before.ports, brought, found) },
      earlier: fill(update.earlier),
    };
  return { ports: filled(asked.ports, brought, found), update: fill(asked.update) };
};
