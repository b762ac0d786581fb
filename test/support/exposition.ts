/** Reads Prometheus' text format strictly: a line that is none fails. */
const sample = /^([a-z_]+(?:\{(?:[a-z]+="(?:[^"\\\n]|\\[\\n"])*",?)*\})?) (-?[0-9.]+(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)$/;
const about = /^# (?:HELP [a-z_]+ .+|TYPE [a-z_]+ (?:counter|gauge|histogram))$/;

/** Values by name with labels, in the order of the text. @throws for a line that the format does not know, and for two of one name */
export const samplesOf = (text: string): ReadonlyMap<string, number> => {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const found = new Map<string, number>();
  for (const line of text.slice(0, -1).split('\n')) {
    if (about.test(line)) continue;
    const match = sample.exec(line);
    if (!match) throw new Error(`no sample: ${line}`);
    const [, key = '', value = ''] = match;
    if (found.has(key)) throw new Error(`twice: ${key}`);
    found.set(key, Number(value.replace('Inf', 'Infinity')));
  }
  return found;
};
