/** The language of cnmbus for other services: commands, events, answers and queries as schemas and types, and the pure rules. */
export {
  type Command,
  Command as CommandSchema,
  type CommandData,
  type CommandInput,
  type CommandType,
  commandTypes,
} from './commands.ts';
export { decodeCommit, type Event, type EventOf, eventVersions, UnreadableCommit } from './envelope.ts';
export type { Culprit, EventData, EventType, Fault } from './events.ts';
export { commandId, decodeToken, encodeToken, mintedMs, subjects } from './names.ts';
export { Accepted, Answer, Outcome, Query, QueryAnswer, Refused, type ViewName, viewNames } from './queries.ts';
export { type Code, codes } from './refusals.ts';
