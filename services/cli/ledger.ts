/** `cnm ledger`: who held an address, a MAC address, a host port or a name, and from when until when. */
import { type LedgerRow, ledgerKinds, type Moment } from '../../events/past-queries.ts';
import { actorText } from './actor-text.ts';
import { NotFound, printJson, withClient } from './context.ts';
import { mustEverBe, tellPutAway } from './ever.ts';
import { asOfOf } from './listing.ts';
import { listOptions, type Spec } from './spec.ts';
import { type Column, orDash, renderTable, shortTime } from './table.ts';

const holderOf = ({ holderKind, holder, holderId }: LedgerRow): string =>
  holderKind === 'gateway' ? 'gateway' : `${holderKind} ${holder ?? holderId}`;

const byOf = (moment: Moment): string => [actorText(moment), moment.command].filter((text) => text !== '').join(' ');

const columns: readonly Column<LedgerRow>[] = [
  { title: 'WHAT', text: ({ what }) => what },
  { title: 'HOST', text: ({ host }) => orDash(host) },
  { title: 'NETWORK', text: ({ network }) => orDash(network) },
  { title: 'HOLDER', text: holderOf },
  { title: 'FROM', text: ({ from }) => shortTime(from.occurred) },
  { title: 'RECORDED', text: ({ from }) => shortTime(from.recorded) },
  { title: 'POSITION', text: ({ from }) => from.position },
  { title: 'BY', text: ({ from }) => byOf(from) },
  { title: 'UNTIL', text: ({ until }) => shortTime(until?.occurred) },
  { title: 'RECORDED', text: ({ until }) => shortTime(until?.recorded) },
  { title: 'POSITION', text: ({ until }) => orDash(until?.position) },
  { title: 'BY', text: ({ until }) => (until === null ? '-' : byOf(until)) },
];

const args = { address: 'IP', mac: 'MAC', port: 'PORT', name: 'NAME' } as const;
const spelled = {
  address: 'an address',
  mac: 'a MAC address',
  port: 'a host port, written PORT[/PROTO] or HOST/PROTO/PORT',
  name: 'a name, written NAME or NETWORK/NAME',
} as const;

/** What tells of those who were refused it, or of names before they could be resolved. */
const about = { address: 'address IP', mac: 'mac MAC', port: 'port PORT', name: 'endpoint NAME' } as const;

const ledger = (kind: LedgerRow['kind']): Spec => ({
  path: `ledger ${kind}`,
  args: [args[kind]],
  summary: `who held ${spelled[kind]}, from when until when; with --as-of who held it then`,
  options: {
    network: { value: 'NETWORK', help: 'only in this network' },
    host: { value: 'HOST', help: 'only on this host' },
    ...listOptions,
  },
  run: async (call, context) => {
    const what = call.args[0] ?? '';
    const [network, host] = [call.text('network'), call.text('host')];
    const filter = {
      kind,
      what,
      ...(network === undefined ? {} : { network }),
      ...(host === undefined ? {} : { host }),
    };
    const { position, rows } = await withClient(context, async (client) => {
      const answer = await client.ledger({ ...asOfOf(call), filter });
      if (call.text('as-of') === undefined) await tellPutAway(context, client);
      if (answer.rows.length === 0) await mustEverBe(client, filter);
      return answer;
    });
    if (call.flag('json')) printJson(context, { position, rows });
    else if (rows.length === 0)
      throw new NotFound(`nobody held ${kind} ${what}`, `See \`cnm history ${about[kind]}\`.`);
    else context.out(renderTable(columns, rows, context.width));
    return undefined;
  },
});

export const ledgerSpecs: readonly Spec[] = ledgerKinds.map(ledger);
