/** `cnm ledger`: who held an address, a MAC address, a host port or a name, and from when until when. */
import { type LedgerRow, ledgerKinds, type Moment } from '../../events/past-queries.ts';
import { actorText } from './actor-text.ts';
import { NotFound, printJson, withClient } from './context.ts';
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
  { title: 'POSITION', text: ({ from }) => from.position },
  { title: 'BY', text: ({ from }) => byOf(from) },
  { title: 'UNTIL', text: ({ until }) => shortTime(until?.occurred) },
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
    const named = (['network', 'host'] as const).flatMap((name) => {
      const value = call.text(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    const filter = { kind, what, ...Object.fromEntries(named) };
    const { position, rows } = await withClient(context, (client) => client.ledger({ ...asOfOf(call), filter }));
    if (call.flag('json')) printJson(context, { position, rows });
    else if (rows.length === 0)
      throw new NotFound(
        `nobody held ${kind} ${what}`,
        'See `cnm help ledger` for how it is written, and `cnm events`.',
      );
    else context.out(renderTable(columns, rows, context.width));
    return undefined;
  },
});

export const ledgerSpecs: readonly Spec[] = ledgerKinds.map(ledger);
