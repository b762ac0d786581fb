/** What falls due for a collector, as commands with ids that are the same whoever computes them. Pure but for the digest of long names. */
import { createHash } from 'node:crypto';
import type { CommandData } from '../../events/commands.ts';
import { isAstray } from '../../events/deciders/outlet.ts';
import { verdictOn } from '../../events/deciders/upkeep.ts';
import type { SandboxFacts } from '../../events/events.ts';
import { expiresMs } from '../../events/lifetime.ts';
import { commandId } from '../../events/names.ts';
import { type Lost, releasedAt } from '../../events/reboots.ts';
import { type BoundaryState, findSandbox, networkOf } from '../../events/state.ts';

/** The actor of collectors: permissions are granted on it. */
export const collectorActor = 'collector';

type AskedType =
  | 'ReleaseSandbox'
  | 'SuspectEndpoint'
  | 'CollectEndpoint'
  | 'ExpireCommand'
  | 'MendSandbox'
  | 'LapseHost'
  | 'SuspectLease'
  | 'ExpireLease'
  | 'DeleteNetwork';
type Asked = { [T in AskedType]: { readonly type: T; readonly data: CommandData<T> } }[AskedType];

/** A command that becomes due at a time, if nothing happens before. */
export interface Due {
  /**
   * `suspect/ENDPOINT/GENERATION`, `collect/ENDPOINT/GENERATION`, `expire/ACTOR/COMMAND`, `mend/SANDBOX/ENDPOINT/GENERATION/...`,
   * `release/SANDBOX/BOOT`, `lapse/HOST/EPOCH`,
   * `doubt/SANDBOX/RENEWALS`, `detach/SANDBOX/RENEWALS`, `delete/NETWORK/RENEWALS`: one per thing to be done.
   */
  readonly name: string;
  readonly dueMs: number;
  readonly command: Asked;
  /** Of the work that it belongs to; left out where a collector has noticed it by itself. */
  readonly work?: { readonly correlationid: string; readonly traceparent?: string };
}

/** A command id leaves 150 characters behind the time; what is asked again needs a few of them. */
const nameMax = 140;

const nameOf = (step: string, what: string): string => {
  const name = `${step}/${what}`;
  if (name.length <= nameMax) return name;
  return `${step}/sha256=${createHash('sha256').update(what).digest('base64url')}`;
};

/**
 * The next step towards collecting an endpoint: suspected once its grace period is over, collected when that was `confirmMs` ago.
 * @param suspectedMs when it was suspected, if it is
 */
export const endpointDue = (
  state: BoundaryState,
  endpointId: string,
  suspectedMs: number | undefined,
  confirmMs: number,
): Due | null => {
  const row = state.endpoints.get(endpointId);
  const verdict = row && verdictOn(state, row);
  if (!row || !verdict || verdict.dueAt === null) return null;
  const data = { endpointId, generation: row.generation };
  const what = `${endpointId}/${row.generation}`;
  const dueMs = Date.parse(verdict.dueAt);
  if (!row.suspected) return { name: nameOf('suspect', what), dueMs, command: { type: 'SuspectEndpoint', data } };
  const graceMs = dueMs - Date.parse(verdict.since);
  const confirmedMs = (suspectedMs ?? dueMs) + Math.min(confirmMs, graceMs);
  return { name: nameOf('collect', what), dueMs: confirmedMs, command: { type: 'CollectEndpoint', data } };
};

/** The end of a command that is under way. */
export const commandDue = (state: BoundaryState, key: string): Due | null => {
  const record = state.progress.get(key);
  if (!record || record.deadline === null) return null;
  const { actor, commandid, correlationid } = record;
  const traced = record.open.map((intent) => state.intents.get(intent)?.meta.traceparent).find((trace) => trace);
  return {
    name: nameOf('expire', `${actor}/${commandid}`),
    dueMs: Date.parse(record.deadline),
    command: { type: 'ExpireCommand', data: { actor, commandId: commandid } },
    work: { correlationid, ...(traced === undefined ? {} : { traceparent: traced }) },
  };
};

/** The end of a sandbox that was lost with a boot of its host, unless somebody wants it back. */
const releaseDue = (facts: SandboxFacts, lost: Lost): Due => {
  const data = { incarnation: facts.incarnation, bootId: lost.bootId };
  const name = nameOf('release', `${data.incarnation}/${data.bootId}`);
  return { name, dueMs: Date.parse(releasedAt(facts, lost)), command: { type: 'ReleaseSandbox', data } };
};

/**
 * The way out that a sandbox needs and does not have, or the other way round. What fails is asked for again when something has happened
 * to one of its endpoints. O(its endpoints).
 */
export const sandboxDue = (state: BoundaryState, incarnation: string): Due | null => {
  const sandbox = state.sandboxes.get(incarnation);
  if (sandbox?.lost && !sandbox.lost.reclaimed) return releaseDue(sandbox.facts, sandbox.lost);
  if (!sandbox || !isAstray(state, sandbox)) return null;
  const rows = sandbox.members.flatMap((id) => state.endpoints.get(id) ?? []);
  const what = rows.map(({ facts: { id }, generation }) => `/${id}/${generation}`).join('');
  const dueMs = Math.max(...rows.map(({ idleSince }) => Date.parse(idleSince)));
  const data = { incarnation };
  return { name: nameOf('mend', `${incarnation}${what}`), dueMs, command: { type: 'MendSandbox', data } };
};

/** The next step towards the end of a sandbox whose lease nobody renews: suspected when it has run out, detached when that was `confirmMs` ago. */
export const leaseDue = (state: BoundaryState, incarnation: string, confirmMs: number): Due | null => {
  const row = state.sandboxes.get(incarnation);
  // While nobody is in it any more it is on its way out already.
  if (!row?.lease || row.status === 'removing' || findSandbox(state, row.facts.id) !== row) return null;
  const { lease } = row;
  const data = { incarnation, renewals: lease.renewals };
  const what = `${incarnation}/${lease.renewals}`;
  if (lease.suspectedAt === null)
    return { name: nameOf('doubt', what), dueMs: expiresMs(lease), command: { type: 'SuspectLease', data } };
  const dueMs = Date.parse(lease.suspectedAt) + Math.min(confirmMs, lease.leaseMs);
  return { name: nameOf('detach', what), dueMs, command: { type: 'ExpireLease', data } };
};

/** The deletion of a network whose lease nobody renews. What is stuck is left to be deleted by whoever sees why. */
export const networkDue = (state: BoundaryState, id: string): Due | null => {
  const row = networkOf(state, id);
  if (!row?.lease || (row.status !== 'active' && row.status !== 'creating')) return null;
  const { renewals } = row.lease;
  const data = { network: id, renewals };
  return {
    name: nameOf('delete', `${id}/${renewals}`),
    dueMs: expiresMs(row.lease),
    command: { type: 'DeleteNetwork', data },
  };
};

const lapseName = (host: string, epoch: number): string => nameOf('lapse', `${host}/${epoch}`);

/** Whether what is named is that a host shows no sign of life in an epoch. */
export const isLapseOf = (name: string | null, host: string, epoch: number): boolean => name === lapseName(host, epoch);

/** That a host's worker has given no sign of life since a time, by the server's clock. */
export const lapseDue = (host: string, epoch: number, sinceMs: number, silentMs: number): Due => {
  const data = { host, epoch, since: new Date(sinceMs).toISOString() };
  return { name: lapseName(host, epoch), dueMs: sinceMs + silentMs, command: { type: 'LapseHost', data } };
};

/**
 * Ids are refused that were minted longer ago than controllers remember, which is a day at least (`CNM_ID_DAYS`): what is overdue for longer
 * takes a later time, the same one for half a day.
 */
const windowMs = 43_200_000;

/** The command's id. `refusals`: how often it was refused although it is due; each time asks anew, under another id. */
export const dueId = ({ name, dueMs }: Due, refusals: number, nowMs: number): string => {
  const windows = Math.max(0, Math.floor((nowMs - dueMs) / windowMs));
  const again = refusals === 0 ? name : name.replace('/', `-${refusals + 1}/`);
  return commandId(dueMs + windows * windowMs, again);
};

/** How long to wait after the n-th refusal of what is due by our clock: the controller's may be behind. */
export const askAgainMs = (refusals: number): number => Math.min(1_000 * 2 ** (refusals - 1), 600_000);

/** The name of what a command id of a collector asks for, or null when it is none of theirs. */
export const nameOfId = (id: string): string | null => {
  const match = /^[0-9a-z]+-(suspect|collect|expire|mend|release|lapse|doubt|detach|delete)(?:-[0-9]+)?(\/.*)$/.exec(
    id,
  );
  return match ? `${match[1]}${match[2]}` : null;
};
