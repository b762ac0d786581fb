// Each line of the log about a command or an event says of which one, so that one search finds all that was said of a piece of work.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

interface Line {
  readonly msg: string;
  readonly commandid?: string;
  readonly correlationid?: string;
  readonly eventid?: string;
  readonly [field: string]: unknown;
}

test('log: decisions and reports are found by command, correlation and event', async () => {
  const lines: Line[] = [];
  const logger = pino({ level: 'debug' }, { write: (text: string) => void lines.push(JSON.parse(text)) });
  const machine = new MemoryMachine();
  const kernel = memoryKernel(machine, { realm, host });
  const system = await new System({ ...memoryStreams(), kernel, runDir: '/run/cnm', logger }).start();
  const [made, refused, failed] = [{ correlationid: 'job-1' }, { correlationid: 'job-2' }, { correlationid: 'job-3' }];
  const create = system.send('CreateNetwork', { name: 'web' }, made);
  await create.outcome;
  const again = system.send('CreateNetwork', { name: 'web' }, refused);
  assert.equal((await again.first).kind, 'refused');
  machine.fail({ when: ({ op, object }) => op !== 'delete' && object.kind === 'veth' });
  const attach = system.send('AttachSandbox', { sandbox: 'a', networks: [{ network: 'web' }] }, failed);
  await attach.first;
  assert.equal((await attach.outcome).status, 'failed');
  await system.quiet();
  const events = await system.events();
  await system.stop();
  const of = (correlationid: string) => lines.filter((line) => line.correlationid === correlationid);
  assert.deepEqual(
    of('job-1').map(({ msg, commandid }) => [msg, commandid]),
    [
      ['decided', create.id],
      ['reported', create.id],
    ],
  );
  assert.deepEqual(
    of('job-2').map(({ msg, commandid, code }) => [msg, commandid, code]),
    [['decided', again.id, 'NETWORK_EXISTS']],
  );
  assert.ok(of('job-3').some(({ msg, type }) => msg === 'reported' && type === 'EndpointJoinFailed'));
  // every id that a line names is one of the log
  const ids = new Set(events.map(({ meta }) => meta.id));
  const named = lines.filter(({ msg }) => msg === 'decided' || msg === 'reported').map(({ eventid }) => eventid ?? '');
  assert.ok(named.length >= 6);
  assert.deepEqual(
    named.filter((id) => !ids.has(id)),
    [],
  );
});
