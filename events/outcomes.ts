/** Which events are intents, and which outcomes end them. */
import type { DecisionType, EventType, OutcomeType } from './events.ts';

/** Intents that a host must execute, with the outcomes that end them. */
export const outcomesOf = {
  DriverConfigureRequested: { done: 'DriverConfigured', failed: 'DriverConfigureFailed' },
  NetworkCreateRequested: { done: 'NetworkCreated', failed: 'NetworkCreateFailed' },
  NetworkUpdateRequested: { done: 'NetworkUpdated', failed: 'NetworkUpdateFailed' },
  NetworkDeleteRequested: { done: 'NetworkDeleted', failed: 'NetworkDeleteFailed' },
  EndpointCreateRequested: { done: 'EndpointCreated', failed: 'EndpointCreateFailed' },
  EndpointUpdateRequested: { done: 'EndpointUpdated', failed: 'EndpointUpdateFailed' },
  EndpointJoinRequested: { done: 'EndpointJoined', failed: 'EndpointJoinFailed' },
  EndpointLeaveRequested: { done: 'EndpointLeft', failed: 'EndpointLeaveFailed' },
  EndpointDeleteRequested: { done: 'EndpointDeleted', failed: 'EndpointDeleteFailed' },
} as const satisfies Partial<Record<DecisionType, { done: OutcomeType; failed: OutcomeType }>>;
export type IntentType = keyof typeof outcomesOf;

export const isIntent = (type: EventType): type is IntentType => type in outcomesOf;

/** Outcomes of intents that were not carried out, with nothing changed. */
const reverted = ['EndpointLeaveReverted', 'EndpointDeleteReverted'] as const satisfies readonly OutcomeType[];

const failures: ReadonlySet<EventType> = new Set([
  ...Object.values(outcomesOf).map((outcome) => outcome.failed),
  ...reverted,
]);
const terminals: ReadonlySet<EventType> = new Set([
  ...Object.values(outcomesOf).flatMap(({ done, failed }) => [done, failed]),
  ...reverted,
]);
/** An outcome that ends its intent, one way or the other. */
export const isTerminal = (type: EventType): boolean => terminals.has(type);
export const isFailure = (type: EventType): boolean => failures.has(type);

const constructive: ReadonlySet<EventType> = new Set([
  'DriverConfigureRequested',
  'NetworkCreateRequested',
  'NetworkUpdateRequested',
  'EndpointCreateRequested',
  'EndpointUpdateRequested',
  'EndpointJoinRequested',
] satisfies readonly IntentType[]);
/** An intent that makes something, so that it can come too late and be undone. */
export const isConstructive = (type: EventType): boolean => constructive.has(type);
