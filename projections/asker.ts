/** Who asked for what a row is of, and whether anybody vouches for that. */
import type { Meta } from '../events/envelope.ts';

export interface Asker {
  readonly actor: string;
  /** `nats`: the server does. `claim`, and null in what was recorded before it was known: nobody does. */
  readonly actorproof: NonNullable<Meta['actorproof']> | null;
}

export const askerOf = ({ actor, actorproof }: Pick<Meta, 'actor' | 'actorproof'>): Asker => ({
  actor,
  actorproof: actorproof ?? null,
});
