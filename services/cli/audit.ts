/** `cnm audit`: keygen, verify, export, import, segment (segment.ts), hold (hold.ts). */
import { counting } from '../audit/finding.ts';
import type { Report } from '../audit/verifier.ts';
import { positionRecordedAt } from '../lib/recorded.ts';
import type { Stream } from '../lib/stream.ts';
import { acceptedOf, acceptOption } from './accepted.ts';
import { eventOptions, exportEvents, printAll, refuseFilters } from './audit-events.ts';
import { withFiles, withServer, withStreams } from './audit-streams.ts';
import { type Context, printJson } from './context.ts';
import { exits } from './failures.ts';
import { holdSpecs } from './hold.ts';
import { segmentSpec } from './segment.ts';
import { jsonOption, type Spec, UsageError } from './spec.ts';
import { parseMoment } from './values.ts';

const keygen: Spec = {
  path: 'audit keygen',
  args: ['FILE'],
  summary: 'make the key that checkpoints are signed with; its public half goes to FILE.pub',
  options: jsonOption,
  run: async (call, context) => {
    const [file = ''] = call.args;
    const { generateKey } = await import('../audit/keys.ts');
    const { id, publicFile } = await withFiles(() => generateKey(file));
    if (call.flag('json')) printJson(context, { id, file, publicFile });
    else context.out(`${id}\n`);
    return undefined;
  },
};

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

const describe = (report: Report): string => {
  const { messages, first, last, subjects, checkpoints, found, covered, notCovered } = report;
  const range = messages === 0 ? 'no messages' : `positions ${first} to ${last}, ${count(messages, 'message')}`;
  const lines = [
    `${range}, ${count(subjects, 'subject')}, ${count(checkpoints, 'checkpoint')}: ${found === 0 ? 'whole' : count(found, 'finding')}`,
    ...covered.map((text) => `covered      ${text}`),
    ...notCovered.map((text) => `not covered  ${text}`),
  ];
  return `${lines.join('\n')}\n`;
};

const printFindings = ({ err }: Context, { findings }: Report): void => {
  for (const { position, kind, subject, detail } of findings)
    err(`position ${position} ${kind}${subject === '' ? '' : ` ${subject}`}: ${detail}\n`);
};

const verify: Spec = {
  path: 'audit verify',
  args: ['[EXPORT]'],
  summary: 'whether the log, or an export of it, is what was stored; exit code 1 when not',
  options: {
    key: {
      value: 'PEM',
      multiple: true,
      help: 'public key that checkpoints must be signed with; several may be given',
    },
    checkpoints: {
      value: 'FILE',
      help: 'checkpoints that were kept elsewhere (CNM_CHECKPOINT_FILE): what they sign has to be there',
    },
    ...acceptOption,
    ...jsonOption,
  },
  run: async (call, context) => {
    const accepted = acceptedOf(call);
    const { readVerifyingKeys } = await import('../audit/keys.ts');
    const { readCheckpoints, verifyExport, verifyLog } = await import('../audit/verify.ts');
    const [file] = call.args;
    const keys = await withFiles(() => readVerifyingKeys(call.texts('key')));
    const keptIn = call.text('checkpoints');
    const kept = keptIn === undefined ? [] : await withFiles(() => readCheckpoints(keptIn));
    const ofFile = async (path: string): Promise<Report> => {
      const { openExport } = await import('../audit/open-export.ts');
      return verifyExport(await openExport(path), keys, kept);
    };
    const ofServer = () => withStreams(context, (streams) => verifyLog(streams, keys, context.config.realm, kept));
    const report = await withFiles(() => (file === undefined ? ofServer() : ofFile(file)));
    printFindings(context, report);
    if (call.flag('json')) printJson(context, report);
    else context.out(describe(report));
    return counting(report, accepted).length === 0 ? undefined : exits.failed;
  },
};

/** The last position that is meant: of a time, the last one that was recorded up to it. */
const lastAt = async (log: Stream, text: string | undefined): Promise<number | undefined> => {
  if (text === undefined) return undefined;
  const moment = parseMoment(text);
  return typeof moment === 'number' ? moment : (await positionRecordedAt(log, Date.parse(moment) + 1)) - 1;
};

const positionOf = (text: string | undefined): number | undefined => {
  if (text === undefined || /^[1-9]\d{0,14}$/.test(text)) return text === undefined ? undefined : Number(text);
  throw new UsageError(`--from: ${text} is no position`, exportTo);
};

const exportTo: Spec = {
  path: 'audit export',
  args: ['FILE'],
  summary: 'write the log to a file, or go on with one; - is the standard output',
  options: {
    from: { value: 'POSITION', help: 'from there on (1)' },
    until: { value: 'POSITION|TIME', help: 'up to there (all there is now)' },
    ...eventOptions,
  },
  run: async (call, context) => {
    const [file = ''] = call.args;
    const from = positionOf(call.text('from'));
    if (call.flag('cloudevents')) {
      await exportEvents(call, context, file, from);
      return undefined;
    }
    refuseFilters(call, exportTo);
    if (/\.(gz|zst)$/.test(file)) throw new UsageError('exports are written plain; compress it afterwards', exportTo);
    await withStreams(context, async ({ log, checkpoint }) => {
      const { checkpointsIn } = await import('../audit/stored.ts');
      const until = await lastAt(log, call.text('until'));
      const checkpoints = await checkpointsIn(checkpoint);
      const { exportLines } = await import('../audit/export.ts');
      const { exportToFile } = await import('../audit/export-file.ts');
      const range = { checkpoints, ...(from === undefined ? {} : { from }), ...(until === undefined ? {} : { until }) };
      if (file === '-') await printAll(context, exportLines(log, range));
      else await withFiles(() => exportToFile(file, { log, ...range }));
    });
    return undefined;
  },
};

const importFrom: Spec = {
  path: 'audit import',
  args: ['FILE'],
  summary: 'put an export onto a server that has no streams of ours yet; nothing of ours may run there',
  options: {
    key: {
      value: 'PEM',
      multiple: true,
      help: 'public key that checkpoints must be signed with; several may be given',
    },
    ...acceptOption,
    ...jsonOption,
  },
  run: async (call, context) => {
    const [file = ''] = call.args;
    const accepted = acceptedOf(call);
    const { readVerifyingKeys } = await import('../audit/keys.ts');
    const { openExport } = await import('../audit/open-export.ts');
    const { verifyExport } = await import('../audit/verify.ts');
    const { importExport } = await import('../audit/import.ts');
    const opened = await withFiles(() => openExport(file));
    const report = await verifyExport(opened, await withFiles(() => readVerifyingKeys(call.texts('key'))));
    printFindings(context, report);
    if (counting(report, accepted).length > 0) {
      context.err('nothing was imported\n');
      return exits.failed;
    }
    const messages = await withServer(context, (connection) => importExport(connection, opened, context.clock));
    if (call.flag('json')) printJson(context, { messages, last: report.last });
    else context.out(`${count(messages, 'message')}\n`);
    return undefined;
  },
};

export const auditSpecs: readonly Spec[] = [keygen, verify, exportTo, importFrom, segmentSpec, ...holdSpecs];
