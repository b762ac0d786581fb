/** `cnm audit hold`: ls, set, lift. What a hold covers is neither shredded nor put away. */
import type { ViewRows } from '../../projections/views.ts';
import { actorText } from './actor-text.ts';
import { sendAndTell, sendOptions } from './context.ts';
import { listing } from './listing.ts';
import { type Call, type Options, type Spec, UsageError } from './spec.ts';
import { type Column, shortTime } from './table.ts';

export const reasonOption = {
  reason: { value: 'TEXT', help: 'why, such as the number of a case; it stands in the log' },
} as const satisfies Options;

/** What nobody can look up later has to be said now. */
export const reasonOf = (call: Call, spec: () => Spec): string => {
  const reason = call.text('reason');
  if (reason) return reason;
  throw new UsageError('--reason is missing: it stands in the log for whoever asks later', spec());
};

const columns: readonly Column<ViewRows['holds']>[] = [
  { title: 'HOLD', text: ({ name }) => name },
  { title: 'ON', text: ({ subject }) => (subject === null ? 'everything' : `subject ${subject}`) },
  { title: 'SINCE', text: ({ since }) => shortTime(since) },
  { title: 'BY', text: actorText },
  { title: 'REASON', text: ({ reason }) => reason },
];

const list = listing({
  view: 'holds',
  path: 'audit hold ls',
  summary: 'legal holds that are not lifted, who set them and why',
  columns,
  hostless: true,
});

const set: Spec = {
  path: 'audit hold set',
  args: ['NAME'],
  summary: 'keep everything, or what is sealed for a subject, from being shredded or put away',
  options: {
    subject: { value: 'SUBJECT', help: 'only what is sealed for this subject; the log is kept all the same' },
    ...reasonOption,
    ...sendOptions,
  },
  run: async (call, context) => {
    const [name = ''] = call.args;
    const subject = call.text('subject');
    const input = { name, reason: reasonOf(call, () => set), ...(subject === undefined ? {} : { subject }) };
    return sendAndTell(call, context, {
      what: `hold ${name}`,
      send: (sender, options) => sender.setLegalHold(input, options),
      done: `hold ${name} on ${subject === undefined ? 'everything' : `subject ${subject}`}`,
    });
  },
};

const lift: Spec = {
  path: 'audit hold lift',
  args: ['NAME'],
  summary: 'end a legal hold',
  options: { ...reasonOption, ...sendOptions },
  run: async (call, context) => {
    const [name = ''] = call.args;
    const input = { name, reason: reasonOf(call, () => lift) };
    return sendAndTell(call, context, {
      what: `hold ${name}`,
      send: (sender, options) => sender.liftLegalHold(input, options),
      done: `lifted hold ${name}`,
    });
  },
};

export const holdSpecs: readonly Spec[] = [list, set, lift];
