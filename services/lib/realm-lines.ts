/** The states of all boundaries as lines, to begin a segment of the log with, and back. */
import { encodeShared, encodeState, type StateLine, takeShared, takeState } from '../../events/state-codec.ts';
import { type Boundary, boundaryOf, networkBoundary, type Realm } from './boundaries.ts';

/** What a realm has, with everything under way or nothing, but between two commits that belong together. */
export const realmLines = function* (realm: Realm): Generator<readonly unknown[]> {
  yield ['realm', realm.roundFrom];
  for (const line of encodeShared(realm.shared)) yield ['shared', ...line];
  for (const { host, state, decidedThrough, term } of realm.boundaries.values()) {
    yield ['boundary', host, decidedThrough, term];
    for (const line of encodeState(state)) yield ['state', ...line];
  }
  // Nothing is decided any more on networks that are gone.
  for (const [id, { decidedThrough, term }] of realm.networks)
    if (realm.shared.networks.has(id)) yield ['network', id, decidedThrough, term];
};

const carry = (boundary: Boundary, [, decidedThrough, term]: readonly unknown[]): void => {
  boundary.decidedThrough = decidedThrough as number;
  boundary.term = term as number;
};

/** Takes up lines into a realm that holds nothing yet; those of others are passed over. */
export class RealmReader {
  readonly #realm: Realm;
  #boundary: Boundary | null = null;

  constructor(realm: Realm) {
    this.#realm = realm;
  }

  take([kind, ...rest]: readonly unknown[]): void {
    const realm = this.#realm;
    switch (kind) {
      case 'realm':
        realm.roundFrom = rest[0] as number;
        return;
      case 'shared':
        takeShared(realm.shared, rest as unknown as StateLine);
        return;
      case 'boundary':
        this.#boundary = boundaryOf(realm, rest[0] as string | null);
        carry(this.#boundary, rest);
        return;
      case 'state':
        if (this.#boundary) takeState(this.#boundary.state, rest as unknown as StateLine);
        return;
      case 'network':
        carry(networkBoundary(realm, rest[0] as string), rest);
        return;
      default:
    }
  }
}

/** Up to where commands are decided, as far as these lines say. */
export const decidedIn = (text: string): number => {
  let through = 0;
  for (const line of text.split('\n')) {
    if (!/^\["(realm|boundary|network)",/.test(line)) continue;
    const [kind, first, second] = JSON.parse(line) as readonly [string, number, number];
    through = Math.max(through, kind === 'realm' ? first - 1 : second);
  }
  return through;
};
