/**
 * Reports that a program of somebody else wrote (docs/protocol.md, "Being a worker"). Ours are checked when they are written and never
 * again; these are checked whenever they are read, since what does not fit would stop every reader for good: nothing on the log can be
 * taken back. A commit counts as a whole, or not at all, and every reader comes to the same answer.
 */
import { z } from 'zod';
import type { Event } from './envelope.ts';
import { eventData, outcomeTypes } from './events.ts';
import { Actor, decodeToken } from './names.ts';

/** `source` of whatever our own services write begins with it. */
const ownSource = '/cnm/';

const Envelope = z.object({
  specversion: z.literal('1.0'),
  id: z.string().min(1).max(200),
  type: z.string(),
  source: z.string(),
  subject: z.string().max(300),
  time: z.iso.datetime(),
  actor: z.union([Actor, z.literal('')]),
  commandid: z.string().max(200),
  correlationid: z.string().max(200),
  causationid: z.string().max(200),
  traceparent: z.string().max(64).optional(),
});
/** What only decisions carry is left behind. */
const Batch = z.array(Envelope.extend({ data: z.unknown() })).min(1);

export type ForeignReports =
  | { readonly ok: true; readonly events: readonly Event[] }
  | { readonly ok: false; readonly problem: string };

const unfit = (problem: string): ForeignReports => ({ ok: false, problem });
const isOutcome = (type: string): boolean => (outcomeTypes as readonly string[]).includes(type);

/** Whether all events of a commit were written, and with that checked, by services of ours. */
export const isOwn = (batch: unknown): boolean =>
  Array.isArray(batch) &&
  batch.every((event) => typeof event?.source === 'string' && event.source.startsWith(ownSource));

/**
 * The events of a commit on `cnm.outcome.<host>`, or why it counts for nothing.
 * @param decode one CloudEvent; throws for types and versions that this version does not read
 */
export const foreignReports = (
  batch: unknown,
  subject: string,
  decode: (cloud: z.infer<typeof Batch>[number]) => Event,
): ForeignReports => {
  const envelopes = Batch.safeParse(batch);
  if (!envelopes.success) return unfit(z.prettifyError(envelopes.error));
  const host = decodeToken(subject.slice(subject.lastIndexOf('.') + 1));
  const events: Event[] = [];
  for (const [index, cloud] of envelopes.data.entries()) {
    let event: Event;
    try {
      event = decode(cloud);
    } catch (error) {
      return unfit(`event ${index}: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (!isOutcome(event.type)) return unfit(`event ${index}: ${event.type} is a decision, no report`);
    const data = eventData[event.type].safeParse(event.data);
    if (!data.success) return unfit(`event ${index}, ${cloud.type}: ${z.prettifyError(data.error)}`);
    if (event.type === 'HostFacts' && event.data.host !== host)
      return unfit(`event ${index}: facts of host ${event.data.host} on the subject of host ${host}`);
    // With what the schema fills in where it was left out.
    events.push({ ...event, data: data.data } as Event);
  }
  return { ok: true, events };
};
