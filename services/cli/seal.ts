/** `cnm seal`: put, open, shred, ls. */
import { readFileSync } from 'node:fs';
import type { ViewRows } from '../../projections/views.ts';
import { actorText } from './actor-text.ts';
import { printJson, sendAndTell, sendOptions, withClient } from './context.ts';
import { reasonOf, reasonOption } from './hold.ts';
import { listing } from './listing.ts';
import { jsonOption, type Spec } from './spec.ts';
import { type Column, shortTime } from './table.ts';

/** What somebody else on the machine must not see in the list of processes comes by the standard input. */
const given = (word: string): string => (word === '-' ? readFileSync(0, 'utf8').replace(/\n$/, '') : word);

const put: Spec = {
  path: 'seal put',
  args: ['SUBJECT', 'TEXT'],
  summary: 'seal a text for a subject, for a label: --label NAME=$(cnm seal put SUBJECT -); - is the standard input',
  options: jsonOption,
  run: async (call, context) => {
    const [subject = '', word = ''] = call.args;
    const text = given(word);
    const value = await withClient(context, (client) => client.seals.seal(subject, text));
    if (call.flag('json')) printJson(context, { subject, value });
    else context.out(`${value}\n`);
    return undefined;
  },
};

const open: Spec = {
  path: 'seal open',
  args: ['VALUE'],
  summary: 'the text of a sealed value, for whoever may read the keys; - is the standard input',
  options: jsonOption,
  run: async (call, context) => {
    const value = given(call.args[0] ?? '');
    const text = await withClient(context, (client) => client.seals.open(value));
    if (call.flag('json')) printJson(context, { text });
    else context.out(`${text}\n`);
    return undefined;
  },
};

const shred: Spec = {
  path: 'seal shred',
  args: ['SUBJECT'],
  summary: 'make what is sealed for a subject unreadable for everybody, for good',
  options: { ...reasonOption, ...sendOptions },
  run: async (call, context) => {
    const [subject = ''] = call.args;
    const input = { subject, reason: reasonOf(call, () => shred) };
    return sendAndTell(call, context, {
      what: `subject ${subject}`,
      send: (sender, options) => sender.shredSubject(input, options),
      done: `subject ${subject} is shredded: a collector erases its key`,
    });
  },
};

const columns: readonly Column<ViewRows['shredded']>[] = [
  { title: 'SUBJECT', text: ({ subject }) => subject },
  { title: 'SHREDDED', text: ({ since }) => shortTime(since) },
  { title: 'BY', text: actorText },
  { title: 'REASON', text: ({ reason }) => reason },
];

const list = listing({
  view: 'shredded',
  path: 'seal ls',
  summary: 'subjects that are shredded, who asked for it and why',
  columns,
  hostless: true,
});

export const sealSpecs: readonly Spec[] = [put, open, shred, list];
