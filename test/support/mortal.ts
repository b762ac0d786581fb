/** What a process has of the world outside, for tests that kill it in the middle of its work without ending their own. */
import type { Kernel } from '../../drivers/port.ts';
import type { Stream } from '../../services/lib/stream.ts';

interface Outside {
  readonly log: Stream;
  readonly kernel: Kernel;
}

export class Killed extends Error {
  override name = 'Killed';
}

export interface Mortal extends Outside {
  /** From now on nothing is answered, nothing is delivered, nothing more is done. */
  kill(): void;
  readonly dead: boolean;
  readonly died: Promise<void>;
}

/**
 * Streams and a kernel as a process sees them that can be killed at any of its calls. `asked` is called before and after each call
 * on the world outside, and may kill.
 */
export const mortal = (
  { log, kernel }: Outside,
  asked: (what: string, kill: () => void) => void = () => undefined,
): Mortal => {
  let dead = false;
  const death = Promise.withResolvers<never>();
  const died = death.promise.catch(() => undefined);
  const kill = (): void => {
    dead = true;
    death.reject(new Killed());
  };
  const never = new Promise<never>(() => undefined);
  const alive = async <T>(what: string, ask: () => Promise<T>): Promise<T> => {
    if (!dead) asked(`before ${what}`, kill);
    if (dead) return never;
    const answer = await ask();
    if (!dead) asked(`after ${what}`, kill);
    return dead ? never : answer;
  };
  return {
    kill,
    died,
    get dead() {
      return dead;
    },
    log: {
      name: log.name,
      append: (message) => alive('append', () => log.append(message)),
      appendAll: (messages) => alive('append', () => log.appendAll(messages)),
      read: (options, onMessage) => {
        const reader = log.read(options, (message) => (dead ? undefined : onMessage(message)));
        // A process takes its sockets along: a worker in this one closes them when it cannot go on.
        return { ...reader, closed: Promise.race([reader.closed, death.promise]), stop: () => reader.stop() };
      },
      first: () => alive('first', () => log.first()),
      last: () => alive('last', () => log.last()),
      lastOn: (subject) => alive('lastOn', () => log.lastOn(subject)),
      get: (position) => alive('get', () => log.get(position)),
      positionAt: (timeMs) => alive('positionAt', () => log.positionAt(timeMs)),
    },
    kernel: {
      ...kernel,
      apply: (plans) => alive('apply', () => kernel.apply(plans)),
      census: (extent) => alive('census', () => kernel.census(extent)),
      facts: () => alive('facts', () => kernel.facts()),
      capacity: () => alive('capacity', () => kernel.capacity()),
      setPeers: (tables) => alive('setPeers', () => kernel.setPeers(tables)),
      changePeers: (changes) => alive('changePeers', () => kernel.changePeers(changes)),
      checkPeers: (left) => alive('checkPeers', () => kernel.checkPeers(left)),
      associations: () => alive('associations', () => kernel.associations()),
      changeAssociations: (change) => alive('changeAssociations', () => kernel.changeAssociations(change)),
      findPorts: (searches) => alive('findPorts', () => kernel.findPorts(searches)),
      // A death is an answer to whoever waits for sockets, so that it lets go of those it has.
      openResolver: (netns, port) =>
        Promise.race([alive('openResolver', () => kernel.openResolver(netns, port)), death.promise]),
      settled: () => alive('settled', () => kernel.settled()),
      close: () => alive('close', () => kernel.close()),
    },
  };
};
