/** Who asked for something, as all listings say it. Pure. */
import type { Meta } from '../../events/envelope.ts';
import { orDash } from './table.ts';

interface Asked {
  readonly actor: string;
  /** Null or left out in what was recorded before it was known: a claim. */
  readonly actorproof?: Meta['actorproof'] | null;
}

/** `alice` where the server vouches for her, `alice (claimed)` where nobody does; a dash where nobody asked. */
export const actorText = ({ actor, actorproof }: Asked): string =>
  actor === '' || actorproof === 'nats' ? orDash(actor) : `${actor} (claimed)`;
