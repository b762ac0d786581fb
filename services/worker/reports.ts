/** What a worker reports about an intent: the outcome events. Pure. */
import type { KernelObject, Route } from '../../drivers/objects.ts';
import type { KernelFault } from '../../drivers/port.ts';
import type { Event } from '../../events/envelope.ts';
import type { Fact, Fault, Peer, PortBinding, SandboxFacts } from '../../events/events.ts';
import { type BoundaryState, networkOf } from '../../events/state.ts';
import { namesOf } from '../../projections/names.ts';
import type { Course } from './course.ts';
import { nothing } from './effects.ts';
import { bindingsIn, type Deployment } from './sandbox.ts';
import { endpointAfter, endpointNow } from './settings.ts';
import type { Unit } from './units.ts';

/** What led to a report: an intent; null for what the worker noticed by itself. */
export interface Report {
  readonly fact: Fact;
  readonly intent: Event | null;
}

export const dependencyFault = (what: string): Fault => ({
  code: 'DEPENDENCY_FAILED',
  step: 'check',
  errno: '',
  text: `${what} is not there`,
  retryable: false,
  undoFaults: [],
});

export const deadlineFault: Fault = {
  code: 'TIMED_OUT',
  step: 'deadline',
  errno: '',
  text: 'the deadline passed before it was done; what was made is taken back',
  retryable: true,
  undoFaults: [],
};

export const cancelFault: Fault = {
  ...deadlineFault,
  code: 'CANCELLED',
  step: 'cancel',
  text: 'it was cancelled before it was done; what was made is taken back',
  retryable: false,
};

export const kernelFault = (fault: KernelFault): Fault => ({ ...fault, undoFaults: [...fault.undoFaults] });

/** What became of the sandbox of a unit, as outcomes tell it. */
interface Found {
  readonly routes: readonly { readonly destination: string; readonly gateway: string }[];
  readonly ports: readonly PortBinding[];
  readonly peer: Peer;
}

/** What other hosts have to know of an endpoint; null where its network is of this host alone. */
const peerOf = (state: BoundaryState, intent: Event): Peer => {
  if (intent.type !== 'EndpointJoinRequested' && intent.type !== 'EndpointUpdateRequested') return null;
  const row = state.endpoints.get(intent.data.endpointId);
  const network = networkOf(state, intent.data.networkId);
  if (!row || network?.facts.scope !== 'realm') return null;
  const isJoin = intent.type === 'EndpointJoinRequested';
  const sandbox = isJoin ? intent.data.sandbox : state.sandboxes.get(row.sandbox?.incarnation ?? '')?.facts;
  const facts = isJoin ? endpointNow(row) : endpointAfter(row, intent.meta.id);
  return { names: [...namesOf(facts, sandbox ?? nameless)], services: [...facts.services] };
};

const nameless = { hostname: null, domainname: null };

const isRoute = (object: KernelObject): object is Route => object.kind === 'route';

/** The routes of an endpoint: default routes through it first, then its own. */
const routesOf = ({ remainder }: Course, { ensure }: Course['effects'][number], device: string | null) =>
  [...remainder.ensure.filter((object) => isRoute(object) && object.device === device), ...ensure]
    .filter(isRoute)
    .map(({ destination, gateway }) => ({ destination, gateway }));

/** The outcome of an intent that was executed. */
const done = (intent: Event, { routes, ports, peer }: Found): Fact | null => {
  switch (intent.type) {
    case 'DriverConfigureRequested':
      return { type: 'DriverConfigured', data: { driver: intent.data.driver } };
    case 'NetworkCreateRequested':
      return { type: 'NetworkCreated', data: { networkId: intent.data.network.id, name: intent.data.network.name } };
    case 'NetworkUpdateRequested':
      return { type: 'NetworkUpdated', data: { networkId: intent.data.networkId, name: intent.data.name } };
    case 'NetworkDeleteRequested':
      return { type: 'NetworkDeleted', data: intent.data };
    case 'EndpointCreateRequested': {
      const { id: endpointId, networkId, name } = intent.data.endpoint;
      return { type: 'EndpointCreated', data: { endpointId, networkId, name } };
    }
    case 'EndpointUpdateRequested': {
      const { endpointId, networkId, name } = intent.data;
      return { type: 'EndpointUpdated', data: { endpointId, networkId, name, ports: [...ports], peer } };
    }
    case 'EndpointDeleteRequested': {
      const { endpointId, networkId, name } = intent.data;
      return { type: 'EndpointDeleted', data: { endpointId, networkId, name } };
    }
    case 'EndpointJoinRequested': {
      const { sandbox, interface: device, ipv4, ipv6, mac } = intent.data;
      const found = { routes: [...routes], ports: [...ports], peer };
      return {
        type: 'EndpointJoined',
        data: { ...inSandbox(intent.data), key: sandbox.key, interface: device, ipv4, ipv6, mac, ...found, peer },
      };
    }
    case 'EndpointLeaveRequested':
      return { type: 'EndpointLeft', data: inSandbox(intent.data) };
    default:
      return null;
  }
};

/** The outcome of an intent that could not be executed, or was taken back. */
const failed = (intent: Event, fault: Fault): Fact | null => {
  switch (intent.type) {
    case 'DriverConfigureRequested':
      return { type: 'DriverConfigureFailed', data: { driver: intent.data.driver, fault } };
    case 'NetworkCreateRequested':
      return {
        type: 'NetworkCreateFailed',
        data: { networkId: intent.data.network.id, name: intent.data.network.name, fault },
      };
    case 'NetworkUpdateRequested': {
      const { networkId, name } = intent.data;
      return { type: 'NetworkUpdateFailed', data: { networkId, name, fault } };
    }
    case 'NetworkDeleteRequested':
      return { type: 'NetworkDeleteFailed', data: { ...intent.data, fault } };
    case 'EndpointCreateRequested': {
      const { id: endpointId, networkId, name } = intent.data.endpoint;
      return { type: 'EndpointCreateFailed', data: { endpointId, networkId, name, fault } };
    }
    case 'EndpointUpdateRequested': {
      const { endpointId, networkId, name } = intent.data;
      return { type: 'EndpointUpdateFailed', data: { endpointId, networkId, name, fault } };
    }
    case 'EndpointDeleteRequested': {
      const { endpointId, networkId, name } = intent.data;
      return { type: 'EndpointDeleteFailed', data: { endpointId, networkId, name, fault } };
    }
    case 'EndpointJoinRequested':
      return { type: 'EndpointJoinFailed', data: { ...inSandbox(intent.data), fault } };
    case 'EndpointLeaveRequested':
      return { type: 'EndpointLeaveFailed', data: { ...inSandbox(intent.data), fault } };
    default:
      return null;
  }
};

/** The outcome of an intent to leave, or to be deleted, of an endpoint that is as it was. */
const reverted = (intent: Event, fault: Fault): Fact | null => {
  switch (intent.type) {
    case 'EndpointLeaveRequested': {
      const { endpointId, networkId, name, joinId, sandbox, interface: device, before } = intent.data;
      const data = { endpointId, networkId, name, joinId, sandbox, interface: device, before, fault };
      return { type: 'EndpointLeaveReverted', data };
    }
    case 'EndpointDeleteRequested': {
      const { endpointId, networkId, name } = intent.data;
      return { type: 'EndpointDeleteReverted', data: { endpointId, networkId, name, fault } };
    }
    default:
      return null;
  }
};

const inSandbox = ({
  endpointId,
  networkId,
  name,
  sandbox,
}: {
  readonly endpointId: string;
  readonly networkId: string;
  readonly name: string;
  readonly sandbox: { readonly id: string; readonly incarnation: string };
}) => ({ endpointId, networkId, name, sandbox: { id: sandbox.id, incarnation: sandbox.incarnation } });

const sandboxRemoved = (unit: Unit, sandbox: SandboxFacts): Report => ({
  fact: { type: 'SandboxRemoved', data: { sandbox } },
  intent: unit.intents.findLast(({ type }) => type !== 'EndpointDeleteRequested') ?? unit.intents.at(-1) ?? null,
});

/**
 * The outcomes of a unit that was executed. A sandbox is made with its first endpoint and ends with its last one.
 * @param announced incarnations of sandboxes that the log knows as made
 */
export const doneReports = (
  state: BoundaryState,
  deployment: Deployment,
  unit: Unit,
  course: Course,
  announced: ReadonlySet<string>,
): readonly Report[] => {
  const said = new Set<string>();
  // Left by its last endpoint and joined again in one command, it is there already and to be said so once more.
  const isKnown = (incarnation: string): boolean =>
    said.has(incarnation) || (announced.has(incarnation) && state.sandboxes.get(incarnation)?.status !== 'creating');
  const ports = course.view ? bindingsIn(deployment, course.view) : [];
  const reports = unit.intents.flatMap((intent, index): readonly Report[] => {
    const device = intent.type === 'EndpointJoinRequested' ? intent.data.interface : null;
    const routes = routesOf(course, course.effects[index] ?? nothing, device);
    const fact = done(intent, { routes, ports, peer: peerOf(state, intent) });
    if (!fact) return [];
    if (intent.type !== 'EndpointJoinRequested' || isKnown(intent.data.sandbox.incarnation)) return [{ fact, intent }];
    said.add(intent.data.sandbox.incarnation);
    return [
      { fact, intent },
      { fact: { type: 'SandboxCreated', data: { sandbox: intent.data.sandbox } }, intent },
    ];
  });
  const ended = course.ended;
  return ended && state.sandboxes.has(ended.incarnation) ? [...reports, sandboxRemoved(unit, ended)] : reports;
};

const isRemovalOf = ({ type }: Event): boolean =>
  type === 'EndpointLeaveRequested' || type === 'EndpointDeleteRequested';

/** Of a unit that is taken back: what was to leave is there as it was, or never was there and is gone; all else has failed. */
const takenBack = (intent: Event, fault: Fault, course: Course): Fact | null => {
  if (!course.isMove || !isRemovalOf(intent) || !('endpointId' in intent.data)) return failed(intent, fault);
  if (course.returned.has(intent.data.endpointId)) return reverted(intent, fault);
  return done(intent, { routes: [], ports: [], peer: null });
};

/** The outcomes of a unit that could not be executed, or was taken back: the one fault for each intent. */
export const failedReports = (
  unit: Unit,
  fault: Fault,
  course: Course | null,
  announced: ReadonlySet<string>,
): readonly Report[] => {
  const reports = unit.intents.flatMap((intent): readonly Report[] => {
    const fact = course ? takenBack(intent, fault, course) : failed(intent, fault);
    return fact ? [{ fact, intent }] : [];
  });
  // One that was never made ends with its only join, but not while somebody is to leave it.
  const ended = course && (course.isMove || announced.has(course.ended?.incarnation ?? '')) ? course.ended : null;
  return ended ? [...reports, sandboxRemoved(unit, ended)] : reports;
};
