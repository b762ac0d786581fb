/** Who wrote a commit, by the subject that it stands on. */
import { decodeToken } from '../events/names.ts';

interface Origin {
  readonly host: string | null;
  /** Whether it is the subject of a worker's reports. */
  readonly reports: boolean;
}

/** Subjects are as many as hosts, and each is taken apart once. */
const origins = new Map<string, Origin>();

/** Whose commits stand on a subject of the log. */
export const originOf = (subject: string): Origin => {
  const known = origins.get(subject);
  if (known) return known;
  const [, family, kind = '', token = ''] = subject.split('.');
  const reports = family === 'outcome';
  const host = reports ? decodeToken(kind) : kind === 'host' ? decodeToken(token) : null;
  const origin = { host, reports };
  origins.set(subject, origin);
  return origin;
};
