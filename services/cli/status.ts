/** `cnm status`: what there is on the server, and what is missing. */
import type { Status } from '../client/index.ts';
import { serviceNames } from '../up/service-names.ts';
import { printJson, withClient } from './context.ts';
import { exits } from './failures.ts';
import { describeLife } from './host.ts';
import { notReady, serviceLines } from './service-text.ts';
import { jsonOption, type Spec } from './spec.ts';
import { shortBytes, shortTime } from './table.ts';

/** What does not work while these parts are missing, one line each with what to do. */
export const missingParts = ({ streams, services, viewsAt, hosts }: Status): readonly string[] => {
  const missing = Object.entries(streams).flatMap(([name, state]) =>
    state === null ? [`the stream of ${name} is not there: start a service, which makes it`] : [],
  );
  for (const name of serviceNames) {
    // a worker with an account of its own answers nobody but the log
    const isKnown = name === 'worker' && hosts.some(({ alive }) => alive);
    const there = isKnown || services.some((service) => service.name === `cnm-${name}`);
    if (!there) missing.push(`no ${name} runs: start \`cnm up\`, or \`cnm serve ${name}\``);
  }
  if (viewsAt === null) missing.push('queries are not answered: see the log of the projector');
  else if (hosts.length === 0) missing.push('no host has reported: see the log of the worker');
  return missing;
};

const describe = ({ server, streams, services, viewsAt, hosts }: Status): string => {
  const lines = [`server     ${server.url} (nats-server ${server.version})`];
  for (const [name, state] of Object.entries(streams)) {
    const said =
      state === null ? 'missing' : `position ${state.last}, ${state.messages} messages, ${shortBytes(state.bytes)}`;
    lines.push(`${name.padEnd(10)} ${said}`);
  }
  lines.push(`views      ${viewsAt === null ? 'no answer' : `at position ${viewsAt}`}`);
  lines.push(...services.flatMap(serviceLines));
  for (const row of hosts) {
    const { host, kernel, lastReport, capabilities } = row;
    const lacks = Object.entries(capabilities).flatMap(([name, has]) => (has ? [] : [name]));
    const lacking = lacks.length > 0 ? `; lacks ${lacks.join(', ')}` : '';
    lines.push(
      `host       ${host}, ${describeLife(row)}, kernel ${kernel}, last report ${shortTime(lastReport)}${lacking}`,
    );
  }
  return `${lines.join('\n')}\n`;
};

const status: Spec = {
  path: 'status',
  args: [],
  summary: 'server, streams, services and hosts; exit code 1 when a part is missing or not ready, with the reasons',
  options: jsonOption,
  run: async (call, context) => {
    const found = await withClient(context, (client) => client.status());
    const missing = missingParts(found);
    const unready = notReady(found.services);
    if (call.flag('json')) printJson(context, { ...found, missing, notReady: unready });
    else {
      context.out(describe(found));
      for (const line of missing) context.err(`missing: ${line}\n`);
      for (const line of unready) context.err(`not ready: ${line}\n`);
    }
    return missing.length + unready.length > 0 ? exits.failed : exits.done;
  },
};

export const statusSpecs: readonly Spec[] = [status];
