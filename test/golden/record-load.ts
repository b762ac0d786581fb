/** What is too much: a quota, commands beyond it, and a network that is used up. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { commandId, subjects } from '../../events/names.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { waitFor } from '../support/nats.ts';

interface Run {
  readonly sender: { send<T extends CommandType>(type: T, data: CommandInput<T>): Promise<unknown> };
  readonly connection: NatsConnection;
  readonly query: (view: string, body: object) => Promise<{ readonly answer: { readonly rows: readonly unknown[] } }>;
  readonly last: () => Promise<number>;
  readonly keep: (folder: string, name: string, value: unknown) => void;
}

export const recordLoad = async ({ sender, connection, query, last, keep }: Run): Promise<void> => {
  const recorded = (type: string) =>
    waitFor(async () => (await query('events', { filter: { type } })).answer.rows.length > 0, {
      what: type,
      timeoutMs: 15_000,
    });
  await sender.send('SetQuota', { actor: 'mallory', limits: { networks: 10, rate: 0.5, burst: 1 } });
  for (let count = 0; count < 4; count++) {
    const id = commandId(systemClock.nowMs(), `mallory${count}`);
    const body = { id, type: 'CreateNetwork', data: { name: `mallory${count}`, driver: 'null' } };
    await connection.request(subjects.command('mallory', null), JSON.stringify(body));
  }
  await recorded('CommandsRefused');
  keep('queries', 'quotas', await query('quotas', { atLeast: await last(), filter: { actor: 'mallory' } }));
  await sender.send('CreateNetwork', { name: 'narrow', ipam: { subnets: [{ subnet: '10.9.9.0/30' }] } });
  await sender.send('CreateEndpoint', { network: 'narrow', name: 'last' });
  await recorded('CapacityPressure');
  keep('queries', 'capacity', await query('capacity', { atLeast: await last(), filter: { network: 'narrow' } }));
  await sender.send('DeleteEndpoint', { network: 'narrow', endpoint: 'last' });
  await recorded('CapacityRelieved');
};
