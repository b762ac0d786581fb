/** Whose fault it is that the kernel refuses a step: where it is what a plugin has answered to a join, the plugin is named. Pure. */
import type { Device, KernelObject, Route } from '../../drivers/objects.ts';
import type { Operation } from '../../drivers/port.ts';
import { stepOf } from '../../drivers/steps.ts';
import type { Fault, Plug } from '../../events/events.ts';
import { type BoundaryState, type EndpointRow, networkOf } from '../../events/state.ts';
import { faults } from '../plugins/fault.ts';

/** What a plugin has said that a kernel object came from. */
interface Said {
  readonly row: EndpointRow;
  readonly words: string;
}

/** What the kernel says of routes that cannot be. Anything else is not about what was asked for. */
const routeErrors: ReadonlySet<string> = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EINVAL']);
/** What is wrong with ourselves. */
const ownErrors: ReadonlySet<string> = new Set(['EPERM', 'EACCES']);

const ofLink = (row: EndpointRow, { birth }: Device, { code, errno, text }: Fault): Said | null => {
  // Foreign is either the link, which is then one of ours, or what has its name inside.
  const isIts =
    code === 'KERNEL_ERROR' ? !ownErrors.has(errno) : code === 'FOREIGN_OBJECT' && text.includes(birth.link);
  return isIts ? { row, words: `InterfaceName.SrcName ${JSON.stringify(birth.link)}` } : null;
};

const wayOf = ({ destination, gateway }: Plug['routes'][number]): string =>
  gateway === null ? destination : `${destination} by ${gateway}`;

const ofRoute = (state: BoundaryState, { tag, destination, gateway }: Route): Said | null => {
  if (tag.entity === 'endpoint') {
    const row = state.endpoints.get(tag.id);
    const route = row?.plug?.routes.find((one) => one.destination === destination && (one.gateway ?? '') === gateway);
    return row && route ? { row, words: `StaticRoutes ${wayOf(route)}` } : null;
  }
  for (const id of state.sandboxes.get(tag.id)?.members ?? []) {
    const row = state.endpoints.get(id);
    if (row?.plug?.gateway4 === gateway) return { row, words: `Gateway ${gateway}` };
    if (row?.plug?.gateway6 === gateway) return { row, words: `GatewayIPv6 ${gateway}` };
  }
  return null;
};

const saidOf = (state: BoundaryState, object: KernelObject, fault: Fault): Said | null => {
  if (object.kind === 'device' && object.source.type === 'moved') {
    const row = state.endpoints.get(object.tag.id);
    return row ? ofLink(row, object, fault) : null;
  }
  return object.kind === 'route' && routeErrors.has(fault.errno) ? ofRoute(state, object) : null;
};

/** A fault of the kernel as it is told. @param operations of the plan that has failed with it */
export const blamed = (state: BoundaryState, operations: readonly Operation[], fault: Fault): Fault => {
  if (fault.retryable) return fault;
  const failed = operations.find(({ op, object }) => op !== 'delete' && stepOf(op, object) === fault.step);
  const said = failed ? saidOf(state, failed.object, fault) : null;
  const network = said && networkOf(state, said.row.facts.networkId)?.facts;
  if (!said || !network) return fault;
  const { errno, undoFaults } = fault;
  const answer = faults.invalid(`NetworkDriver.Join of plugin ${network.driver}`, `${said.words}: ${fault.text}`);
  return { ...answer, errno, undoFaults };
};
