/** The logger of all services: pino, JSON lines on standard error. */
import { destination, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';
import type { LogLevel } from './config.ts';
import { keepNotices, Notices } from './notices.ts';

export type { Logger } from 'pino';

/** 40 is pino's number of `warn`. */
const NOTICED_FROM = 40;

/**
 * Written at once: the last lines before a crash are the ones that are wanted. Errors show their whole chain of causes. Each service adds
 * its name with a child logger; its last warning or error is kept for whoever asks how it is (notices.ts).
 */
export const createLogger = (level: LogLevel): Logger => {
  const notices = new Notices();
  const logger = pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      serializers: { err: stdSerializers.errWithCause },
      hooks: {
        logMethod(args, method, number) {
          if (number >= NOTICED_FROM) notices.note(this.bindings().service, number, args);
          method.apply(this, args);
        },
      },
    },
    destination({ fd: 2, sync: true }),
  );
  return keepNotices(logger, notices);
};

/** For libraries whose caller brings no logger. */
export const silentLogger = (): Logger => pino({ level: 'silent' });
