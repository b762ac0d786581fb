/** Failures inside the adapter, on their way to being the `KernelFault` of a plan. */
import { formatTag, parseTag, type Tag } from '../objects.ts';
import type { KernelFault } from '../port.ts';
import { SystemError } from './libc.ts';
import { AnswerLost, type Refusal } from './netlink.ts';

/** Errors that may be gone when tried again, nothing else having changed. */
export const passing: ReadonlySet<string> = new Set([
  'EAGAIN',
  'EBUSY',
  'EINTR',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
]);

export class KernelFailure extends Error {
  readonly code: KernelFault['code'];
  readonly errno: string;

  constructor(code: KernelFault['code'], text: string, errno = '') {
    super(text);
    this.name = 'KernelFailure';
    this.code = code;
    this.errno = errno;
  }
}

/** What a refusal without an extended-ack text means; the kernel's texts are better where there are any. */
const meanings: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'no such address',
  EEXIST: 'exists already',
  ENETUNREACH: 'gateway is on no connected network',
  ENODEV: 'no such interface',
  ENOENT: 'no such entry',
  ENOTCONN: 'other end is missing',
  EPERM: 'not permitted',
  ESRCH: 'no such entry',
  EXFULL: 'bridge has no free port',
};

export const refused = (refusal: Refusal): KernelFailure =>
  new KernelFailure('KERNEL_ERROR', refusal.text || (meanings[refusal.errno] ?? refusal.errno), refusal.errno);

/** What an error of node's file system calls says: `ENOENT: no such file or directory, open '/x'`. Others are bugs, and pass through. */
export const fileFailure = (error: unknown, what: string): KernelFailure => {
  if (!(error instanceof Error && 'code' in error && 'syscall' in error)) throw error;
  const code = String(error.code);
  const words = /^[A-Z0-9]+: ([^,]+)/.exec(error.message)?.[1] ?? error.message;
  return new KernelFailure('KERNEL_ERROR', `${what}: ${words}`, code);
};

/** Why a setting cannot be as asked: there is none of that name, the value is none, or it is not to be written. */
const settingErrors: ReadonlySet<string> = new Set(['ENOENT', 'EINVAL', 'ERANGE', 'EACCES', 'EPERM']);

/** Of a setting that somebody asked for. `what`: `net.ipv4.conf.eth0.mtu = x`. */
export const settingFailure = (error: unknown, what: string): KernelFailure => {
  const failure = fileFailure(error, what);
  return settingErrors.has(failure.errno)
    ? new KernelFailure('SYSCTL_INVALID', failure.message, failure.errno)
    : failure;
};

/** Throws the first refusal of a batch, if there is one. */
export const expectNone = (refusals: readonly Refusal[]): void => {
  const [first] = refusals;
  if (first) throw refused(first);
};

/** A failure as the plan's result tells it. What is no failure of the kernel is a bug, and passes through. */
export const faultOf = (error: unknown, step: string, undoFaults: readonly string[]): KernelFault => {
  if (error instanceof KernelFailure) {
    const { code, errno, message: text } = error;
    return { code, step, errno, text, retryable: code === 'INTERFERED' || passing.has(errno), undoFaults };
  }
  if (error instanceof SystemError) {
    const text = `${error.call} failed`;
    return { code: 'KERNEL_ERROR', step, errno: error.code, text, retryable: passing.has(error.code), undoFaults };
  }
  if (error instanceof AnswerLost) {
    return { code: 'KERNEL_ERROR', step, errno: '', text: error.message, retryable: true, undoFaults };
  }
  throw error;
};

/** Whether an error is the machine's; any other is a bug. */
export const isFailure = (error: unknown): boolean =>
  error instanceof KernelFailure || error instanceof SystemError || error instanceof AnswerLost;

/** A short account of any failure, for the list of what could not be undone. */
export const describeFailure = (error: unknown): string => {
  if (error instanceof KernelFailure) return [error.errno, error.message].filter(Boolean).join(' ');
  return error instanceof Error ? error.message : String(error);
};

/**
 * Whose an object is: `own` has the tag itself, `other` belongs to another incarnation under this realm and host, `foreign` is
 * somebody else's.
 */
export const ownership = (label: string, tags: readonly Tag[]): 'own' | 'other' | 'foreign' => {
  if (tags.some((tag) => formatTag(tag) === label)) return 'own';
  const found = parseTag(label);
  return found && tags.some((tag) => tag.realm === found.realm && tag.host === found.host) ? 'other' : 'foreign';
};

export const foreign = (kind: string, name: string, label: string): KernelFailure =>
  new KernelFailure('FOREIGN_OBJECT', `${kind} ${name} is there and not ours${label === '' ? '' : `: ${label}`}`);
