/** All commands by their first word; each file is loaded when it is called for. */
import type { Spec } from './spec.ts';

export interface Noun {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<readonly Spec[]>;
}

export const nouns: readonly Noun[] = [
  {
    name: 'up',
    summary: 'start everything in one process',
    load: async () => (await import('./up.ts')).upSpecs,
  },
  {
    name: 'serve',
    summary: 'start one service on an external server',
    load: async () => (await import('./up.ts')).upSpecs,
  },
  {
    name: 'status',
    summary: 'server, streams, services and hosts',
    load: async () => (await import('./status.ts')).statusSpecs,
  },
  {
    name: 'doctor',
    summary: 'whether this machine can run a worker',
    load: async () => (await import('./doctor.ts')).doctorSpecs,
  },
  {
    name: 'url',
    summary: 'of the server, for programs of your own',
    load: async () => (await import('./url.ts')).urlSpecs,
  },
  {
    name: 'nats-config',
    summary: 'a NATS server with accounts: its configuration, and keys for all who use it',
    load: async () => (await import('./nats-config.ts')).natsConfigSpecs,
  },
  {
    name: 'demo',
    summary: 'the main job in a throwaway place',
    load: async () => (await import('./demo.ts')).demoSpecs,
  },
  {
    name: 'replay',
    summary: 'a host as it was, built again out of an export in a throwaway place',
    load: async () => (await import('./replay.ts')).replaySpecs,
  },
  { name: 'driver', summary: 'ls, inspect, configure', load: async () => (await import('./driver.ts')).driverSpecs },
  {
    name: 'network',
    summary: 'create, update, ls, inspect, rm, prune, rotate-keys',
    load: async () => (await import('./network.ts')).networkSpecs,
  },
  {
    name: 'endpoint',
    summary: 'create, update, join, leave, rm, ls, inspect',
    load: async () => (await import('./endpoint.ts')).endpointSpecs,
  },
  {
    name: 'sandbox',
    summary: 'attach, detach, move, restore, ls, inspect, exec',
    load: async () => (await import('./sandbox.ts')).sandboxSpecs,
  },
  {
    name: 'port',
    summary: 'ls: what can be reached from outside',
    load: async () => (await import('./port.ts')).portSpecs,
  },
  { name: 'host', summary: 'ls, inspect, resume, lost', load: async () => (await import('./host.ts')).hostSpecs },
  {
    name: 'capacity',
    summary: 'ls: how much of what hosts have is in use',
    load: async () => (await import('./capacity.ts')).capacitySpecs,
  },
  {
    name: 'quota',
    summary: 'ls, set, rm: what an actor may have at most',
    load: async () => (await import('./quota.ts')).quotaSpecs,
  },
  {
    name: 'garbage',
    summary: 'ls: what will be collected',
    load: async () => (await import('./garbage.ts')).garbageSpecs,
  },
  {
    name: 'lease',
    summary: 'ls, renew: sandboxes and networks that end unless somebody renews them',
    load: async () => (await import('./lease.ts')).leaseSpecs,
  },
  {
    name: 'command',
    summary: 'cancel: a command that is under way',
    load: async () => (await import('./command.ts')).commandSpecs,
  },
  {
    name: 'drift',
    summary: 'ls: what others have changed in kernels',
    load: async () => (await import('./drift.ts')).driftSpecs,
  },
  {
    name: 'events',
    summary: 'what has been decided and done',
    load: async () => (await import('./events.ts')).eventSpecs,
  },
  {
    name: 'watch',
    summary: 'what is, then what happens, without gap; goes on where it stopped',
    load: async () => (await import('./watch.ts')).watchSpecs,
  },
  {
    name: 'history',
    summary: 'of a network, endpoint, sandbox, address, mac, port, host, command or actor',
    load: async () => (await import('./history.ts')).historySpecs,
  },
  {
    name: 'ledger',
    summary: 'who held an address, mac, port or name, and when',
    load: async () => (await import('./ledger.ts')).ledgerSpecs,
  },
  {
    name: 'why',
    summary: 'what an interface, address, port or namespace of this host is for',
    load: async () => (await import('./why.ts')).whySpecs,
  },
  {
    name: 'diff',
    summary: 'what differs between two moments',
    load: async () => (await import('./diff.ts')).diffSpecs,
  },
  {
    name: 'rebuild',
    summary: 'views folded anew, compared, put in place',
    load: async () => (await import('./rebuild.ts')).rebuildSpecs,
  },
  {
    name: 'parked',
    summary: 'ls, show, retry, discard: events that cannot be folded',
    load: async () => (await import('./parked.ts')).parkedSpecs,
  },
  {
    name: 'audit',
    summary: 'keygen, verify, export, import, segment, hold: whether the log is what was stored',
    load: async () => (await import('./audit.ts')).auditSpecs,
  },
  {
    name: 'seal',
    summary: 'put, open, shred, ls: values that can be made unreadable for good',
    load: async () => (await import('./seal.ts')).sealSpecs,
  },
];
