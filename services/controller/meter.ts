/** What a controller counts. */
import type { CommandRecord } from '../../events/command-record.ts';
import { commandTypes } from '../../events/commands.ts';
import type { Event } from '../../events/envelope.ts';
import type { Refusal } from '../../events/refusals.ts';
import { isLapsed } from '../../events/state.ts';
import { type Look, STUCK_MS } from '../lib/health.ts';
import { aboutCommand } from '../lib/log-fields.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics/metrics.ts';
import type { Realm } from '../lib/realm.ts';
import type { Intake } from './intake.ts';

export interface ControllerMeter {
  /** @param command type as its sender wrote it. @param code of the refusal; null: accepted */
  decided(command: string, code: string | null): void;
  ended(record: CommandRecord): void;
}

/** A sender may write anything, and a label must not grow with it. */
const known = (command: string): string => (commandTypes.some((type) => type === command) ? command : 'unknown');

export const controllerMeter = (metrics: Metrics): ControllerMeter => ({
  decided: (command, code) => {
    const result = code === null ? 'accepted' : 'refused';
    metrics.count('cnm_commands_decided_total', { command: known(command), result, code: code ?? '' });
  },
  ended: ({ command, status, decidedAt, endedAt }) => {
    const labels = { command: known(command) };
    metrics.count('cnm_commands_ended_total', { ...labels, status });
    if (endedAt === null) return;
    // Two machines may have two clocks.
    const seconds = Math.max(0, Date.parse(endedAt) - Date.parse(decidedAt)) / 1000;
    metrics.observe('cnm_command_duration_seconds', labels, seconds);
  },
});

export const observeController = (metrics: Metrics, look: () => Look): void => {
  metrics.gauge('cnm_controller_active', () => [[{}, look().role === 'deciding' ? 1 : 0]]);
  metrics.gauge('cnm_commands_open', () => [[{}, look().stages.find(({ name }) => name === 'open')?.waiting ?? 0]]);
};

/** Off unless somebody asks for it: what was decided is on the log anyway. */
export const tellDecided = (
  logger: Logger,
  intake: Intake,
  refusal: Refusal | null,
  events: readonly Event[],
): void => {
  if (!logger.isLevelEnabled('debug')) return;
  const { actor, type: command } = intake;
  const code = refusal?.code ?? null;
  const eventid = events[0]?.meta.id;
  logger.debug({ ...aboutCommand(intake), eventid, events: events.length, actor, command, code }, 'decided');
};

/** Accepted commands that have not ended. Complexity: one look at each host. */
const openCommands = ({ boundaries }: Realm): number => {
  let open = 0;
  for (const { state } of boundaries.values()) open += state.progress.size;
  return open;
};

/** How many hosts are told of. */
const toldMax = 5;

/** Whose reports accepted commands wait for. */
const waitsOf = ({ boundaries }: Realm): readonly string[] =>
  [...boundaries.values()]
    .filter(({ state }) => state.progress.size > 0)
    .sort((a, b) => b.state.progress.size - a.state.progress.size)
    .slice(0, toldMax)
    .map(({ host, state }) => {
      const open = `${state.progress.size} open ${state.progress.size === 1 ? 'command' : 'commands'}`;
      if (host === null) return `${open} about networks of all hosts`;
      const away = isLapsed(state) ? ', which is away' : '';
      return `${open} of host ${host} for its worker${away}`;
    });

/** @param realm null before anything is read. @param counts commands that wait to be decided, and those that were */
export const lookAt = (
  realm: Realm | null,
  isActive: boolean,
  counts: { readonly waiting: number; readonly decided: number },
): Look => ({
  position: realm?.position ?? 0,
  role: isActive ? 'deciding' : 'standing by',
  stages: [
    {
      name: 'commands',
      waiting: counts.waiting,
      progress: counts.decided,
      stuck: { code: 'COMMANDS_STUCK', afterMs: STUCK_MS },
    },
    // Their ends come from workers.
    { name: 'open', waiting: realm ? openCommands(realm) : 0, progress: 0 },
  ],
  waits: realm ? waitsOf(realm) : [],
  parked: realm?.parked.size ?? 0,
});
