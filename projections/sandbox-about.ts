/** Which sandbox an event is about. */
import type { Event } from '../events/envelope.ts';
import type { EndpointRow } from './endpoints.ts';
import type { At } from './projection.ts';
import type { Rows } from './views.ts';

/** The sandbox that an event names, or that its endpoint is in, as it is before. */
export const sandboxAbout = (
  rows: Pick<Rows, 'sandboxes'>,
  { data }: Event,
  endpoint: EndpointRow | undefined,
): At['sandboxAbout'] => {
  const { sandbox } = data as { readonly sandbox?: { readonly incarnation?: string } | null };
  const incarnation = sandbox?.incarnation ?? endpoint?.sandboxIncarnation;
  return incarnation ? { incarnation, before: rows.sandboxes.get(incarnation) } : null;
};
