/** How the views read the state tables (events/states.ts). */
import type { EventType } from '../events/events.ts';

type Transitions<S extends string> = Readonly<Record<S, Readonly<Partial<Record<EventType, S>>>>>;

/** Where an event leads from a state; the state itself where the table names nothing. */
export const nextStatus = <S extends string>(table: Transitions<S>, status: S, type: EventType): S =>
  table[status][type] ?? status;
