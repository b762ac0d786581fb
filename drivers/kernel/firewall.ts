/** What makes and checks the elements of our table: the elements of a plan in one transaction, and what has to be seen to after it. */
import type { Element } from '../objects.ts';
import type { Operation } from '../port.ts';
import { stepOf } from '../steps.ts';
import { Flows } from './flows.ts';
import type { Host } from './host.ts';
import { Ports } from './ports.ts';
import { rules } from './ruleset.ts';
import { type ElementChange, Table } from './table.ts';
import type { Transaction } from './transaction.ts';

export interface Firewall {
  readonly table: Table;
  readonly ports: Ports;
  readonly flows: Flows;
}

/** @param owned false: a table that others may change, as on old kernels */
export const openFirewall = (host: Host, owned = true): Firewall => {
  const table = new Table(host.realm, host.host, rules, owned);
  return { table, ports: new Ports(host, table), flows: new Flows(host, table) };
};

export const closeFirewall = ({ table, ports, flows }: Firewall): void => {
  for (const each of [table, ports, flows]) each.close();
};

const changeOf = (operation: Operation): ElementChange => ({
  element: operation.object as Element,
  wanted: operation.op !== 'delete',
  tags: operation.op === 'update' ? [operation.object.tag, operation.from.tag] : [operation.object.tag],
});

/**
 * Makes all the changes in one transaction; `failing` gets the step that a failure is of.
 * @throws KernelFailure, SystemError, AnswerLost
 */
export const changeElements = (
  transaction: Transaction,
  { table, ports }: Firewall,
  operations: readonly Operation[],
  failing: (step: string) => void,
): void => {
  const [first] = operations;
  if (first === undefined) return;
  failing(stepOf(first.op, first.object));
  table.change(
    operations.map(changeOf),
    (added) => ports.refuseForeign(added, (element) => failing(stepOf('create', element))),
    (run) => transaction.undo.push({ what: 'restore nft elements', run }),
  );
};
