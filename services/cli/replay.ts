/** `cnm replay`: a host as it was at a moment of an export, built again in a throwaway namespace. */

import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { printPlan } from '../../drivers/plan.ts';
import { type Export, openExport } from '../audit/open-export.ts';
import { verifyExport } from '../audit/verify.ts';
import { environment } from '../lib/config.ts';
import { createLogger } from '../lib/logger.ts';
import { type Inside, runChild } from '../replay/child.ts';
import { ReplayFault } from '../replay/fault.ts';
import { makePlace } from '../replay/place.ts';
import { Replay } from '../replay/replay.ts';
import { describeFailure, type Failure } from '../replay/stage.ts';
import { goThrough, type Step } from '../replay/stepping.ts';
import { loopbackUp } from '../up/loopback.ts';
import { missingCapabilities } from '../up/privileges.ts';
import { type Context, NotFound } from './context.ts';
import { describeEvent } from './event-text.ts';
import { exits, failureOf } from './failures.ts';
import type { Call, Spec } from './spec.ts';
import { parseMoment } from './values.ts';

const opened = async (path: string): Promise<Export> => {
  try {
    return await openExport(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'ENOENT' || code === 'EISDIR')
      throw new NotFound(`there is no file ${path}`, 'Write one: `cnm audit export FILE`.');
    if (code === 'EACCES') throw new NotFound(`${path} may not be read`, 'Call it as its owner, or copy the file.');
    throw error;
  }
};

const plural = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? '' : noun.endsWith('x') ? 'es' : 's'}`;

const describeStanding = (replay: Replay, realm: string): string => {
  const { networks, sandboxes, objects } = replay.count();
  const counted = [plural(networks, 'network'), plural(sandboxes, 'sandbox'), plural(objects, 'object')].join(', ');
  const time = new Date(replay.recordedMs).toISOString();
  return `host ${replay.host} of realm ${realm} at position ${replay.position} (${time}): ${counted}\n`;
};

const tellFailures = ({ err }: Context, failures: readonly Failure[]): void => {
  for (const failure of failures) err(`not rebuilt: ${describeFailure(failure)}\n`);
};

/** Builds it, and says what there is. @throws ReplayFault REPLAY_INCOMPLETE */
const build = async (call: Call, context: Context, replay: Replay, realm: string): Promise<void> => {
  const { failures } = await replay.show();
  context.err(describeStanding(replay, realm));
  tellFailures(context, failures);
  const beside = replay.notOurs();
  for (const what of beside) context.err(`not rebuilt: ${what}\n`);
  const missing = failures.length + beside.length;
  if (missing > 0 && call.flag('strict')) {
    throw new ReplayFault('REPLAY_INCOMPLETE', `${plural(missing, 'thing')} could not be rebuilt`);
  }
};

const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, '    ');

const describeStep = ({ position, events, changes }: Step): string => {
  const told = events.map((event, index) => `${position}.${index}  ${event.type} ${describeEvent(event)}`);
  const lines = events.length === 0 ? [`at position ${position}`] : told;
  return `${lines.map((line) => `${line.trimEnd()}\n`).join('')}${changes.length === 0 ? '' : `${indented(printPlan(changes))}\n`}`;
};

/** Words come from standard input; what they show goes to standard output. */
const stepThrough = async (context: Context, replay: Replay, shell: () => Promise<void>): Promise<void> => {
  const input = createInterface({ input: process.stdin, terminal: false });
  try {
    await goThrough({
      lines: input,
      steps: replay,
      show: (step) => {
        context.out(describeStep(step));
        tellFailures(context, step.failures);
      },
      say: context.err,
      shell: async () => {
        // The shell reads from the same terminal.
        input.pause();
        await shell();
        input.resume();
      },
      list: async () => context.out(spawnSync('ip', ['-brief', 'address'], { encoding: 'utf8' }).stdout ?? ''),
      wordsFor: (error) => failureOf(error)?.detail ?? null,
    });
  } finally {
    input.close();
  }
};

/**
 * What is built out of a file that was changed never was. It is built all the same, for whoever has nothing else, unless it is to be strict.
 * @throws ReplayFault REPLAY_DAMAGED
 */
const tellDamage = async (call: Call, { err }: Context, log: Export): Promise<void> => {
  const { found, findings } = await verifyExport(log, new Map());
  const [first] = findings;
  if (first === undefined) return;
  const detail = `${call.args[0]} is not what was stored: position ${first.position} ${first.kind}: ${first.detail}`;
  if (call.flag('strict')) throw new ReplayFault('REPLAY_DAMAGED', detail);
  err(`cnm: ${detail}${found > 1 ? `, and ${found - 1} more` : ''}: see \`cnm audit verify\`\n`);
};

type Watch = (pid: number | null) => void;

const perform = async (call: Call, context: Context, replay: Replay, log: Export, watch: Watch): Promise<number> => {
  // To go through all of it; which host is meant is known at its end.
  if (call.flag('step') && call.text('until') === undefined) await replay.goTo(await log.first());
  await build(call, context, replay, log.header.realm);
  const sandbox = call.text('sandbox');
  const insideNow = (): Inside | null => (sandbox === undefined ? null : replay.inside(sandbox));
  const env: Record<string, string> = { ...environment(), CNM_REPLAY_POSITION: String(replay.position) };
  const shell = [env.SHELL || '/bin/sh'];
  if (call.flag('step')) {
    await stepThrough(context, replay, async () => {
      const now = { ...env, CNM_REPLAY_POSITION: String(replay.position) };
      await runChild(shell, insideNow(), now, watch);
    });
    return exits.done;
  }
  if (call.rest.length === 0) {
    env.PS1 = `${sandbox ?? replay.host}@${replay.position}# `;
    context.err('a shell of its own; everything goes when it ends\n');
  }
  return runChild(call.rest.length === 0 ? shell : call.rest, insideNow(), env, watch);
};

const run = async (call: Call, context: Context): Promise<number> => {
  if (!context.config.throwaway) {
    context.err('cnm: replay needs a namespace of its own, which the launcher makes: services/cli/cnm replay\n');
    return exits.usage;
  }
  const missing = missingCapabilities();
  if (missing.length > 0) {
    context.err(`cnm: ${missing.join(' and ')} missing, which setting up networks takes; run it as root\n`);
    return exits.failed;
  }
  const moment = call.text('until');
  const until = moment === undefined ? null : parseMoment(moment);
  const log = await opened(call.args[0] ?? '');
  await tellDamage(call, context, log);
  const { realm } = log.header;
  const { clock, config } = context;
  const logger = createLogger(config.logLevel ?? 'error');
  loopbackUp();
  const place = makePlace();
  try {
    const host = call.text('host');
    const replay = await Replay.open({ log, realm, until, host, directory: place.directory, clock, logger });
    try {
      return await perform(call, context, replay, log, place.watch);
    } finally {
      await replay.close();
    }
  } finally {
    await place.remove();
  }
};

const replay: Spec = {
  path: 'replay',
  args: ['EXPORT', '[CMD...]'],
  summary: 'build a host as it was out of an export, in a throwaway place, and run a command or a shell there',
  options: {
    until: { value: 'POSITION|TIME', help: 'the moment; the end of the export when left out' },
    host: { value: 'HOST', help: 'the host that is meant, when there were several' },
    sandbox: { value: 'ID', help: 'run the command in this sandbox instead of on the host' },
    step: { help: 'go on from there message by message, and see what each changes' },
    rootless: { help: 'without root, in a user namespace' },
    strict: { help: 'fail when something cannot be rebuilt, or the export was changed, instead of saying so' },
  },
  run,
};

export const replaySpecs: readonly Spec[] = [replay];
