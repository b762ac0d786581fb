/** What a command of the command line works with: settings, streams, a client, and the waiting for answers. */
import type { Outcome } from '../../events/queries.ts';
import type { Acceptance, Client, CommandOptions } from '../client/index.ts';
import type { Clock } from '../lib/clock.ts';
import type { Config } from '../lib/config.ts';
import { findState, isStateHidden, otherStates } from '../up/state-file.ts';
import { withProgress } from './progress.ts';
import { type Call, type Options, UsageError } from './spec.ts';
import { parseDuration } from './values.ts';

export interface Context {
  readonly config: Config;
  readonly clock: Clock;
  readonly out: (text: string) => void;
  /** Resolves once all that went `out` has left this process: whoever prints without end waits for it, or keeps what a slow reader leaves. */
  readonly flushed: () => Promise<void>;
  readonly err: (text: string) => void;
  /** Columns of the terminal that `out` goes to; null when it is none. */
  readonly width: number | null;
  readonly errIsTerminal: boolean;
  /** Runs another call of the command line, as the demo does. */
  readonly call: (context: Context, words: readonly string[]) => Promise<number>;
}

/** Nothing answered in time: exit code 3. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** What was asked for is not there, or is there twice: exit code 1. */
export class NotFound extends Error {
  override readonly name = 'NotFound';
  /** The next step; empty when the message says it. */
  readonly remedy: string;

  constructor(message: string, remedy = '') {
    super(message);
    this.remedy = remedy;
  }
}

const CONNECT_MS = 3_000;
const WAIT_MS = 10_000;
/** The service's own deadline, and time for its report to come. */
const DEADLINE_MS = 30_000;
const REPORT_MS = 5_000;

export const sendOptions = {
  wait: { value: 'DURATION', help: 'how long to wait for an answer (10s); later it is not started any more' },
  json: { help: 'one JSON document instead of text' },
} as const satisfies Options;

/** The server that CNM_NATS_URL names, else the one of the `cnm up` of this machine. */
export const serverUrl = (config: Config): string => {
  const url = config.natsUrl ?? findState(config)?.url;
  if (url !== undefined) return url;
  if (isStateHidden(config))
    throw new NoAnswer(
      'the cnm that runs here is for root and the group cnm: use sudo, join the group, or set CNM_NATS_URL and credentials',
    );
  const others = otherStates(config);
  if (others.length > 0)
    throw new NoAnswer(
      `no cnm of host ${config.host} in realm ${config.realm} runs here, but of ${others.join(', ')}: set CNM_HOST and CNM_REALM as it has them`,
    );
  throw new NoAnswer('no cnm runs here: start `npx cnm up` (or `npm start`), or set CNM_NATS_URL');
};

/** Runs `work` with a client that is closed afterwards. */
export const withClient = async <T>({ config }: Context, work: (client: Client) => Promise<T>): Promise<T> => {
  const url = serverUrl(config);
  const { connect } = await import('../client/index.ts');
  const { securityOf } = await import('../nats/security.ts');
  const security = securityOf(config);
  const client = await connect({ url, actor: config.actor, waitMs: CONNECT_MS, security });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
};

export const printJson = ({ out }: Pick<Context, 'out'>, value: unknown): void => out(`${JSON.stringify(value)}\n`);

/** What to wait for: the noun for the progress line, and the sending itself. */
export interface Sending {
  readonly what: string;
  readonly host?: string | undefined;
  readonly send: (client: Client, options: CommandOptions) => Promise<Acceptance>;
}

/** Sends a command and waits for its outcome, with a progress line when that takes long. @throws NoAnswer */
export const sendAndWait = async (call: Call, context: Context, client: Client, sending: Sending): Promise<Outcome> => {
  const waitMs = parseDuration(call.text('wait') ?? `${WAIT_MS}ms`, '--wait');
  if (waitMs < 1) throw new UsageError('--wait: at least 1ms');
  const { clock } = context;
  const id = client.mintId();
  const controller = new AbortController();
  let noAnswer = `nothing answered within ${waitMs / 1000} s (command ${id}); it will not be started any more. See \`cnm status\``;
  const giveUp = (): void => controller.abort(new NoAnswer(noAnswer));
  let cancel = clock.after(waitMs, giveUp);
  try {
    return await withProgress(context, sending.what, async () => {
      const accepted = await sending.send(client, {
        id,
        signal: controller.signal,
        deadlineMs: DEADLINE_MS,
        // who has given up does not expect it to happen any more
        startBy: new Date(clock.nowMs() + waitMs),
        ...(sending.host === undefined ? {} : { host: sending.host }),
      });
      cancel();
      const longestMs = DEADLINE_MS + REPORT_MS;
      noAnswer = `accepted at position ${accepted.position} (command ${id}), but no outcome within ${longestMs / 1000} s. See \`cnm status\``;
      cancel = clock.after(longestMs, giveUp);
      return accepted.outcome;
    });
  } finally {
    cancel();
  }
};

/** Sends a command over a connection of its own, waits for its outcome, and tells of it: `done`, or the outcome as JSON where that is asked for. */
export const sendAndTell = async (
  call: Call,
  context: Context,
  { done, ...sending }: Sending & { readonly done: string },
): Promise<undefined> => {
  const outcome = await withClient(context, (client) => sendAndWait(call, context, client, sending));
  if (call.flag('json')) printJson(context, outcome);
  else context.out(`${done}\n`);
  return undefined;
};
