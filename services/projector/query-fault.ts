/** A query that cannot be answered: a stable code for callers, a number for the NATS services protocol, a sentence for people. */
import { queryErrors } from '../../events/queries.ts';

export const queryFaultNumbers = {
  ...queryErrors,
  /** The log holds what this version cannot read, or cannot be read at all; the detail says why. */
  LOG_UNREADABLE: 503,
  /** Too many queries into the past or over the events wait already. */
  QUERY_BUSY: 503,
} as const;

export type QueryFaultCode = keyof typeof queryFaultNumbers;

export class QueryFault extends Error {
  override readonly name = 'QueryFault';
  readonly code: QueryFaultCode;

  constructor(code: QueryFaultCode, detail: string) {
    super(detail);
    this.code = code;
  }
}
