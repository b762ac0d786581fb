/** The streams as configuration, and the pure check of an existing stream against what we rely on. */
import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig, type StreamState } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';

/** The streams' names on the server. */
export const STREAMS = {
  commands: 'CNM_COMMANDS',
  log: 'CNM_LOG',
  lease: 'CNM_LEASE',
  checkpoint: 'CNM_CHECKPOINT',
  key: 'CNM_KEY',
} as const;

/** A day longer than command ids are remembered (design.md section 2), so that no command expires that may still be asked for. */
const COMMANDS_MAX_AGE_MS = 31 * 24 * 60 * 60 * 1000;
/** The server's default. Message ids are an optimisation for quick repeats; a longer window costs 211 MB per million ids. */
const DUPLICATE_WINDOW_MS = 2 * 60 * 1000;

export type StreamDefinition = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'subjects'>;

const common = {
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.Old,
  deny_delete: true,
  deny_purge: true,
  allow_direct: true,
  duplicate_window: nanos(DUPLICATE_WINDOW_MS),
  max_age: 0,
  max_bytes: -1,
  max_msgs: -1,
  max_msgs_per_subject: -1,
  max_msg_size: -1,
} as const;

export const commandsStream: StreamDefinition = {
  ...common,
  name: STREAMS.commands,
  description: 'cnmbus: commands, kept as long as their ids are remembered',
  subjects: ['cnm.command.>'],
  max_age: nanos(COMMANDS_MAX_AGE_MS),
};

export const logStream: StreamDefinition = {
  ...common,
  name: STREAMS.log,
  description: 'cnmbus: the log of decisions and outcomes; never trimmed',
  subjects: ['cnm.event.>', 'cnm.outcome.>'],
  allow_atomic: true,
};

export const leaseStream: StreamDefinition = {
  ...common,
  name: STREAMS.lease,
  description: 'cnmbus: who holds which lease; the last message of a subject counts',
  subjects: ['cnm.lease.>'],
  max_msgs_per_subject: 1,
};

/** Apart from the log, so that whoever writes to that one needs no permission here. */
export const checkpointStream: StreamDefinition = {
  ...common,
  name: STREAMS.checkpoint,
  description: 'cnmbus: signed checkpoints of the log; never trimmed',
  subjects: ['cnm.checkpoint'],
};

/**
 * The only one that anything is taken out of: a message that is deleted with erasure is overwritten on disk, where a purge leaves its bytes
 * in the file (measured on nats-server 2.15.1). A second key of a subject is refused, so that none is lost by being replaced.
 */
export const keyStream: StreamDefinition = {
  ...common,
  name: STREAMS.key,
  description: 'cnmbus: keys of sealed values, one a subject; erased when the subject is shredded',
  subjects: ['cnm.key.*'],
  deny_delete: false,
  discard: DiscardPolicy.New,
  discard_new_per_subject: true,
  max_msgs_per_subject: 1,
};

/** Every stream, in the order in which they are made. */
export const streamDefinitions: readonly StreamDefinition[] = [
  commandsStream,
  logStream,
  leaseStream,
  checkpointStream,
  keyStream,
];

/**
 * Why a stream does not give what we rely on, one sentence each; none when it does. Replicas, compression, placement, republishing,
 * duplicate window, metadata and description are the operator's. A limit given by us may be looser on the server, never tighter.
 * @param isSegment the log begins with a segment, wherever that is
 */
export const unsafeSettings = (wanted: StreamDefinition, found: StreamConfig, isSegment = false): readonly string[] => {
  const reasons: string[] = [];
  const must = (holds: boolean, reason: string) => {
    if (!holds) reasons.push(reason);
  };
  const subjects = [...(found.subjects ?? [])].sort().join(' ');
  must(
    subjects === [...wanted.subjects].sort().join(' '),
    `it takes ${subjects || 'no subjects'} instead of ${wanted.subjects.join(' ')}`,
  );
  must(found.storage === StorageType.File, 'it is kept in memory, so a restart of the server loses it');
  must(found.retention === RetentionPolicy.Limits, `its retention is ${found.retention}, which drops what was read`);
  must(wanted.deny_delete === false || found.deny_delete === true, 'messages can be deleted (deny_delete is off)');
  must(wanted.deny_delete === true || found.deny_delete !== true, 'nothing can be erased in it (deny_delete is on)');
  must(found.deny_purge === true, 'it can be purged (deny_purge is off)');
  must(found.allow_rollup_hdrs !== true, 'a message can roll up others (allow_rollup_hdrs is on)');
  must(found.allow_msg_ttl !== true, 'messages can expire one by one (allow_msg_ttl is on)');
  must(found.allow_direct === true, 'it cannot be searched by time (allow_direct is off)');
  must(
    wanted.allow_atomic !== true || found.allow_atomic === true,
    'several subjects cannot be appended to at once (allow_atomic is off)',
  );
  const isOnce = found.discard_new_per_subject === true && found.max_msgs_per_subject === 1;
  must(
    wanted.discard_new_per_subject !== true || isOnce,
    'a message can replace another of its subject (discard_new_per_subject is off, or max_msgs_per_subject is not 1)',
  );
  must(found.no_ack !== true, 'the server does not acknowledge what it stores (no_ack is on)');
  must(found.sealed !== true, 'it is sealed: nothing can be appended');
  must(found.persist_mode !== 'async', 'the server acknowledges before it writes (persist_mode is async)');
  must(
    found.mirror === undefined && (found.sources ?? []).length === 0,
    'it is fed by other streams (mirror or sources)',
  );
  must(found.subject_transform === undefined, 'it stores messages under other subjects (subject_transform)');
  // Where a log was imported, commands go on behind those that it calls decided; a segment goes on behind what was put away.
  const mayStartLater = wanted.name === STREAMS.commands || isSegment;
  must(mayStartLater || (found.first_seq ?? 1) <= 1, `its positions start at ${found.first_seq} instead of 1`);
  for (const limit of ['max_msgs', 'max_bytes', 'max_age', 'max_msgs_per_subject', 'max_msg_size'] as const) {
    const most = found[limit] ?? -1;
    const least = wanted[limit] ?? -1;
    must(most <= 0 || (least > 0 && most >= least), `it drops or refuses messages by ${limit} = ${most}`);
  }
  return reasons;
};

/** Why the log, complete from position 1 or from the segment that it begins with, has lost history already. */
export const lostHistory = (state: StreamState, isSegment = false): readonly string[] => [
  ...(state.first_seq > 1 && !isSegment ? [`everything before position ${state.first_seq} is gone`] : []),
  ...((state.num_deleted ?? 0) > 0 ? [`${state.num_deleted} messages were removed from it`] : []),
];
