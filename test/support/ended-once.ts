/** What holds of every log: sandboxes live once, intents end once. */
import assert from 'node:assert/strict';
import { cutsShort } from '../../events/cut-short.ts';
import { type Event, needsExecution } from '../../events/envelope.ts';
import { isFailure, isTerminal } from '../../events/events.ts';

/** A sandbox is said to be made at most once, and to be removed at most once, in this order. */
export const assertLivedOnce = (events: readonly Event[]): void => {
  const lives = new Map<string, string>();
  for (const event of events) {
    if (event.type !== 'SandboxCreated' && event.type !== 'SandboxRemoved') continue;
    const { id, incarnation } = event.data.sandbox;
    lives.set(`${id} ${incarnation}`, `${lives.get(`${id} ${incarnation}`) ?? ''} ${event.type}`.trim());
  }
  for (const [sandbox, life] of lives)
    assert.match(life, /^(SandboxCreated)? ?(SandboxRemoved)?$/, `sandbox ${sandbox}`);
};

interface Ending {
  /** The host that is to execute it. */
  readonly host: string;
  readonly found: Event[];
  /** Its host was declared lost before it said anything: what it says afterwards counts for nothing. */
  lost: boolean;
}

/** One that came after its command was cut short is taken back: it has a failure behind its success. */
const isEnded = ({ found, lost }: Ending, wasCutShort: boolean): boolean => {
  if (lost || found.length === 1) return true;
  const [, second] = found;
  return (
    wasCutShort &&
    found.length === 2 &&
    isFailure(second?.type ?? 'HostFacts') &&
    !isFailure(found[0]?.type ?? 'HostFacts')
  );
};

/** Every intent has one outcome, on whichever host. @throws AssertionError for an intent that ended twice, or never, and for a report on nothing */
export const assertEndedOnce = (events: readonly Event[]): void => {
  const endings = new Map<string, Ending>();
  const short = new Set<string>();
  for (const event of events) {
    const { id, executors, causationid } = event.meta;
    if (needsExecution(event)) endings.set(id, { host: executors ?? '', found: [], lost: false });
    else if (isTerminal(event.type)) {
      const ending = endings.get(causationid);
      assert.ok(ending, `${event.type} reports on an intent`);
      ending.found.push(event);
    } else if (event.type === 'HostLost') {
      const { host } = event.data;
      for (const ending of endings.values()) if (ending.host === host && ending.found.length === 0) ending.lost = true;
    }
    if (cutsShort(event)) for (const intent of event.data.intents) short.add(intent);
  }
  for (const [id, ending] of endings) {
    const types = ending.found.map(({ type }) => type);
    assert.ok(isEnded(ending, short.has(id)), `intent ${id} ended with ${types.join(', ') || 'nothing'}`);
  }
};
