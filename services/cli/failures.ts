/** What went wrong, for people and for scripts: text on standard error, an exit code, and the same as JSON. */
import type { Culprit } from '../../events/events.ts';
import type { Context } from './context.ts';
import { faultRemedies } from './fault-remedies.ts';
import { UsageError, usageOf } from './spec.ts';

/** Stable: scripts rely on them (README). */
export const exits = { done: 0, failed: 1, usage: 2, noAnswer: 3, config: 78 } as const;

export interface Failure {
  readonly exit: number;
  readonly code: string;
  readonly detail: string;
  readonly culprits: readonly Culprit[];
  /** The next step; empty when the detail says it. */
  readonly remedy: string;
}

const failure = (
  exit: number,
  code: string,
  detail: string,
  remedy = '',
  culprits: readonly Culprit[] = [],
): Failure => ({
  exit,
  code,
  detail,
  culprits,
  remedy,
});

/** Errors are told by their names, so that no command loads what only another one can throw. */
interface Known extends Error {
  readonly code: string;
  readonly detail: string;
  readonly remedy: string;
  readonly culprits: readonly Culprit[];
  readonly problems: readonly { readonly code: string; readonly text: string; readonly remedy: string }[];
}

const startServices = 'Start the services: `npx cnm up`, and see `npx cnm status`.';

const remedyOf = (code: string): string => (faultRemedies as Readonly<Record<string, string>>)[code] ?? '';

const queryRemedies: Readonly<Record<string, string>> = {
  QUERY_MALFORMED: 'docs/views.md says what can be asked of which view.',
  QUERY_POSITION_UNKNOWN:
    'Name a position or time that the log has: `cnm status` says where it ends. A watch begins anew without --cursor and --from.',
};

/** What an error means for the caller; null for a defect of ours. */
export const failureOf = (error: unknown): Failure | null => {
  if (!(error instanceof Error)) return null;
  const { code, detail, remedy, culprits, problems, message } = error as Known;
  switch (error.name) {
    case 'UsageError':
      return failure(exits.usage, 'USAGE', message);
    case 'CommandRefused':
    case 'CommandFailed':
      return failure(exits.failed, code, detail, remedy, culprits ?? []);
    case 'QueryFailed': {
      const late = code === 'UNANSWERED' || code === 'QUERY_NOT_YET';
      return failure(
        late ? exits.noAnswer : exits.failed,
        code,
        detail,
        late ? startServices : (queryRemedies[code] ?? ''),
      );
    }
    case 'NoAnswer':
      return failure(exits.noAnswer, 'NO_ANSWER', message);
    case 'NotFound':
      return failure(exits.failed, 'NOT_FOUND', message, remedy);
    case 'NatsFault':
      return failure(code === 'CONNECT_TIMEOUT' ? exits.noAnswer : exits.failed, code, message, remedyOf(code));
    case 'HostInUse':
      return failure(exits.failed, code, message, remedy);
    case 'KernelFailure':
    case 'ExportFault':
    case 'KeyFault':
    case 'SealFault':
    case 'SegmentFault':
    case 'ImportFault':
    case 'CursorFault':
    case 'ReplayFault':
    case 'UnreadableCommit':
      return failure(exits.failed, code, message, remedyOf(code));
    case 'Unusable': {
      const [first, ...others] = problems;
      const culprit = others.map(
        (problem): Culprit => ({ kind: problem.code, id: `${problem.text} ${problem.remedy}` }),
      );
      return failure(exits.failed, first?.code ?? 'UNUSABLE', first?.text ?? message, first?.remedy, culprit);
    }
    default:
      return null;
  }
};

const describeCulprit = ({ kind, id, name, detail }: Culprit): string =>
  `${kind} ${name === undefined ? id : `${name} (${id})`}${detail === undefined ? '' : `: ${detail}`}`;

/** Says it, and answers the exit code. */
export const report = (context: Pick<Context, 'out' | 'err'>, error: unknown, json: boolean): number => {
  const known = failureOf(error);
  if (known === null) {
    context.err(`cnm: a defect in cnmbus, please report it: ${error instanceof Error ? error.stack : String(error)}\n`);
    return exits.failed;
  }
  const { exit, code, detail, culprits, remedy } = known;
  if (json) context.out(`${JSON.stringify({ error: { code, detail, culprits, remedy } })}\n`);
  if (error instanceof UsageError) {
    const usage = error.spec === null ? 'cnm help lists the commands' : `usage: ${usageOf(error.spec)}`;
    context.err(`cnm: ${detail}\n${usage}\n`);
    return exit;
  }
  const lines = [`${code}: ${detail}`, ...culprits.map((culprit) => `  ${describeCulprit(culprit)}`)];
  if (remedy !== '') lines.push(`next: ${remedy}`);
  context.err(`${lines.join('\n')}\n`);
  return exit;
};
