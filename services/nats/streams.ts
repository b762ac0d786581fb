/** Makes the streams on first use, and refuses a server or a stream that cannot keep our promises. */
import { JetStreamApiError, type JetStreamManager, jetstreamManager, type StreamInfo } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { openedThrough, segmentIn } from '../lib/opening.ts';
import { checkActors } from './anyone.ts';
import { describeError, isDenied } from './fault.ts';
import { apiPrefixOf } from './link.ts';
import type { Problem } from './problem.ts';
import { FetchedMessage } from './stored-message.ts';
import {
  checkpointStream,
  logStream,
  lostHistory,
  STREAMS,
  type StreamDefinition,
  streamDefinitions,
  unsafeSettings,
} from './stream-config.ts';
import { checkSync, type SyncEvidence } from './sync.ts';

/** Atomic batches and their message ids; an older server takes our guards and ignores them silently. */
export const SERVER_VERSION_LEAST = { major: 2, minor: 12 } as const;
/** `api.level` of 2.12.0. */
const API_LEVEL_LEAST = 2;
/** A commit is at most 256 KB (design.md section 3); headers and one over-long event on top. */
const PAYLOAD_LEAST_BYTES = 512 * 1024;
const TIMEOUT_MS = 5_000;

const NAME_IN_USE = 10058;
const NO_SUCH_STREAM = 10059;
/** More copies than servers, which is said before it is looked whether the stream is there. */
const TOO_MANY_REPLICAS = 10074;
const MAY_EXIST: ReadonlySet<number> = new Set([NAME_IN_USE, TOO_MANY_REPLICAS]);

export interface ProvisionOptions {
  readonly sync: SyncEvidence;
  /** False: only check that the streams are there, for processes without the permission to make them. */
  readonly create?: boolean;
  /** Copies of each stream that is made now; 1 when left out. Those of existing streams are the operator's. */
  readonly replicas?: 1 | 3;
  /** The operator answers for it that every user publishes under its own actor only: then the server has to know who is who. */
  readonly actorsProven?: boolean;
}

export type Provisioned =
  | { readonly ok: true; readonly serverVersion: string; readonly streams: typeof STREAMS }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Checks the server, makes the streams that are missing and checks those that are there; all problems at once. Doing it again, or in
 * several processes at the same time, changes nothing. An existing stream is never changed: where its settings break a guarantee, it is
 * refused with the settings and the reason.
 */
export const provision = async (connection: NatsConnection, options: ProvisionOptions): Promise<Provisioned> => {
  const server = connection.info;
  if (server === undefined) return { ok: false, problems: [noAnswer('the connection is closed')] };
  const serverProblems = [
    ...checkVersion(server.version),
    ...checkPayload(server.max_payload),
    ...(options.actorsProven ? await checkActors(connection, options.sync) : []),
  ];
  if (serverProblems.some(({ code }) => code === 'SERVER_TOO_OLD')) return { ok: false, problems: serverProblems };
  const manager = await jetstreamManager(connection, {
    checkAPI: false,
    timeout: TIMEOUT_MS,
    apiPrefix: apiPrefixOf(connection),
  });
  const jetStreamProblems = await checkJetStream(manager, server.jetstream === true);
  if (jetStreamProblems.length > 0) return { ok: false, problems: [...serverProblems, ...jetStreamProblems] };
  const problems = [...serverProblems, ...(await checkSync(options.sync, server.server_id))];
  // a server that must not be used gets no streams either
  if (options.create !== false && problems.length === 0 && (await isLogGone(manager))) problems.push(logGone);
  const create = options.create !== false && problems.length === 0;
  for (const definition of streamDefinitions) {
    const wanted = { ...definition, num_replicas: options.replicas ?? 1 };
    problems.push(...(await ensureStream(manager, wanted, create, options.create === false)));
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, serverVersion: server.version, streams: STREAMS };
};

/** `a.b.c` with whatever behind; null when it is no version. */
const parseVersion = (text: string): { major: number; minor: number } | null => {
  const match = /^v?(\d+)\.(\d+)/.exec(text);
  return match === null ? null : { major: Number(match[1]), minor: Number(match[2]) };
};

export const isNewEnough = (text: string): boolean => {
  const version = parseVersion(text);
  if (version === null) return false;
  const { major, minor } = SERVER_VERSION_LEAST;
  return version.major > major || (version.major === major && version.minor >= minor);
};

const checkVersion = (version: string): readonly Problem[] => {
  if (isNewEnough(version)) return [];
  const least = `${SERVER_VERSION_LEAST.major}.${SERVER_VERSION_LEAST.minor}`;
  const text = `The NATS server is version ${version}; it would take our guarded and atomic appends and ignore the guards.`;
  return [{ code: 'SERVER_TOO_OLD', text, remedy: `Use nats-server ${least} or newer.` }];
};

const checkPayload = (bytes: number): readonly Problem[] => {
  if (bytes >= PAYLOAD_LEAST_BYTES) return [];
  const text = `The NATS server takes messages of at most ${bytes} bytes.`;
  return [
    {
      code: 'PAYLOAD_TOO_SMALL',
      text,
      remedy: `Set max_payload to ${PAYLOAD_LEAST_BYTES} or more (the default is 1 MB).`,
    },
  ];
};

const checkJetStream = async (manager: JetStreamManager, onServer: boolean): Promise<readonly Problem[]> => {
  try {
    const { api } = await manager.getAccountInfo();
    if ((api.level ?? 0) >= API_LEVEL_LEAST) return [];
    const text = `JetStream answers at API level ${api.level ?? 0}, so some server of the cluster is older than the one we are connected to.`;
    return [{ code: 'SERVER_TOO_OLD', text, remedy: 'Upgrade all servers of the cluster.' }];
  } catch (error) {
    if (!isNamed(error, 'JetStreamNotEnabled')) return [requestProblem('JetStream', error)];
    const where = onServer ? 'for this account' : 'on this server';
    const remedy =
      'Put a jetstream block with a store_dir into the configuration, and jetstream: enabled into the account.';
    return [{ code: 'JETSTREAM_OFF', text: `JetStream is not enabled ${where}.`, remedy }];
  }
};

const ensureStream = async (
  manager: JetStreamManager,
  wanted: StreamDefinition,
  create: boolean,
  mustExist: boolean,
): Promise<readonly Problem[]> => {
  let info: StreamInfo;
  try {
    info = await findOrAdd(manager, wanted, create);
  } catch (error) {
    if (isMissing(error)) {
      const remedy = 'Start cnm up, or any service that may create streams (a controller), once.';
      return mustExist || create
        ? [{ code: 'STREAM_MISSING', text: `The stream ${wanted.name} does not exist.`, remedy }]
        : [];
    }
    return [requestProblem(`the stream ${wanted.name}`, error)];
  }
  const isSegment = wanted.name === logStream.name && (await beginsSegment(manager, info));
  const reasons = unsafeSettings(wanted, info.config, isSegment);
  const lost = wanted.name === logStream.name ? lostHistory(info.state, isSegment) : [];
  return [
    ...reasons.map(
      (reason): Problem => ({
        code: 'STREAM_UNSAFE',
        text: `The stream ${wanted.name} is unsafe: ${reason}.`,
        remedy: UNSAFE_REMEDY,
      }),
    ),
    ...lost.map(
      (reason): Problem => ({
        code: 'HISTORY_LOST',
        text: `The stream ${wanted.name} is not whole: ${reason}.`,
        remedy: LOST_REMEDY,
      }),
    ),
  ];
};

/** Whether what a log begins with is a segment, all of it. */
const beginsSegment = async (manager: JetStreamManager, { config, state }: StreamInfo): Promise<boolean> => {
  if (state.first_seq <= 1) return false;
  const stored = await manager.streams.getMessage(config.name, { seq: state.first_seq }).catch(() => null);
  const segment = stored && segmentIn(new FetchedMessage(stored));
  return segment?.first === state.first_seq && state.last_seq >= openedThrough(segment);
};

/** A log that somebody has signed, and that is not there, is not begun anew. */
const isLogGone = async (manager: JetStreamManager): Promise<boolean> => {
  if (!(await manager.streams.info(logStream.name).then(() => false, isMissing))) return false;
  const signed = await manager.streams.info(checkpointStream.name).catch(() => null);
  return (signed?.state.messages ?? 0) > 0;
};

const logGone: Problem = {
  code: 'HISTORY_LOST',
  text: `The stream ${logStream.name} is not there, and checkpoints of it are.`,
  remedy: 'If cnm audit segment was interrupted, run it again with the same file; else restore the log from an export.',
};

const UNSAFE_REMEDY =
  'We do not change a stream that we did not make. Correct it, or export and remove it, then start again.';
const LOST_REMEDY = 'Restore the log from an export, or point cnmbus to another NATS account.';

const isMissing = (error: unknown): boolean => error instanceof JetStreamApiError && error.code === NO_SUCH_STREAM;

/** Looks first: most who come may not make any, and a server logs each attempt. Who may not finds it missing. */
const findOrAdd = async (manager: JetStreamManager, wanted: StreamDefinition, create: boolean): Promise<StreamInfo> => {
  try {
    return await manager.streams.info(wanted.name);
  } catch (missing) {
    if (!create || !isMissing(missing)) throw missing;
    return addOrFind(manager, wanted).catch((error) => {
      throw isDenied(error) || isNamed(error, 'JetStreamNotEnabled') ? missing : error;
    });
  }
};

const addOrFind = async (manager: JetStreamManager, wanted: StreamDefinition): Promise<StreamInfo> => {
  try {
    // the same settings as an existing stream's: it is left as it is
    return await manager.streams.add({ ...wanted });
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || !MAY_EXIST.has(error.code)) throw error;
    return manager.streams.info(wanted.name).catch(() => {
      throw error;
    });
  }
};

/** The library's errors of this kind are not exported as classes. */
const isNamed = (error: unknown, name: string): boolean => error instanceof Error && error.name === name;

const noAnswer = (why: string): Problem => ({
  code: 'NO_ANSWER',
  text: `The NATS server did not answer: ${why}.`,
  remedy: 'Look at the server; in a cluster a leader may be missing.',
});

const requestProblem = (what: string, error: unknown): Problem => {
  const said = describeError(error);
  if (error instanceof JetStreamApiError) {
    const text = `The NATS server refuses ${what}: ${said} (${error.code}).`;
    return {
      code: 'STREAM_REFUSED',
      text,
      remedy: 'Mend what the server names: overlapping subjects, limits of the account, or storage.',
    };
  }
  if (/permission/i.test(said)) {
    const text = `We are not permitted to ask for ${what}: ${said}.`;
    return {
      code: 'NOT_PERMITTED',
      text,
      remedy: 'Grant this role $JS.API.INFO and $JS.API.STREAM.INFO, or CREATE to the one that makes streams.',
    };
  }
  return noAnswer(`${what}: ${said}`);
};
