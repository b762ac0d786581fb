/** Commands that say something of the log or of all hosts alone: they are routed to no host, whoever its sender has named. */
import type { Command, CommandOf } from './commands.ts';

const types = ['RetryParked', 'DiscardParked', 'SetLegalHold', 'LiftLegalHold', 'ShredSubject', 'SetQuota'] as const;

export type OfLog = CommandOf<(typeof types)[number]>;

export const isOfLog = (command: Command): command is OfLog => types.some((type) => type === command.type);
