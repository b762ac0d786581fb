// The way of a command as a trace: published, decided, appended, executed, reported, each linked to what it acts on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../../services/client/index.ts';
import { takeIn } from '../../services/controller/intake.ts';
import { tracedStream } from '../../services/lib/traced-stream.ts';
import { type FakeSpan, fakeTelemetry } from '../support/fake-otel.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { actor, host, memoryStreams, natsStreams, realm, System } from '../support/system.ts';

const trace = (n: number) => `00-${String(n).padStart(32, '1')}-${String(n).padStart(16, '2')}-01`;
const linkTo = (n: number) => `${String(n).padStart(32, '1')}/${String(n).padStart(16, '2')}`;

test('a command is decided, executed and reported in spans that link to it, with their appends below them', async () => {
  const { tracing, spans } = fakeTelemetry();
  const { log, commands } = memoryStreams();
  const kernel = memoryKernel(new MemoryMachine(), { realm, host });
  const options = { log: tracedStream(log, tracing), commands, kernel, runDir: '/run/cnm', tracing };
  const system = await new System(options).start();
  await system.send('CreateNetwork', { name: 'web' }, { traceparent: trace(1) }).outcome;
  await system.send('AttachSandbox', { sandbox: 'a', networks: [{ network: 'web' }] }, { traceparent: trace(2) })
    .outcome;
  await system.stop();
  const linked = (n: number): readonly FakeSpan[] => spans.filter(({ links }) => links.includes(linkTo(n)));
  for (const n of [1, 2]) {
    const names = linked(n).map(({ name }) => name);
    assert.deepEqual(names, [
      'process cnm.command.{actor}.{host}',
      'process cnm.event.host.{host}',
      'report cnm.outcome.{host}',
    ]);
    const [decide, , report] = linked(n);
    const below = (span: FakeSpan | undefined) =>
      spans.filter(({ parent }) => parent === span?.spanId).map(({ name }) => name);
    assert.ok(below(decide).includes('publish cnm.event.host.{host}'), String(below(decide)));
    assert.deepEqual(below(report), ['publish cnm.outcome.{host}']);
    // nobody grafts onto the trace of a command, which may have been published days ago
    assert.ok(linked(n).every(({ traceId }) => traceId !== linkTo(n).split('/')[0]));
  }
  assert.deepEqual(
    spans.filter(({ ended, failed }) => !ended || failed !== null),
    [],
  );
});

test('a client puts its span into body and header of the command, or what its caller gave', async (t) => {
  const streams = await natsStreams();
  t.after(() => streams.stop());
  const { tracing, spans } = fakeTelemetry();
  const client = await connect({ url: streams.nats.url, actor, tracing });
  t.after(() => client.close());
  for (const options of [{}, { traceparent: trace(7) }])
    await assert.rejects(
      client.send('CreateNetwork', { name: 'web' }, { ...options, signal: AbortSignal.timeout(300) }),
    );
  const [own, given] = [await streams.commands.get(1), await streams.commands.get(2)];
  const [span, other] = spans;
  assert.deepEqual(
    [span, other].map((one) => [one?.name, one?.kind, one?.attributes['cnm.command']]),
    Array(2).fill(['publish cnm.command.{actor}.{host}', 3, 'CreateNetwork']),
  );
  assert.deepEqual(other?.links, [linkTo(7)]);
  const wanted = [`00-${span?.traceId}-${span?.spanId}-01`, trace(7)];
  assert.deepEqual(
    [own, given].map((message) => message?.header('traceparent')),
    wanted,
  );
  assert.deepEqual(
    [own, given].map((message) => message && takeIn(message).traceparent),
    wanted,
  );
});

test('a sender that knows the header alone is taken at it, and only where it is a trace context', async () => {
  const { commands } = memoryStreams();
  const taken = async (header: string, body: object) => {
    const headers = { traceparent: header };
    const id = String(await commands.last());
    await commands.append({ subject: 'cnm.command.a.h1', body: JSON.stringify(body), id, headers });
    const message = await commands.get(await commands.last());
    return message && takeIn(message).traceparent;
  };
  assert.equal(await taken(trace(3), {}), trace(3));
  assert.equal(await taken(trace(3), { traceparent: trace(4) }), trace(4));
  assert.equal(await taken('no trace', {}), undefined);
});
