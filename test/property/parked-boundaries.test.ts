// What cannot be folded stops the boundary that it stands on and no other; once it is discarded all is as if it had never been there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Event, encodeEvent, eventVersions, joinCommit, toCloudEvent } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import type { BoundaryState } from '../../events/state.ts';
import { originOf } from '../../projections/origin.ts';
import { applyMessage, boundaryOf, emptyRealm, type Realm } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { historyOf, type RandomCommit } from '../support/random-history.ts';
import { rollsOf, unit } from './histories.ts';

const rolls = rollsOf({ minLength: 30, maxLength: 150 });

const tables = [
  'networks',
  'endpoints',
  'sandboxes',
  'intents',
  'commands',
  'progress',
  'expired',
  'facts',
  'drivers',
] as const;

/** All that can be told of a state, rows sorted by key: their order is nobody's after something was taken back. */
const contentOf = (state: BoundaryState): unknown =>
  Object.fromEntries(
    tables.map((name) => [name, [...state[name]].map((entry) => JSON.stringify(entry, plain)).sort()]),
  );
const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

const bodyOf = (events: readonly Event[]): string => joinCommit(events.map(encodeEvent));
const spoilt = (events: readonly Event[], index: number): string =>
  joinCommit(
    events.map((event, n) =>
      n === index ? JSON.stringify({ ...toCloudEvent(event), data: null }) : encodeEvent(event),
    ),
  );

const messagesOf = async (
  commits: readonly { readonly subject: string; readonly body: string }[],
): Promise<readonly Message[]> => {
  const log = memoryStream('CNM_LOG');
  for (const [n, { subject, body }] of commits.entries()) await log.append({ subject, body, id: `c${n}` });
  return log.stored();
};

const foldOf = (messages: readonly Message[], seen: { parked: string[]; released: string[] }): Realm => {
  const realm = emptyRealm();
  for (const message of messages)
    applyMessage(realm, message, {
      parked: ({ subject }) => seen.parked.push(subject),
      released: ({ subject }) => seen.released.push(subject),
    });
  return realm;
};

const decisionOf = (type: 'ParkedDiscarded' | 'ParkedRetried', position: number, index: number, like: Event): Event =>
  ({
    ...{ type, version: eventVersions[type], data: { position, index, reason: 'never' } },
    meta: {
      ...like.meta,
      id: `${type}.0`,
      commandid: type,
      commandtype: 'DiscardParked',
      subject: `parked/${position}.${index}`,
    },
  }) as Event;

const seen = { cases: 0, waited: 0 };

/** Position in the log is counted from 1, so that what stands before a decision keeps its place. */
const check = async (commits: readonly RandomCommit[], at: number, which: number, behind: number): Promise<void> => {
  const commit = commits[Math.floor(at * commits.length)];
  const host = commit && originOf(commit.subject).host;
  if (!commit || !host) return;
  const [{ position }, index] = [commit, Math.floor(which * commit.events.length)];
  const like = commit.events[0] as Event;
  const settledAt = position + Math.floor(behind * (commits.length - position));
  const decided = (type: 'ParkedDiscarded' | 'ParkedRetried') => ({
    subject: subjects.realm,
    body: bodyOf([decisionOf(type, position, index, like)]),
  });
  const stored = commits.map(({ subject, events, position: own }) => ({
    subject,
    body: own === position ? spoilt(events, index) : bodyOf(events),
  }));
  const without = commits.map(({ subject, events, position: own }) => ({
    subject,
    body: bodyOf(events.filter((_, n) => own !== position || n !== index)),
  }));
  const others = commits.map(({ subject, events, position: own }) => ({
    subject,
    body: bodyOf(own >= position && originOf(subject).host === host ? [] : events),
  }));
  const told = { parked: [] as string[], released: [] as string[] };
  const parked = foldOf(
    await messagesOf([...stored.slice(0, settledAt), decided('ParkedRetried'), ...stored.slice(settledAt)]),
    told,
  );
  const expected = foldOf(
    await messagesOf([...others.slice(0, settledAt), decided('ParkedRetried'), ...others.slice(settledAt)]),
    { parked: [], released: [] },
  );
  assert.deepEqual(
    told,
    { parked: [subjects.host(host), subjects.host(host)], released: [] },
    'parked, and again once it was retried',
  );
  assert.equal(boundaryOf(parked, host).parked?.position, position);
  for (const [subject, { state }] of parked.boundaries) {
    const wanted = expected.boundaries.get(subject);
    assert.deepEqual(
      contentOf(state),
      wanted && contentOf(wanted.state),
      `${subject} while ${position}.${index} is parked`,
    );
  }
  const again = { parked: [] as string[], released: [] as string[] };
  const discarded = foldOf(
    await messagesOf([...stored.slice(0, settledAt), decided('ParkedDiscarded'), ...stored.slice(settledAt)]),
    again,
  );
  const clean = foldOf(
    await messagesOf([...without.slice(0, settledAt), decided('ParkedDiscarded'), ...without.slice(settledAt)]),
    { parked: [], released: [] },
  );
  assert.deepEqual(again, { parked: [subjects.host(host)], released: [subjects.host(host)] });
  for (const [subject, { state, head, outcomeHead }] of discarded.boundaries) {
    const wanted = clean.boundaries.get(subject);
    assert.deepEqual(
      contentOf(state),
      wanted && contentOf(wanted.state),
      `${subject} once ${position}.${index} is discarded`,
    );
    assert.deepEqual([head?.position, outcomeHead?.position], [wanted?.head?.position, wanted?.outcomeHead?.position]);
  }
  seen.cases++;
  seen.waited += commits.filter(
    ({ subject, position: own }) => own > position && own <= settledAt && originOf(subject).host === host,
  ).length;
};

test('parked boundaries: others are as without what is parked, and all once it is discarded as without it alone', async () => {
  const property = fc.asyncProperty(rolls, unit, unit, unit, (rolled, at, which, behind) =>
    check(historyOf(rolled).commits, at, which, behind),
  );
  await fc.assert(property, { numRuns: 80, endOnFailure: true });
  assert.ok(seen.cases > 50 && seen.waited > 300, JSON.stringify(seen));
});
