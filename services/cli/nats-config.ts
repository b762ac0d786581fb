/** `cnm nats-config`: a server's configuration with accounts, and a key for everybody who is to use it. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Actor, HostName } from '../../events/names.ts';
import type { KeptPlace } from '../nats/kept-place.ts';
import { withFiles } from './audit-streams.ts';
import { type Context, printJson } from './context.ts';
import { type Call, jsonOption, type Spec, UsageError } from './spec.ts';

const named = (kind: 'host' | 'actor', names: readonly string[]): readonly string[] => {
  const schema = kind === 'host' ? HostName : Actor;
  const wrong = names.find((name) => !schema.safeParse(name).success);
  if (wrong !== undefined) throw new UsageError(`${wrong} is no name of ${kind === 'host' ? 'a host' : 'an actor'}`);
  return names;
};

const address = (option: string, text: string): string => {
  const port = Number(/^(?:\[[0-9a-fA-F:]+\]|[^\s:]+):(\d{1,5})$/.exec(text)?.[1]);
  if (port >= 1 && port <= 65_535) return text;
  throw new UsageError(`${option} ${text}: write HOST:PORT`);
};

const tlsOf = (call: Call, kept: KeptPlace['tls']): KeptPlace['tls'] => {
  const [cert, key, ca] = [call.text('tls-cert'), call.text('tls-key'), call.text('tls-ca')];
  if (cert === 'none' && key === undefined && ca === undefined) return null;
  if ((cert === undefined) !== (key === undefined)) throw new UsageError('--tls-cert and --tls-key go together');
  const pair = cert === undefined || key === undefined ? kept : { cert: resolve(cert), key: resolve(key) };
  if (pair === null) {
    if (ca !== undefined) throw new UsageError('--tls-ca takes --tls-cert and --tls-key');
    return null;
  }
  return {
    cert: pair.cert,
    key: pair.key,
    ca: ca === undefined ? (kept?.ca ?? null) : ca === 'none' ? null : resolve(ca),
  };
};

/** What the call says, else what an earlier one has said. */
const placeOf = (call: Call, directory: string, kept: KeptPlace | null): KeptPlace => {
  const [listen, monitor, url] = [call.text('listen'), call.text('monitor'), call.text('url')];
  const [keys, store] = [call.text('keys'), call.text('store')];
  const wrong = url?.split(',').find((one) => !/^(nats|tls):\/\/[^\s/]+/.test(one));
  if (wrong !== undefined) throw new UsageError(`--url ${wrong}: write nats://HOST:PORT`);
  return {
    listen: listen === undefined ? (kept?.listen ?? '0.0.0.0:4222') : address('--listen', listen),
    monitor:
      monitor === undefined
        ? kept === null
          ? '127.0.0.1:8222'
          : kept.monitor
        : monitor === 'none'
          ? null
          : address('--monitor', monitor),
    storeDir: resolve(store ?? kept?.storeDir ?? `${directory}/jetstream`),
    keys: resolve(keys ?? kept?.keys ?? `${directory}/keys`),
    url: url ?? kept?.url ?? 'nats://127.0.0.1:4222',
    tls: tlsOf(call, kept?.tls ?? null),
  };
};

const write = async (call: Call, context: Context): Promise<undefined> => {
  const { writeParties } = await import('../nats/party-files.ts');
  const { keptPlace } = await import('../nats/kept-place.ts');
  const directory = resolve(call.args[0] ?? '');
  const { url, keys, ...place } = placeOf(call, directory, keptPlace(directory));
  for (const path of place.tls ? [place.tls.cert, place.tls.key, place.tls.ca] : [])
    if (path !== null && !existsSync(path)) context.err(`${path} is not here: it has to be where the server is\n`);
  const written = writeParties(directory, {
    hosts: named('host', call.texts('host')),
    actors: named('actor', call.texts('actor')),
    viewers: named('actor', call.texts('viewer')),
    readers: named('actor', call.texts('reader')),
    operators: named('actor', call.texts('operator')),
    remove: call.texts('remove'),
    keys,
    url,
    place,
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
};

const natsConfig: Spec = {
  path: 'nats-config',
  args: ['DIR'],
  summary:
    'write a NATS server configuration with accounts into DIR, and a key for each service, host, actor and viewer; what an earlier call has said stays',
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
    'tls-cert': { value: 'PEM', help: "the server's certificate, with --tls-key; none: no TLS any more" },
    'tls-key': { value: 'PEM', help: 'its private key' },
    'tls-ca': { value: 'PEM', help: 'clients need certificates from these authorities; none: not any more' },
    ...jsonOption,
  },
  run: (call, context) => withFiles(() => write(call, context)),
};

export const natsConfigSpecs: readonly Spec[] = [natsConfig];
