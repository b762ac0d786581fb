/** docs/errors.md: every code that callers meet. */
import { codeMeanings } from '../../events/catalogue.ts';
import { type Code, codes } from '../../events/refusals.ts';
import { type QueryFaultCode, queryFaultNumbers } from '../../services/projector/query-fault.ts';
import { code, notice, table } from './markdown.ts';

/** Codes of refusals that also come in the `fault` of an outcome, where only the kernel knows. */
const bothCodes: readonly Code[] = ['PORT_IN_USE', 'PORT_ADDRESS_INVALID', 'SYSCTL_INVALID'];

/** Codes that come in the `fault` of an outcome; all others are refusals. */
const faultCodes: readonly Code[] = [
  'DEPENDENCY_FAILED',
  'TIMED_OUT',
  'KERNEL_ERROR',
  'FOREIGN_OBJECT',
  'INTERFERED',
  'BRIDGE_FULL',
  'NETNS_UNUSABLE',
  'PLUGIN_ERROR',
  'PLUGIN_UNREACHABLE',
  'PLUGIN_INVALID',
];

const queryCodes: Readonly<Record<QueryFaultCode, { readonly meaning: string; readonly remedy: string }>> = {
  QUERY_MALFORMED: {
    meaning: 'The body is no query, or its filter names what the view does not have.',
    remedy: 'Send JSON that fits the schema Query; the detail says what is wrong, or which names there are.',
  },
  QUERY_VIEW_UNKNOWN: { meaning: 'There is no such view.', remedy: 'The detail lists the views.' },
  QUERY_NOT_YET: {
    meaning: 'The views had not reached the position that was asked for in time.',
    remedy: 'Ask again, or give a longer `timeoutMs`; the detail says how far they are.',
  },
  QUERY_POSITION_UNKNOWN: {
    meaning:
      'The log does not reach the position `asOf`, or what lies there was put away, the row `after` is not in the view, or a watch cannot go on: the log does not reach back or forth to its position, or is another one.',
    remedy:
      'Ask for a position that the log holds, or import the file that the detail names; page on with `asOf` the position of the first page; begin a watch anew with a snapshot.',
  },
  LOG_UNREADABLE: {
    meaning: 'The log holds what this version cannot read, so the views stand still.',
    remedy: 'Upgrade the service; the detail says what it could not read.',
  },
  QUERY_BUSY: { meaning: 'Too many queries read the log at this moment.', remedy: 'Ask again later.' },
};

const rows = (wanted: (name: Code) => boolean): readonly (readonly string[])[] =>
  (Object.keys(codes) as Code[])
    .filter(wanted)
    .map((name) => [code(name), String(codes[name].status), codeMeanings[name], codes[name].remedy]);

const head = ['code', 'class', 'meaning', 'remedy'];

export const errorsPage = (): string => `${notice('events/refusals.ts and events/catalogue.ts')}# Errors

Codes are stable once released. \`class\` is the HTTP status that the Docker Engine answers with for the same condition, for gateways.

## Refusals

The command was not accepted, and nothing was done. They come as an answer of kind \`refused\`, and as the event CommandRefused.

${table(
  head,
  rows((name) => !faultCodes.includes(name)),
)}
## Failures

The command was accepted and could not be carried out. They come in \`fault\` of an answer of kind \`outcome\` whose status is \`failed\`, and
in the events whose names end in \`Failed\`. An answer whose status is \`timed-out\` has no fault; TIMED_OUT is what a worker reports when it
comes too late and takes back what it did.

${table(
  head,
  rows((name) => faultCodes.includes(name) || bothCodes.includes(name)),
)}
## Queries

They come in the header \`Nats-Service-Error\`, in front of the detail, with the class in \`Nats-Service-Error-Code\` and both in the body.

${table(
  head,
  (Object.keys(queryFaultNumbers) as QueryFaultCode[]).map((name) => [
    code(name),
    String(queryFaultNumbers[name]),
    queryCodes[name].meaning,
    queryCodes[name].remedy,
  ]),
)}`;
