/** Published ports: no driver of this version acts on them, so they are refused. */
import type { EndpointFacts } from '../events/events.ts';
import { type Refusal, refuse } from '../events/refusals.ts';

export const checkNoPorts = (driver: string, endpoint: EndpointFacts): Refusal | null => {
  const [port] = endpoint.ports;
  if (!port) return null;
  const id = `${port.protocol}/${port.hostPort}`;
  return refuse('OPTION_UNSUPPORTED', `driver ${driver} does not publish ports yet`, [{ kind: 'port', id }]);
};
