/** The decider of a host's boundary: one command against the state, answered with facts or a refusal. Pure. */
import type { Command } from './commands.ts';
import { cancelCommand } from './deciders/cancel.ts';
import type { Context, Decision } from './deciders/context.ts';
import { createEndpoint, deleteEndpoint } from './deciders/endpoint.ts';
import { liftLegalHold, setLegalHold, shredSubject } from './deciders/holds.ts';
import { declareHostLost, lapseHost, refuseStopped, resumeHost } from './deciders/hosts.ts';
import { expireLease, renewLease, suspectLease } from './deciders/lease.ts';
import { configureDriver, createNetwork } from './deciders/network.ts';
import { deleteNetwork, pruneNetworks } from './deciders/network-removal.ts';
import { mendSandbox } from './deciders/outlet.ts';
import { discardParked, retryParked } from './deciders/parked.ts';
import { leasePorts } from './deciders/ports.ts';
import { setQuota } from './deciders/quotas.ts';
import { createRealmNetwork } from './deciders/realm.ts';
import { releaseSandbox, restoreSandbox } from './deciders/reboots.ts';
import { attachSandbox, detachSandbox, joinEndpoint, leaveEndpoint, moveSandbox } from './deciders/sandbox.ts';
import { settleIntent } from './deciders/settle.ts';
import { rotateTunnelKeys } from './deciders/tunnels.ts';
import { updateEndpoint, updateNetwork } from './deciders/update.ts';
import { collectEndpoint, expireCommand, suspectEndpoint } from './deciders/upkeep.ts';
import { isOfLog, type OfLog } from './log-commands.ts';
import type { BoundaryState } from './state.ts';

export type { Context, Decision } from './deciders/context.ts';

const decideOnLog = (state: BoundaryState, command: OfLog, context: Context): Decision => {
  switch (command.type) {
    case 'RetryParked':
      return retryParked(state, command.data, context);
    case 'DiscardParked':
      return discardParked(state, command.data, context);
    case 'SetLegalHold':
      return setLegalHold(state, command.data, context);
    case 'LiftLegalHold':
      return liftLegalHold(state, command.data, context);
    case 'SetQuota':
      return setQuota(state, command.data, context);
    case 'ShredSubject':
      return shredSubject(state, command.data, context);
    default:
      return command satisfies never;
  }
};

const decideOnModel = (state: BoundaryState, command: Exclude<Command, OfLog>, context: Context): Decision => {
  switch (command.type) {
    case 'ConfigureDriver':
      return configureDriver(state, command.data, context);
    case 'CreateNetwork': {
      const rules = context.drivers.get(command.data.driver);
      return rules?.scope === 'realm'
        ? createRealmNetwork(state, command.data, rules, context)
        : createNetwork(state, command.data, context);
    }
    case 'UpdateNetwork':
      return updateNetwork(state, command.data, context);
    case 'DeleteNetwork':
      return deleteNetwork(state, command.data, context);
    case 'PruneNetworks':
      return pruneNetworks(state, command.data, context);
    case 'CreateEndpoint':
      return createEndpoint(state, command.data, context);
    case 'UpdateEndpoint':
      return updateEndpoint(state, command.data, context);
    case 'DeleteEndpoint':
      return deleteEndpoint(state, command.data, context);
    case 'JoinEndpoint':
      return joinEndpoint(state, command.data, context);
    case 'LeaveEndpoint':
      return leaveEndpoint(state, command.data, context);
    case 'AttachSandbox':
      return attachSandbox(state, command.data, context);
    case 'MoveSandbox':
      return moveSandbox(state, command.data, context);
    case 'DetachSandbox':
      return detachSandbox(state, command.data, context);
    case 'RestoreSandbox':
      return restoreSandbox(state, command.data, context);
    case 'ReleaseSandbox':
      return releaseSandbox(state, command.data, context);
    case 'SuspectEndpoint':
      return suspectEndpoint(state, command.data, context);
    case 'CollectEndpoint':
      return collectEndpoint(state, command.data, context);
    case 'RenewLease':
      return renewLease(state, command.data, context);
    case 'SuspectLease':
      return suspectLease(state, command.data, context);
    case 'ExpireLease':
      return expireLease(state, command.data, context);
    case 'MendSandbox':
      return mendSandbox(state, command.data, context);
    case 'LeasePorts':
      return leasePorts(state, command.data, context);
    case 'SettleIntent':
      return settleIntent(state, command.data, context);
    case 'LapseHost':
      return lapseHost(state, command.data, context);
    case 'ResumeHost':
      return resumeHost(state, command.data, context);
    case 'DeclareHostLost':
      return declareHostLost(state, command.data, context);
    case 'RotateTunnelKeys':
      return rotateTunnelKeys(state, command.data, context);
    case 'ExpireCommand':
      return expireCommand(state, command.data, context);
    case 'CancelCommand':
      return cancelCommand(state, command.data, context);
    default:
      return command satisfies never;
  }
};

export const decide = (state: BoundaryState, command: Command, context: Context): Decision =>
  refuseStopped(state, command.type, context.host) ??
  (isOfLog(command) ? decideOnLog(state, command, context) : decideOnModel(state, command, context));
