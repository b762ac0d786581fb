/** `cnm audit segment`: the log is put away into a file, and goes on from what it added up to. */
import { resolve } from 'node:path';
import { findState } from '../up/state-file.ts';
import { acceptedOf, acceptOption } from './accepted.ts';
import { withConnection, withFiles } from './audit-streams.ts';
import { type Context, printJson } from './context.ts';
import { jsonOption, type Spec, UsageError } from './spec.ts';

/** The server that runs, or the embedded one for as long as it takes: with `cnm up` it would run, and must not. */
const withIdleServer = async <T>(context: Context, work: (url: string) => Promise<T>): Promise<T> => {
  const { config, clock } = context;
  const url = config.natsUrl ?? findState(config)?.url;
  if (url !== undefined) return work(url);
  const { embeddedServer } = await import('../up/server.ts');
  const { silentLogger } = await import('../lib/logger.ts');
  const server = await embeddedServer(config, silentLogger(), clock);
  try {
    return await work(server.url);
  } finally {
    await server.stop();
  }
};

export const segmentSpec: Spec = {
  path: 'audit segment',
  args: ['FILE'],
  summary: 'put the log away into a file; it goes on with all that it has added up to. Nothing of ours may run',
  options: {
    yes: { help: 'the file is then the only copy of what was before' },
    key: {
      value: 'PEM',
      multiple: true,
      help: 'public key of checkpoints that others have signed; several may be given',
    },
    ...acceptOption,
    ...jsonOption,
  },
  run: async (call, context) => {
    const [name = ''] = call.args;
    const { config, clock } = context;
    const accepted = acceptedOf(call);
    if (!call.flag('yes'))
      throw new UsageError('--yes is missing: FILE will be the only copy of what was before', segmentSpec);
    if (/\.(gz|zst)$/.test(name)) throw new UsageError('it is written plain; compress a copy of it', segmentSpec);
    const { readSigningKey, readVerifyingKeys } = await import('../audit/keys.ts');
    const { SegmentFault } = await import('../audit/segment-fault.ts');
    const { putAway } = await import('../audit/segment.ts');
    const { discover } = await import('../client/status.ts');
    const { liveWorkers } = await import('../nats/live-workers.ts');
    const keyFile = config.checkpointKeyFile;
    if (keyFile === null)
      throw new SegmentFault('SEGMENT_UNSIGNED', 'CNM_CHECKPOINT_KEY_FILE names no key to sign the segment with');
    const [key, keys] = [
      await withFiles(() => readSigningKey(keyFile)),
      await withFiles(() => readVerifyingKeys(call.texts('key'))),
    ];
    const done = await withIdleServer(context, (url) =>
      withConnection(context, url, async (connection) => {
        const answering = (await discover(connection)).map((service) => service.name);
        const workers = await liveWorkers(connection, clock);
        const running = [...answering, ...workers.map((host) => `the worker of ${host}`)];
        if (running.length > 0) throw new SegmentFault('SEGMENT_IN_USE', `stop these first: ${running.join(', ')}`);
        return await withFiles(() => putAway({ connection, file: resolve(name), key, keys, clock, accepted }));
      }),
    );
    if (call.flag('json')) printJson(context, done);
    else {
      const { segment, first, file, sha256, messages } = done;
      context.out(
        `segment ${segment} begins at position ${first}\n${messages} messages are in ${file}, sha256 ${sha256}\n`,
      );
    }
    return undefined;
  },
};
