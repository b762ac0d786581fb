/**
 * The state of an endpoint after each event that is about it. A leave and a deletion may be reverted, and each alone: so the leave is
 * remembered while a later intent is the latest. Shared by the state that decides and the view.
 */
import { type EventType, isIntent } from './events.ts';
import { type EndpointStatus, endpointTransitions, nextStatus } from './states.ts';

/** A leave that is not reported yet. */
export interface OpenLeave {
  readonly intent: string;
  /** The latest intent before it. */
  readonly join: string;
  /** That join is reported as failed: when the leave is reverted, there is nothing to go back to. */
  readonly joinFailed: boolean;
  /** It is reverted, and the deletion after it is not yet. */
  readonly reverted: boolean;
}

export interface EndpointLife<Status extends EndpointStatus = EndpointStatus> {
  readonly status: Status;
  /** Event id of the latest intent: the one whose outcome moves the state. */
  readonly intent: string;
  readonly leave: OpenLeave | null;
}
type Living = Exclude<EndpointStatus, 'absent'>;

export interface LifeAfter extends EndpointLife {
  /** False: it is remembered for the case that the leave is reverted; where the endpoint is on its way to stays as it is. */
  readonly counts: boolean;
}

interface Happening {
  readonly type: EventType;
  readonly meta: { readonly id: string; readonly causationid: string };
}

const leaveAfter = ({ status, intent, leave }: EndpointLife<Living>, { type, meta }: Happening): OpenLeave | null => {
  if (type === 'EndpointLeaveRequested')
    return { intent: meta.id, join: intent, joinFailed: status === 'created', reverted: false };
  if (type === 'EndpointJoinRequested' || type === 'EndpointLeft' || type === 'EndpointLeaveReverted') return null;
  return leave;
};

/** What is told of the open leave while it is not the latest intent, or of the join before it. */
const toldOfLeave = (life: EndpointLife<Living>, { type, meta }: Happening): LifeAfter | null => {
  const { leave } = life;
  if (leave === null || meta.causationid === life.intent) return null;
  const joinFailed = type === 'EndpointJoinFailed';
  if ((joinFailed || type === 'EndpointJoined') && meta.causationid === leave.join)
    return { ...life, leave: { ...leave, joinFailed }, counts: false };
  if (type === 'EndpointLeaveReverted' && meta.causationid === leave.intent)
    return { ...life, leave: { ...leave, reverted: true }, counts: false };
  return null;
};

/** Back to the leave, or, where that is reverted too, to what was before it. */
const reverted = ({ intent, leave }: EndpointLife<Living>, type: EventType): LifeAfter | null => {
  if (leave === null || (type === 'EndpointLeaveReverted' && intent !== leave.intent)) return null;
  if (type === 'EndpointDeleteReverted' && !leave.reverted)
    return { status: 'leaving', intent: leave.intent, leave, counts: true };
  return { status: leave.joinFailed ? 'created' : 'joined', intent: leave.join, leave: null, counts: true };
};

/** What an event makes of an endpoint; null when it comes too late, or says nothing about its state. */
export const endpointLifeAfter = (life: EndpointLife<Living>, event: Happening): LifeAfter | null => {
  const { type, meta } = event;
  const told = toldOfLeave(life, event);
  if (told) return told;
  const counts =
    isIntent(type) ||
    type === 'EndpointSuspected' ||
    type === 'EndpointCreateFailed' ||
    meta.causationid === life.intent;
  if (!counts) return null;
  const back = type === 'EndpointLeaveReverted' || type === 'EndpointDeleteReverted' ? reverted(life, type) : null;
  return (
    back ?? {
      status: nextStatus<EndpointStatus>(endpointTransitions, life.status, type),
      intent: isIntent(type) ? meta.id : life.intent,
      leave: leaveAfter(life, event),
      counts: true,
    }
  );
};
