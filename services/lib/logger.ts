/** The logger of all services: pino, JSON lines on standard error. */
import { destination, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';
import type { LogLevel } from './config.ts';

export type { Logger } from 'pino';

/**
 * Written at once: the last lines before a crash are the ones that are wanted. Errors show their whole chain of causes. Each service adds
 * its name with a child logger.
 */
export const createLogger = (level: LogLevel): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      serializers: { err: stdSerializers.errWithCause },
    },
    destination({ fd: 2, sync: true }),
  );

/** For libraries whose caller brings no logger. */
export const silentLogger = (): Logger => pino({ level: 'silent' });
