/** What a caller of the client may have to catch. */
import type { Culprit, Fault } from '../../events/events.ts';
import type { Outcome, Refused } from '../../events/queries.ts';
import { type Code, codes } from '../../events/refusals.ts';

/** What to do about a code of events/refusals.ts; empty for a code that this version does not know. */
const remedyOf = (code: string): string => (code in codes ? codes[code as Code].remedy : '');

/** The domain said no: nothing was done, and the refusal stands in the log. */
export class CommandRefused extends Error {
  override readonly name = 'CommandRefused';
  /** Stable, one of events/refusals.ts. */
  readonly code: string;
  readonly detail: string;
  /** What stands in the way. */
  readonly culprits: readonly Culprit[];
  readonly remedy: string;
  readonly answer: Refused;

  constructor(answer: Refused) {
    super(`${answer.code}: ${answer.detail}`);
    this.code = answer.code;
    this.detail = answer.detail;
    this.culprits = answer.culprits;
    this.remedy = remedyOf(answer.code);
    this.answer = answer;
  }
}

/** How a command ends before its host has reported. */
const cuts = {
  'timed-out': { code: 'TIMED_OUT', detail: 'no report came before its deadline' },
  cancelled: { code: 'CANCELLED', detail: 'its sender has cancelled it' },
} as const;

/** An accepted command failed on its host, was cancelled, or nobody reported it in time. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  /** Of the fault, TIMED_OUT or CANCELLED. */
  readonly code: string;
  readonly detail: string;
  /** In the kernel's words; null for a command that timed out or was cancelled. */
  readonly fault: Fault | null;
  readonly remedy: string;
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    const { fault, status } = outcome;
    const code = cuts[status as keyof typeof cuts]?.code ?? fault?.code ?? 'KERNEL_ERROR';
    const detail = fault ? describeFault(fault) : (cuts[status as keyof typeof cuts]?.detail ?? 'it has failed');
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
    this.fault = fault;
    this.remedy = remedyOf(code);
    this.outcome = outcome;
  }
}

const describeFault = ({ step, errno, text, undoFaults }: Fault): string => {
  const undone = undoFaults.length > 0 ? `; what was done could not all be undone: ${undoFaults.join('; ')}` : '';
  return `${step}: ${text}${errno === '' || text.includes(errno) ? '' : ` (${errno})`}${undone}`;
};

/** A query could not be answered. `code` is one of `queryErrors`, or UNANSWERED when nobody was there in time. */
export class QueryFailed extends Error {
  override readonly name = 'QueryFailed';
  readonly code: string;
  readonly detail: string;

  constructor(code: string, detail: string, cause?: unknown) {
    super(`${code}: ${detail}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.detail = detail;
  }
}

/** The client was closed while a command had no answer; the command itself stays on its stream. */
export class ClientClosed extends Error {
  override readonly name = 'ClientClosed';
  readonly code = 'CLIENT_CLOSED';

  constructor(what: string) {
    super(`the client was closed while ${what} had no answer; ask for it again by its id`);
  }
}

/** So many commands wait for their answers that another one is not sent; it may be once some have come. */
export class ClientBusy extends Error {
  override readonly name = 'ClientBusy';
  readonly code = 'CLIENT_BUSY';

  constructor(waiting: number) {
    super(`${waiting} commands wait for their answers already`);
  }
}
