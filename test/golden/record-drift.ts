/** Somebody else changes what is ours: of one network it is only to be told, then it is repaired. */
import { execFileSync } from 'node:child_process';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { waitFor } from '../support/nats.ts';

export interface Recording {
  readonly send: <T extends CommandType>(type: T, data: CommandInput<T>) => Promise<unknown>;
  /** Whether there is an event of this type. */
  readonly told: (type: string) => Promise<boolean>;
  /** Keeps the view as it is. */
  readonly keep: () => Promise<void>;
}

const address = '10.77.0.1';

const bridgeName = (): string => {
  const links = JSON.parse(execFileSync('ip', ['-j', '-4', 'addr'], { encoding: 'utf8' })) as {
    ifname: string;
    addr_info: { local: string }[];
  }[];
  return links.find((link) => link.addr_info.some(({ local }) => local === address))?.ifname ?? '';
};

export const recordDrift = async ({ send, told, keep }: Recording): Promise<void> => {
  const set = (name: string, how: 'up' | 'down') => execFileSync('ip', ['link', 'set', name, how]);
  const until = (type: string) => waitFor(() => told(type), { what: type, timeoutMs: 40_000 });
  const ipam = { subnets: [{ subnet: '10.77.0.0/24' }] };
  await send('CreateNetwork', { name: 'watched', drift: 'report', ipam });
  const bridge = bridgeName();
  set(bridge, 'down');
  await until('DriftLeft');
  await keep();
  set(bridge, 'up');
  await until('DriftEnded');
  await send('UpdateNetwork', { network: 'watched', drift: 'repair' });
  set(bridge, 'down');
  await until('DriftRepaired');
  await send('DeleteNetwork', { network: 'watched' });
};
