/** What `cnm status` says of services: how they are, what waits, what is missing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { notReady, serviceLines } from '../../services/cli/service-text.ts';
import { missingParts } from '../../services/cli/status.ts';
import type { Status } from '../../services/client/index.ts';
import type { Health } from '../../services/lib/health.ts';

const well: Health = {
  service: 'worker',
  ready: true,
  reasons: [],
  role: null,
  position: 12,
  lag: 0,
  waiting: { intents: 0, reports: 0 },
  progress: {},
  waits: [],
  parked: 0,
  startedAt: '2026-01-05T12:00:00.000Z',
  notice: null,
};
const serviceOf = (name: string, health: Health | null): Status['services'][number] => ({
  name: `cnm-${name}`,
  id: 'x',
  version: '0.1.0',
  metadata: { host: 'h1', pid: '7' },
  health,
});

describe('status', () => {
  it('takes one line for a service that is well', () => {
    assert.deepEqual(serviceLines(serviceOf('worker', well)), [
      'service    worker on h1, pid 7, 0.1.0: ready, at position 12',
    ]);
    // of a version that does not say
    assert.deepEqual(serviceLines(serviceOf('worker', null)), ['service    worker on h1, pid 7, 0.1.0']);
  });

  it('says what waits, for what, and what went wrong last', () => {
    const since = '2026-01-05T12:03:04.000Z';
    const ill: Health = {
      ...well,
      ready: false,
      reasons: [{ code: 'INTENTS_STUCK', says: '2 in stage intents, and none was done for 50 s', since }],
      lag: 3,
      waiting: { intents: 2, reports: 0 },
      waits: ['EndpointJoinRequested of endpoint/e1 (command c1) waits for its turn, 50 s by now'],
      notice: { at: since, level: 'error', says: 'could not be taken back, trying again' },
    };
    assert.deepEqual(serviceLines(serviceOf('worker', ill)), [
      'service    worker on h1, pid 7, 0.1.0: not ready, at position 12, 3 behind, 2 intents',
      '           EndpointJoinRequested of endpoint/e1 (command c1) waits for its turn, 50 s by now',
      '           error at 2026-01-05 12:03:04: could not be taken back, trying again',
    ]);
    assert.deepEqual(notReady([serviceOf('controller', well), serviceOf('worker', ill)]), [
      'worker on h1, pid 7: INTENTS_STUCK since 2026-01-05 12:03:04: 2 in stage intents, and none was done for 50 s',
    ]);
  });

  it('misses a worker that nobody has heard of, and none whose host lives', () => {
    const streams = { commands: null, log: null, lease: null, checkpoint: null, key: null };
    const stream = { messages: 0, bytes: 0, last: 0 };
    const some = ['controller', 'projector', 'collector'].map((name) => serviceOf(name, well));
    const status = (hosts: readonly object[]): Status => ({
      server: { url: '', version: '' },
      streams: Object.fromEntries(Object.keys(streams).map((name) => [name, stream])) as unknown as Status['streams'],
      services: some,
      viewsAt: 1,
      hosts: hosts as Status['hosts'],
    });
    assert.deepEqual(missingParts(status([{ alive: false }])), [
      'no worker runs: start `cnm up`, or `cnm serve worker`',
    ]);
    assert.deepEqual(missingParts(status([{ alive: true }])), []);
  });
});
