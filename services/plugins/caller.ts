/** One call: attempts until somebody answers, and what the answer means. */
import type { z } from 'zod';
import { type Clock, sleep } from '../lib/clock.ts';
import { problemsOf } from './checks.ts';
import type { Deadline } from './deadline.ts';
import { type Called, faults } from './fault.ts';
import { goStruct, goText, readBody } from './go-json.ts';
import type { Posted, Transport } from './transport.ts';

/** Breaks between attempts. A plugin that is being started anew is not there for a moment. */
const BREAKS_MS: readonly number[] = [50, 100, 200, 400];

/** Nobody was there, or whoever was there went away: worth another attempt. Anything else stays as it is. */
const passing: ReadonlySet<string> = new Set([
  'EAGAIN',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]);

/** Posts until a byte of an answer has come, the whole body each time, so plugins have to be idempotent. Null: the time was over first. */
export const attempt = async (
  transport: () => Transport,
  method: string,
  body: string,
  deadline: Deadline,
  clock: Clock,
): Promise<Posted | null> => {
  for (const breakMs of [...BREAKS_MS, null]) {
    if (deadline.ending !== null) return null;
    const posted = await transport().post(method, body, deadline.signal);
    // What was answered at the last moment is answered.
    if (deadline.ending !== null && posted.kind === 'unreachable') return null;
    const isWorthIt = posted.kind === 'unreachable' && posted.isUntouched && passing.has(posted.errno);
    if (!isWorthIt || breakMs === null) return posted;
    await deadline.race(sleep(clock, breakMs));
  }
  return null;
};

/** An error stands in `Err` (NetworkDriver) or `Error` (IpamDriver); under the other's name it is an error too. */
const Complaint = goStruct({ Err: goText, Error: goText }).transform(({ Err, Error: text }) => Err || text);

const textOf = (status: number, body: string): string => {
  const read = readBody(body);
  const complaint = read.ok ? Complaint.safeParse(read.value) : null;
  return (complaint?.success && complaint.data) || body.trim() || `HTTP status ${status} without a word`;
};

/** What an answer says. `absent`: what it means that the plugin has no such method (404), where that is allowed. */
export const interpret = <T>(
  step: string,
  { status, body }: { readonly status: number; readonly body: string },
  schema: z.ZodType<T>,
  absent?: T,
): Called<T> => {
  if (status === 404 && absent !== undefined) return { ok: true, value: absent };
  if (status !== 200) return { ok: false, fault: faults.error(step, textOf(status, body)) };
  const read = readBody(body);
  if (!read.ok) return { ok: false, fault: faults.invalid(step, read.problem) };
  const complaint = Complaint.safeParse(read.value);
  // A complaint that is no text is a complaint all the same.
  if (!complaint.success) return { ok: false, fault: faults.invalid(step, problemsOf(complaint.error)) };
  if (complaint.data !== '') return { ok: false, fault: faults.error(step, complaint.data) };
  const answer = schema.safeParse(read.value);
  if (!answer.success) return { ok: false, fault: faults.invalid(step, problemsOf(answer.error)), said: read.value };
  return { ok: true, value: answer.data };
};
