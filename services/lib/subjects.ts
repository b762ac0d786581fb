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
