/** What an event is about, for its CloudEvents `subject`: `network/ID`, `endpoint/ID`, `sandbox/NAME`, … `command`: ACTOR/ID of the one that was refused. */
import type { Fact, FactOf } from '../../events/events.ts';

const aboutDrift = ({
  of: { kind, networkId, endpointId, sandbox },
  host,
}: Pick<FactOf<'DriftEnded'>['data'], 'of' | 'host'>): string => {
  if (kind === 'endpoint') return `endpoint/${endpointId}`;
  if (kind === 'sandbox') return `sandbox/${sandbox?.id}`;
  return kind === 'network' ? `network/${networkId}` : `host/${host}`;
};

type DriftFact = FactOf<'DriftDetected' | 'DriftRepaired' | 'DriftLeft' | 'DriftEnded'>;
const isDrift = (fact: Fact): fact is DriftFact => 'drift' in fact.data;

export const aboutOf = (fact: Fact, command = ''): string => {
  if (isDrift(fact)) return aboutDrift(fact.data);
  switch (fact.type) {
    case 'NetworkCreateRequested':
      return `network/${fact.data.network.id}`;
    case 'EndpointCreateRequested':
      return `endpoint/${fact.data.endpoint.id}`;
    case 'SandboxCreated':
    case 'SandboxRemoved':
    case 'SandboxLost':
    case 'SandboxRestored':
    case 'SandboxReclaimed':
      return `sandbox/${fact.data.sandbox.id}`;
    case 'HostFacts':
    case 'HostLapsed':
    case 'HostResumed':
    case 'LogRegressed':
    case 'HostLost':
    case 'PeersForgotten':
      return `host/${fact.data.host}`;
    case 'LeaseRenewed':
    case 'LeaseSuspected': {
      const { sandbox, network } = fact.data;
      return sandbox ? `sandbox/${sandbox.id}` : `network/${network?.id}`;
    }
    case 'RealmOpened':
      return `realm/${fact.data.realm}`;
    case 'TunnelKeysRotated':
      return `keys/${fact.data.generation}`;
    case 'CommandRefused':
      return `command/${command}`;
    case 'CommandTimedOut':
    case 'CommandCancelled':
      return `command/${fact.data.actor}/${fact.data.commandId}`;
    case 'DriverConfigureRequested':
    case 'DriverConfigured':
    case 'DriverConfigureFailed':
      return `driver/${fact.data.driver}`;
    // The host ports of an intent of some other command, for several holders perhaps.
    case 'PortsLeased':
      return `intent/${fact.data.intent}`;
    case 'EndpointAdmitted':
    case 'NetworkSettled':
    case 'NetworkUpdateRequested':
    case 'NetworkDeleteRequested':
    case 'NetworkCreated':
    case 'NetworkCreateFailed':
    case 'NetworkUpdated':
    case 'NetworkUpdateFailed':
    case 'NetworkDeleted':
    case 'NetworkDeleteFailed':
      return `network/${fact.data.networkId}`;
    case 'ParkedRetried':
    case 'ParkedDiscarded':
      return `parked/${fact.data.position}.${fact.data.index}`;
    case 'LegalHoldSet':
    case 'LegalHoldLifted':
      return `hold/${fact.data.name}`;
    case 'SegmentOpened':
      return `segment/${fact.data.segment}`;
    case 'SubjectShredded':
      return `subject/${fact.data.subject}`;
    case 'QuotaSet':
      return `actor/${fact.data.actor ?? '*'}`;
    case 'CommandsRefused':
      return `actor/${fact.data.actor}`;
    case 'CapacityStated':
    case 'CapacityPressure':
    case 'CapacityRelieved':
      return `host/${fact.data.host}`;
    default:
      return `endpoint/${fact.data.endpointId}`;
  }
};
