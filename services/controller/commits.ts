/** What a controller appends: batches of a round, guarded and chained, and the empty commits that end a wait. Pure. */
import { batchType, commitHeaders, encodeCommit, eventVersions, joinCommit } from '../../events/envelope.ts';
import { commandId, subjects } from '../../events/names.ts';
import type { CommitHead } from '../lib/commit-head.ts';
import { awaitingText, type Boundary } from '../lib/realm.ts';
import type { Append } from '../lib/stream.ts';
import type { Batch } from './round.ts';

const headersOf = (head: CommitHead | null): Readonly<Record<string, string>> => ({
  [commitHeaders.contentType]: batchType,
  ...(head ? { [commitHeaders.prevHash]: head.hash } : {}),
});

/** Which commands a commit decides. */
export const roundHeader = (from: number, through: number): Readonly<Record<string, string>> => ({
  [commitHeaders.commands]: `${from}-${through}`,
});

const positionOf = (head: CommitHead | null): number => head?.position ?? 0;

/** A batch as it is appended: guarded by the last commit of its boundary, and chained to it. */
export const commitOf = ({ boundary, head, commitId, events }: Batch, from: number, through: number): Append => ({
  subject: boundary.subject,
  body: joinCommit(events),
  id: commitId,
  expectedLast: positionOf(head),
  headers: { ...headersOf(head), ...roundHeader(from, through) },
});

/** A commit of admissions, ahead of the hosts' commits that create what it admits: it names what each of those is guarded by. */
export const admissionOf = (batch: Batch, from: number, hosts: readonly Batch[]): Append => {
  const commit = commitOf(batch, from, batch.decided.at(-1)?.intake.sequence ?? 0);
  const awaits = awaitingText(hosts.map(({ boundary, head }) => [boundary.subject, positionOf(head)]));
  return { ...commit, headers: { ...commit.headers, [commitHeaders.awaits]: awaits } };
};

/** Without any event: a commit that was decided before it cannot be stored any more. @param term that begins with it */
export const fenceOf = ({ subject, head }: Boundary, id: string, term: number | null = null): Append => ({
  subject,
  body: joinCommit([]),
  id,
  expectedLast: positionOf(head),
  headers: { ...headersOf(head), ...(term === null ? {} : { [commitHeaders.term]: String(term) }) },
});

/** The first commit of a log: it says whose it is, and begins the first term. @param id of the commit, and the epoch of the log */
export const openingOf = (realm: string, id: string, nowMs: number): Append => {
  const meta = {
    id: `${id}.0`,
    source: `/cnm/${realm}/controller`,
    subject: `realm/${realm}`,
    time: new Date(nowMs).toISOString(),
    actor: '',
    commandid: commandId(nowMs, 'opening'),
    correlationid: 'opening',
    causationid: 'opening',
  };
  const data = { realm, epoch: id };
  return {
    subject: subjects.realm,
    body: encodeCommit([{ type: 'RealmOpened', version: eventVersions.RealmOpened, data, meta }]),
    id,
    expectedLast: 0,
    headers: { ...headersOf(null), [commitHeaders.term]: '1' },
  };
};
