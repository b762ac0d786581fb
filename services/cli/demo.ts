/** `cnm demo`: the main job, as somebody would type it, in a throwaway namespace and data directory. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { C, umount2 } from '../../drivers/kernel/libc.ts';
import { abortable } from '../client/abortable.ts';
import { sleep } from '../lib/clock.ts';
import { type Config, hostRunDir } from '../lib/config.ts';
import { createLogger } from '../lib/logger.ts';
import { publicUrl } from '../nats/public-url.ts';
import { missingCapabilities } from '../up/privileges.ts';
import { startUp, type Up } from '../up/up.ts';
import { type Context, withClient } from './context.ts';
import { type Act, acts, probeWords } from './demo-script.ts';
import { exits, report } from './failures.ts';
import type { Spec } from './spec.ts';
import { untilSignal } from './until-signal.ts';

/** Links of sandboxes go behind the answer, in slices. */
const GONE_MS = 3_000;
const POLL_MS = 50;
/** Each probe starts a program of its own; on a busy machine that takes seconds. */
const PROBE_MS = 20_000;

interface Said {
  readonly exit: number;
  readonly text: string;
}

/** A call in this very process, with what it says. */
const runHere = async (context: Context, words: readonly string[]): Promise<Said> => {
  let text = '';
  const keep = (part: string): void => {
    text += part;
  };
  const quiet: Context = { ...context, out: keep, err: keep, errIsTerminal: false };
  try {
    return { exit: await context.call(quiet, words), text };
  } catch (error) {
    return { exit: report(quiet, error, false), text };
  }
};

/** `cnm sandbox exec` becomes the command, so it needs a process of its own. */
const runChild = (context: Context, words: readonly string[]): Promise<Said> =>
  new Promise((resolve, reject) => {
    const main = join(import.meta.dirname, `main${import.meta.filename.endsWith('.ts') ? '.ts' : '.js'}`);
    const { natsUrl, runDir, dataDir, host, actor } = context.config;
    const env = {
      CNM_NATS_URL: natsUrl ?? '',
      CNM_RUN_DIR: runDir,
      CNM_DATA_DIR: dataDir,
      CNM_HOST: host,
      CNM_ACTOR: actor,
    };
    const child = spawn(process.execPath, [main, ...words], {
      env: { ...env, PATH: context.config.searchPath },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PROBE_MS,
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ exit: code ?? exits.failed, text }));
  });

/** The address of a sandbox on a network. */
const addressOf = (context: Context, network: string, sandbox: string): Promise<string> =>
  withClient(context, async (client) => {
    const { rows } = await client.endpoints({ filter: { network, endpoint: sandbox } });
    return rows[0]?.ipv4?.replace(/\/.*/, '') ?? '';
  });

const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, '    ');

class Play {
  readonly #context: Context;
  failures = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  async run(act: Act): Promise<void> {
    const { out } = this.#context;
    out(`\n${styleText('bold', act.says)}\n`);
    switch (act.kind) {
      case 'calls':
        for (const { words, exit = exits.done } of act.calls) {
          const said = await runHere(this.#context, words);
          this.#show(words, said, said.exit === exit);
        }
        return;
      case 'probes': {
        // at the same time, since those that must not pass take as long as they wait
        const probes = act.probes.map(async ({ from, to, network, passes }) => {
          const address = await addressOf(this.#context, network, to);
          const words = ['sandbox', 'exec', from, '--', ...probeWords(this.#context.config.searchPath, address)];
          const { exit } = await runChild(this.#context, words);
          return { from, to, address, passes, passed: exit === 0 };
        });
        for (const { from, to, address, passes, passed } of await Promise.all(probes)) {
          const what = `${from} -> ${to} (${address})`.padEnd(28);
          this.#tell(
            `${what} ${passed ? 'passes' : 'does not pass'}, as it ${passes ? 'must' : 'must not'}`,
            passed === passes,
          );
        }
        return;
      }
      default:
        act satisfies never;
    }
  }

  /** Nothing of ours may be left in kernel or run directory. */
  async checkClean(): Promise<void> {
    const { clock, config, out } = this.#context;
    out(`\n${styleText('bold', 'what is left of it')}\n`);
    const left = (): readonly string[] => [
      ...readFileSync('/proc/self/net/dev', 'utf8')
        .split('\n')
        .flatMap((line) => /^\s*(c[bv]\w+):/.exec(line)?.[1] ?? []),
      ...readdirSync(join(hostRunDir(config), 'netns')),
    ];
    const untilMs = clock.monotonicMs() + GONE_MS;
    while (left().length > 0 && clock.monotonicMs() < untilMs) await sleep(clock, POLL_MS);
    const names = left();
    this.#tell(
      names.length === 0 ? 'no interface, no namespace' : `left behind: ${names.join(' ')}`,
      names.length === 0,
    );
  }

  #show(words: readonly string[], { text }: Said, expected: boolean): void {
    this.#context.out(`  ${styleText('cyan', `$ cnm ${words.join(' ')}`)}\n${indented(text)}`);
    if (!expected) this.#tell('this was not to be expected', false);
  }

  #tell(text: string, good: boolean): void {
    if (!good) this.failures++;
    this.#context.out(`  ${good ? styleText('green', 'ok') : styleText('red', 'FAILED')}  ${text}\n`);
  }
}

const play = async (context: Context, up: Up): Promise<number> => {
  const inside: Context = { ...context, config: { ...context.config, natsUrl: up.url } };
  const show = new Play(inside);
  for (const act of acts) await show.run(act);
  await show.checkClean();
  return show.failures;
};

/** Settings of the place, whatever the environment says about the one that is not to be touched. */
const throwaway = (config: Config, folder: string): Config => ({
  ...config,
  natsUrl: null,
  natsPort: null,
  dataDir: join(folder, 'data'),
  runDir: join(folder, 'run'),
  host: 'demo',
  realm: 'demo',
  actor: 'demo',
});

const demo: Spec = {
  path: 'demo',
  args: [],
  summary: 'two networks, three sandboxes, what passes and what must not, and the history, in a throwaway place',
  options: { rootless: { help: 'without root, in a user namespace' } },
  run: async (_, context) => {
    const { clock } = context;
    if (!context.config.throwaway) {
      context.err('cnm: the demo needs a namespace of its own, which the launcher makes: services/cli/cnm demo\n');
      return exits.usage;
    }
    const missing = missingCapabilities();
    if (missing.length > 0) {
      context.err(`cnm: ${missing.join(' and ')} missing, which setting up networks takes; run it as root\n`);
      return exits.failed;
    }
    const startedMs = clock.monotonicMs();
    const folder = mkdtempSync(join(tmpdir(), 'cnm-demo-'));
    const config = throwaway(context.config, folder);
    const place = { ...context, config };
    // with forwarding on it is our rules that keep networks apart, not the lack of a router
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    const seconds = (): string => `${((clock.monotonicMs() - startedMs) / 1000).toFixed(1)} s`;
    const signal = untilSignal(clock, () => context.err('cleaning up\n'));
    try {
      const up = await startUp({ config, logger: createLogger(config.logLevel ?? 'error'), clock, signal });
      context.out(`cnm is up at ${publicUrl(up.url)}, in a network namespace of its own (${seconds()})\n`);
      const failures = await abortable(play(place, up), signal).finally(() => up.stop());
      context.out(failures === 0 ? `\nall as expected, in ${seconds()}\n` : `\n${failures} not as expected\n`);
      return failures === 0 ? exits.done : exits.failed;
    } catch (error) {
      if (!signal.aborted) throw error;
      return exits.failed;
    } finally {
      // the worker's tmpfs, in a mount namespace that ends with us
      umount2(hostRunDir(config), C.MNT_DETACH);
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

export const demoSpecs: readonly Spec[] = [demo];
