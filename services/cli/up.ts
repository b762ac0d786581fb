/** `cnm up` and `cnm serve`: start, say so in one line, and stop in order at a signal. */
import { abortable } from '../client/abortable.ts';
import type { Config, LogLevel } from '../lib/config.ts';
import { createLogger } from '../lib/logger.ts';
import { isRegressed } from '../nats/fault.ts';
import { publicUrl } from '../nats/public-url.ts';
import { missingCapabilities } from '../up/privileges.ts';
import { type ServiceName, serviceNames } from '../up/service-names.ts';
import { startUp, type Up } from '../up/up.ts';
import { type Context, printJson } from './context.ts';
import { exits, report } from './failures.ts';
import { type Call, jsonOption, type Spec, UsageError } from './spec.ts';
import { untilSignal } from './until-signal.ts';

/** A person who looks at it wants to see what is wrong, a file everything. */
const levelOf = ({ config, errIsTerminal }: Context): LogLevel => config.logLevel ?? (errIsTerminal ? 'warn' : 'info');

/** What the command line needs to find this one, where it is not the usual place. */
const environmentOf = ({ runDir, rootless }: Config): string =>
  rootless || runDir === '/run/cnm' ? '' : `CNM_RUN_DIR=${runDir} `;

const summaryJson = ({ url, httpUrl, startedInMs }: Up): object => ({
  url,
  pid: process.pid,
  startedInMs,
  ...(httpUrl === null ? {} : { httpUrl }),
});

const summary = (config: Config, { url, httpUrl, startedInMs }: Up): string => {
  const { host, realm, dataDir, rootless, natsUrl } = config;
  const cnm = `${environmentOf(config)}npx cnm`;
  const where = natsUrl === null ? `data in ${dataDir}` : 'on an external server';
  return [
    `cnm is up at ${publicUrl(url)} (host ${host}, realm ${realm}, ${where}; ${(startedInMs / 1000).toFixed(1)} s)`,
    ...(httpUrl === null ? [] : [`metrics at ${httpUrl}/metrics, health at ${httpUrl}/ready`]),
    ...(rootless ? ['rootless: networks live in namespaces of their own, and end with this process'] : []),
    'try it:',
    `  ${cnm} network create web`,
    `  ${cnm} sandbox attach c1 --network web`,
    `  ${cnm} sandbox exec c1 -- ip address`,
    '',
  ].join('\n');
};

/** One line that says so, and offers the way without. */
const refuseUnprivileged = (context: Context, missing: readonly string[]): number => {
  const offer = 'run it as root, or try it out without: npm start -- --rootless';
  context.err(`cnm: ${missing.join(' and ')} missing, which setting up networks takes; ${offer}\n`);
  return exits.failed;
};

interface Serving {
  readonly services: readonly ServiceName[];
  readonly announce: (up: Up) => void;
}

/** Runs services until a signal comes or one of them fails. Ends the process, since a service may have threads. */
const run = async (context: Context, json: boolean, { services, announce }: Serving): Promise<number> => {
  const { config, clock } = context;
  const missing = services.includes('worker') ? missingCapabilities() : [];
  if (missing.length > 0) return refuseUnprivileged(context, missing);
  const logger = createLogger(levelOf(context));
  const signal = untilSignal(clock, (name) => logger.info({ signal: name }, 'stopping'));
  let exit: number = exits.done;
  try {
    // The server may come back with an older copy of the log: whoever starts anew reads what is there.
    for (let isAgain = true; isAgain; ) {
      isAgain = false;
      const up = await startUp({ config, logger, clock, services, signal });
      announce(up);
      try {
        await abortable(up.failed, signal);
      } catch (error) {
        isAgain = !signal.aborted && isRegressed(error);
        if (isAgain) logger.error({ err: error }, 'the log is an older copy, starting anew');
        else if (!signal.aborted) {
          logger.fatal({ err: error }, 'a service cannot go on');
          exit = exits.failed;
        }
      }
      await up.stop();
    }
  } catch (error) {
    // a start that was given up fails with the signal itself
    if (signal.aborted && error === signal.reason) logger.debug('the start was given up');
    else exit = report(context, error, json);
  }
  process.exit(exit);
};

const up: Spec = {
  path: 'up',
  args: [],
  summary: 'everything in one process: nats-server, all services, the worker of this host',
  options: {
    rootless: { help: 'without root: in a user and network namespace of its own, for trying out' },
    ...jsonOption,
  },
  run: async (call: Call, context) => {
    const { config } = context;
    if (call.flag('rootless') && !config.rootless)
      throw new UsageError('--rootless is done by the launcher: call services/cli/cnm, not main.ts', up);
    const announce = (started: Up): void => {
      if (call.flag('json')) printJson(context, summaryJson(started));
      else context.out(summary(config, started));
    };
    return run(context, call.flag('json'), { services: serviceNames, announce });
  },
};

const isService = (name: string): name is ServiceName => serviceNames.some((known) => known === name);

const serve: Spec = {
  path: 'serve',
  args: ['SERVICE'],
  summary: `one service (${serviceNames.join(', ')}) on the server that CNM_NATS_URL names`,
  options: jsonOption,
  run: async (call, context) => {
    const name = call.args[0] ?? '';
    if (!isService(name)) throw new UsageError(`${name} is no service; there are ${serviceNames.join(', ')}`, serve);
    if (context.config.natsUrl === null) {
      context.err('cnm: CNM_NATS_URL says which server to serve on, and is not set\n');
      return exits.config;
    }
    const announce = (started: Up): void => {
      const { url } = started;
      if (call.flag('json')) printJson(context, { service: name, ...summaryJson(started) });
      else context.out(`${name} serves on ${publicUrl(url)}\n`);
    };
    return run(context, call.flag('json'), { services: [name], announce });
  },
};

export const upSpecs: readonly Spec[] = [up, serve];
