/** Services as `cnm status` and `cnm doctor` tell of them. Pure. */
import type { Status } from '../client/index.ts';
import { shortTime } from './table.ts';

type Service = Status['services'][number];

const nameOf = ({ name, metadata }: Service): string => {
  const where = [metadata.host, metadata.pid && `pid ${metadata.pid}`].filter((part) => part).join(', ');
  return `${name.replace(/^cnm-/, '')}${where === '' ? '' : ` on ${where}`}`;
};

const counted = (waiting: Readonly<Record<string, number>>): string =>
  Object.entries(waiting)
    .filter(([, count]) => count > 0)
    .map(([stage, count]) => `${count} ${stage}`)
    .join(', ');

/** One line for each service, and more where something waits or went wrong. */
export const serviceLines = (service: Service): readonly string[] => {
  const { health, version } = service;
  const head = `service    ${nameOf(service)}, ${version}`;
  if (!health) return [head];
  const { ready, role, position, lag, waiting, waits, notice, parked } = health;
  const said = [
    ready ? 'ready' : 'not ready',
    role,
    `at position ${position}`,
    lag ? `${lag} behind` : null,
    counted(waiting) || null,
    parked > 0 ? `${parked} parked` : null,
  ];
  const last = notice ? [`${notice.level} at ${shortTime(notice.at)}: ${notice.says}`] : [];
  return [
    `${head}: ${said.filter((part) => part).join(', ')}`,
    ...[...waits, ...last].map((line) => `${' '.repeat(11)}${line}`),
  ];
};

/** Why services are not ready, one line each. */
export const notReady = (services: readonly Service[]): readonly string[] =>
  services.flatMap((service) =>
    (service.health?.reasons ?? []).map(
      ({ code, says, since }) => `${nameOf(service)}: ${code} since ${shortTime(since)}: ${says}`,
    ),
  );
