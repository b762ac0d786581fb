/** The package's entry: everything that another service needs to send commands and to know what became of them. */

export type { Culprit, Fault } from '../../events/events.ts';
export type { Outcome, QueryInput } from '../../events/queries.ts';
export type { ViewRows } from '../../projections/views.ts';
export { NatsFault } from '../nats/fault.ts';
export type { WatchItem, WatchOptions } from '../projector/watch.ts';
export { type Client, type CommandOptions, type ConnectOptions, connect } from './client.ts';
export { ClientBusy, ClientClosed, CommandFailed, CommandRefused, QueryFailed } from './errors.ts';
export type { Acceptance } from './pending.ts';
export type { RecordedEvent, Rows } from './queries.ts';
export type { Rebuilt } from './rebuild.ts';
export { SealFault } from './sealing.ts';
export type { Seals } from './seals.ts';
export type { Status } from './status.ts';
