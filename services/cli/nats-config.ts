/** `cnm nats-config`: a server's configuration with accounts, and a key for everybody who is to use it. */
import { resolve } from 'node:path';
import { Actor, HostName } from '../../events/names.ts';
import { printJson } from './context.ts';
import { jsonOption, type Spec, UsageError } from './spec.ts';

const named = (kind: 'host' | 'actor', names: readonly string[]): readonly string[] => {
  const schema = kind === 'host' ? HostName : Actor;
  const wrong = names.find((name) => !schema.safeParse(name).success);
  if (wrong !== undefined) throw new UsageError(`${wrong} is no name of ${kind === 'host' ? 'a host' : 'an actor'}`);
  return names;
};

const natsConfig: Spec = {
  path: 'nats-config',
  args: ['DIR'],
  summary:
    'write a NATS server configuration with accounts into DIR, and a key for each service, host, actor and viewer',
  options: {
    host: { value: 'NAME', multiple: true, help: 'a machine with a worker' },
    actor: {
      value: 'NAME',
      multiple: true,
      help: 'sends commands under this name, hears and asks what becomes of them',
    },
    viewer: { value: 'NAME', multiple: true, help: 'asks for views; an actor of that name does both' },
    reader: { value: 'NAME', multiple: true, help: 'asks for views, reads the log and watches it; the same' },
    operator: { value: 'NAME', multiple: true, help: 'may do anything: audits, imports, segments, sealing' },
    remove: { value: 'NAME', multiple: true, help: 'a folder of DIR/keys (actor-alice) that is to go' },
    listen: { value: 'HOST:PORT', help: 'where the server listens (0.0.0.0:4222)' },
    monitor: { value: 'HOST:PORT', help: 'its monitoring port (127.0.0.1:8222); none: without' },
    keys: { value: 'DIR', help: 'where the keys lie (DIR/keys)' },
    store: { value: 'DIR', help: 'where it keeps the streams (DIR/jetstream)' },
    url: { value: 'URL', help: 'where the others find it (nats://127.0.0.1:4222)' },
    'tls-cert': { value: 'PEM', help: "the server's certificate, with --tls-key" },
    'tls-key': { value: 'PEM', help: 'its private key' },
    'tls-ca': { value: 'PEM', help: 'clients need certificates from these authorities' },
    ...jsonOption,
  },
  run: async (call, context) => {
    const { writeParties } = await import('../nats/party-files.ts');
    const [cert, key] = [call.text('tls-cert'), call.text('tls-key')];
    if ((cert === undefined) !== (key === undefined)) throw new UsageError('--tls-cert and --tls-key go together');
    const ca = call.text('tls-ca');
    if (ca !== undefined && cert === undefined) throw new UsageError('--tls-ca takes --tls-cert and --tls-key');
    const directory = resolve(call.args[0] ?? '');
    const monitor = call.text('monitor') ?? '127.0.0.1:8222';
    const written = writeParties(directory, {
      hosts: named('host', call.texts('host')),
      actors: named('actor', call.texts('actor')),
      viewers: named('actor', call.texts('viewer')),
      readers: named('actor', call.texts('reader')),
      operators: named('actor', call.texts('operator')),
      remove: call.texts('remove'),
      ...(call.text('keys') === undefined ? {} : { keys: resolve(call.text('keys') ?? '') }),
      url: call.text('url') ?? 'nats://127.0.0.1:4222',
      place: {
        listen: call.text('listen') ?? '0.0.0.0:4222',
        monitor: monitor === 'none' ? null : monitor,
        storeDir: resolve(call.text('store') ?? `${directory}/jetstream`),
        tls:
          cert === undefined || key === undefined
            ? null
            : { cert: resolve(cert), key: resolve(key), ca: ca === undefined ? null : resolve(ca) },
      },
    });
    if (call.flag('json')) printJson(context, written);
    else {
      context.out(`${written.config}\n`);
      for (const { name, folder, isNew } of written.parties)
        context.out(`  ${name.padEnd(24)} ${isNew ? 'new ' : 'kept'} ${folder}\n`);
      context.out(
        'Give each its folder (a seed and its settings), and nobody else. A running server takes it by `nats-server --signal reload`, twice, a second apart.\n',
      );
    }
    return undefined;
  },
};

export const natsConfigSpecs: readonly Spec[] = [natsConfig];
