/** Whether a server writes to disk before it acknowledges: `sync_interval: always`. */
import { z } from 'zod';
import { describeError } from './fault.ts';
import type { Problem } from './problem.ts';

/**
 * How we know that acknowledged means on disk. A client cannot see it: neither the server's greeting nor `$JS.API.INFO` says anything of
 * syncing (2.15.1), and `$SYS` needs the system account. Measuring would lie: a sync to tmpfs or to a disk with a battery is as quick as none.
 * So it is one of
 * - `embedded`: the server runs on a configuration that we wrote ourselves;
 * - `monitor`: the server's monitoring port says so (`/jsz`, `config.sync_always`); several URLs, separated by commas, for a cluster;
 * - `stated`: the operator says so and answers for it, where the monitoring port is not reachable;
 * - `none`: nobody says anything, which is a problem, since the default loses what was acknowledged in the last minutes before a power loss.
 */
export type SyncEvidence =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'monitor'; readonly urls: string }
  | { readonly kind: 'stated' }
  | { readonly kind: 'none' };

const MONITOR_TIMEOUT_MS = 3_000;
const REMEDY = 'Set sync_interval: always in the jetstream block of the server, and restart it.';

/** The part of /jsz that we read. `sync_always` is left out by the server when false. */
const Jsz = z.object({
  server_id: z.string(),
  config: z.object({ sync_always: z.boolean().optional(), sync_interval: z.number().optional() }).optional(),
});

/** Problems with the evidence, none when it holds. `serverId` is that of the server we are connected to. */
export const checkSync = async (evidence: SyncEvidence, serverId: string): Promise<readonly Problem[]> => {
  switch (evidence.kind) {
    case 'embedded':
    case 'stated':
      return [];
    case 'none': {
      const text = 'Nothing says whether the server writes to disk before it acknowledges, and by default it does not.';
      const remedy = `${REMEDY} Then name its monitoring port in CNM_NATS_MONITOR_URL (http://host:8222), or answer for it yourself (CNM_NATS_SYNC=always).`;
      return [{ code: 'SYNC_UNKNOWN', text, remedy }];
    }
    case 'monitor':
      return checkMonitors(evidence.urls, serverId);
    default:
      return evidence satisfies never;
  }
};

const checkMonitors = async (urls: string, serverId: string): Promise<readonly Problem[]> => {
  const problems: Problem[] = [];
  let found = false;
  for (const url of urls.split(',').map((text) => text.trim())) {
    try {
      const response = await fetch(new URL('/jsz', url), { signal: AbortSignal.timeout(MONITOR_TIMEOUT_MS) });
      const { server_id: id, config } = Jsz.parse(await response.json());
      found ||= id === serverId;
      if (config === undefined) continue; // this one of a cluster keeps no streams
      if (config.sync_always !== true) {
        const every = config.sync_interval === undefined ? '' : `; it syncs every ${config.sync_interval / 1e9} s`;
        const text = `The server at ${url} acknowledges before what it stored is on disk${every}.`;
        problems.push({ code: 'SYNC_NOT_ALWAYS', text, remedy: REMEDY });
      }
    } catch (error) {
      const text = `The monitoring port at ${url} does not tell: ${describeError(error)}.`;
      problems.push({
        code: 'SYNC_UNKNOWN',
        text,
        remedy: 'Check CNM_NATS_MONITOR_URL; the server needs http_port or http set.',
      });
    }
  }
  if (!found && problems.length === 0) {
    const text = `The monitoring port at ${urls} belongs to another server than the one we are connected to.`;
    problems.push({
      code: 'SYNC_UNKNOWN',
      text,
      remedy: 'Name the monitoring ports of all its servers in CNM_NATS_MONITOR_URL.',
    });
  }
  return problems;
};
