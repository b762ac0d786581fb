/** What the demo plays: calls of the command line, and who reaches whom. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

interface PlayedCall {
  readonly words: readonly string[];
  /** Its exit code; 0 when left out. */
  readonly exit?: number;
}

interface Probe {
  readonly from: string;
  readonly to: string;
  /** The network on which `to` is asked for its address. */
  readonly network: string;
  readonly passes: boolean;
}

export type Act = { readonly says: string } & (
  | { readonly kind: 'calls'; readonly calls: readonly PlayedCall[] }
  | { readonly kind: 'probes'; readonly probes: readonly Probe[] }
);

const calls = (says: string, ...lines: readonly (string | PlayedCall)[]): Act => ({
  kind: 'calls',
  says,
  calls: lines.map((line) => (typeof line === 'string' ? { words: line.split(' ') } : line)),
});

const REFUSED = 1;

export const acts: readonly Act[] = [
  calls('two networks', 'network create front', 'network create back'),
  calls(
    'three sandboxes, one of them on both',
    'sandbox attach web --network front',
    'sandbox attach app --network front --network back',
    'sandbox attach db --network back',
    'endpoint ls',
  ),
  {
    kind: 'probes',
    says: 'who reaches whom: networks are kept apart',
    probes: [
      { from: 'web', to: 'app', network: 'front', passes: true },
      { from: 'app', to: 'db', network: 'back', passes: true },
      { from: 'web', to: 'db', network: 'back', passes: false },
      { from: 'db', to: 'web', network: 'front', passes: false },
    ],
  },
  calls('a network in use is not deleted', { words: ['network', 'rm', 'front'], exit: REFUSED }),
  calls(
    'taken apart again',
    'sandbox detach web',
    'sandbox detach app',
    'sandbox detach db',
    'network rm front',
    'network rm back',
  ),
  calls(
    'nothing is there any more, and everything is known',
    'network ls',
    'history sandbox app',
    'events --type CommandRefused',
  ),
];

const isProgram = (searchPath: string, name: string): boolean =>
  searchPath.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return folder !== '';
    } catch {
      return false;
    }
  });

/** Whoever refuses a connection can be reached: nothing listens there, and only the host itself says so. */
const connectProbe = `
const socket = require('node:net').connect({ host: process.argv[1], port: 9, timeout: 1000 });
socket.on('error', (error) => process.exit(error.code === 'ECONNREFUSED' ? 0 : 1));
socket.on('timeout', () => process.exit(1)).on('connect', () => process.exit(0));`;

/** A command that succeeds when an address can be reached: ping where there is one, else an attempt to connect. */
export const probeWords = (searchPath: string, address: string): readonly string[] => {
  const ping = ['ping', '-c', '1', '-W', '1', address];
  if (isProgram(searchPath, 'ping')) return ping;
  if (isProgram(searchPath, 'busybox')) return ['busybox', ...ping];
  return [process.execPath, '-e', connectProbe, address];
};
