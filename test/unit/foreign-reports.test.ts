// Reports that somebody else's program wrote: they count when they fit, and hurt nobody when they do not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cloudType,
  decodeCommit,
  type Event,
  encodeCommit,
  eventVersions,
  UnreadableCommit,
  unfitReports,
} from '../../events/envelope.ts';
import { applyMessage, boundaryOf, emptyRealm, knownHosts } from '../../services/lib/realm.ts';
import { hostFacts } from '../support/world.ts';

const subject = 'cnm.outcome.fab-1';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const foreign = {
  specversion: '1.0',
  id: 'commit.0',
  type: 'cnm.EndpointJoinFailed.v1',
  source: '/fabric/fab-1',
  subject: 'endpoint/endpoint0001',
  time: '2026-01-05T12:00:00.000Z',
  actor: 'alice',
  commandid: 'mhx3k2p1-x',
  correlationid: 'job-7',
  causationid: 'intent.0',
  data: {
    endpointId: 'endpoint0001',
    networkId: 'network00001',
    name: 'e',
    sandbox: { id: 's', incarnation: 'sandbox00001' },
    fault: { code: 'SWITCH_DOWN', step: '', errno: '', text: 'no', retryable: true },
  },
};
const commit = (...events: readonly object[]): Uint8Array => bytes(JSON.stringify(events));
const stated = (host: string): object => ({
  ...foreign,
  type: cloudType('HostFacts', eventVersions.HostFacts),
  data: hostFacts(host),
});

test('a report that fits counts, with what may be left out', () => {
  const [event, ...more] = decodeCommit(commit({ ...foreign, extension: 'kept' }), subject);
  assert.deepEqual(more, []);
  assert.ok(event?.type === 'EndpointJoinFailed');
  assert.deepEqual(event.data.fault.undoFaults, []);
  assert.equal(event.meta.causationid, 'intent.0');
  assert.equal(unfitReports(commit(foreign), subject), null);
});

test('a report that does not fit counts for nothing, and it is said why', () => {
  const { data } = foreign;
  const wrong: readonly (readonly [Uint8Array, RegExp])[] = [
    [bytes('hello'), /no JSON/],
    [bytes('7'), /expected array/],
    [bytes(JSON.stringify(foreign)), /expected array/],
    [commit(foreign, { ...foreign, type: 'cnm.EndpointJoind.v1' }), /event 1: .*unknown/],
    [commit({ ...foreign, type: 'cnm.EndpointJoinFailed.v99' }), /newer than v1/],
    [commit({ ...foreign, type: 'EndpointJoinFailed' }), /unknown/],
    [commit({ ...foreign, data: { ...data, fault: 'broken' } }), /EndpointJoinFailed\.v1: .*fault/s],
    [commit({ ...foreign, data: undefined }), /at \[0\]\.data/],
    [commit({ ...foreign, time: 'today' }), /time/],
    [commit({ ...foreign, causationid: null }), /causationid/],
    [commit({ ...foreign, source: undefined }), /source/],
    [commit({ ...foreign, type: 'cnm.EndpointDeleteRequested.v1' }), /decision/],
    [commit(stated('h1')), /facts of host h1 on the subject of host fab-1/],
    [bytes('[null]'), /expected object/],
  ];
  for (const [body, why] of wrong) {
    assert.deepEqual(decodeCommit(body, subject), [], String(why));
    assert.match(unfitReports(body, subject) ?? '', why);
  }
});

test('what our own services write is taken as it is: a reader stops at what it cannot read', () => {
  const own: Event = { type: 'NetworkDeleted', version: 1, data: { networkId: 'n', name: 'w' }, meta: { ...foreign } };
  const body = encodeCommit([{ ...own, data: { networkId: 'network00001', name: 'w' } }]).replace(
    '/fabric/fab-1',
    '/cnm/default/worker/h1',
  );
  assert.equal(decodeCommit(bytes(body), subject).length, 1);
  assert.throws(() => decodeCommit(bytes(body.replace('.v1', '.v2')), subject), UnreadableCommit);
  assert.throws(() => decodeCommit(bytes('hello'), 'cnm.event.host.fab-1'), UnreadableCommit);
});

test('a log with nonsense in it is folded on, and the head of the subject is known for the chain', () => {
  const realm = emptyRealm();
  const message = (position: number, body: Uint8Array) => ({
    ...{ position, recordedMs: 0, subject, header: () => '', headers: () => [], body, pending: 0 },
  });
  applyMessage(realm, message(1, commit(stated('fab-1'))));
  applyMessage(realm, message(2, bytes('{')));
  applyMessage(realm, message(3, commit({ ...foreign, data: {} })));
  assert.deepEqual([...knownHosts(realm).keys()], ['fab-1']);
  assert.equal(realm.position, 3);
  assert.equal(boundaryOf(realm, 'fab-1').outcomeHead?.position, 3);
});
