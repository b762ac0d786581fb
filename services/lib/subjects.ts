/** Subjects and filters of NATS: tokens with dots between them. */

/** Whether a subject falls under a filter: `*` stands for one token, a last `>` for one or more. */
export const subjectMatches = (filter: string, subject: string): boolean => {
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    if (token !== '*' && token !== tokens[index]) return false;
    if (index >= tokens.length) return false;
  }
  return wanted.length === tokens.length;
};

/** What a subject of ours is an example of, with what it names left out: for traces, which are grouped by it. */
export const templateOf = (subject: string): string => {
  const [, kind = '', what = '', ...more] = subject.split('.');
  if (kind === 'command') return 'cnm.command.{actor}.{host}';
  if (kind === 'event' && what === 'host') return 'cnm.event.host.{host}';
  if (kind === 'event' && what === 'realm' && more[0] !== '_') return 'cnm.event.realm.{network}';
  if (kind === 'outcome') return 'cnm.outcome.{host}';
  return kind === 'event' ? subject : `cnm.${kind}`;
};
