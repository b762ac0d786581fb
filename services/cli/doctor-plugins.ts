/** What the plugin directories hold, for `cnm doctor`: plugins, whether anybody listens there, and what is taken for none. */
import { drivers } from '../../drivers/registry.ts';
import { type Directories, findPlugin, pluginNames, strayFiles } from '../plugins/discovery.ts';
import { listeningProblem } from '../plugins/listening.ts';
import { bad, type Check, info, ok } from './checks.ts';

const rename = 'give the file another name';
const mend = 'mend the file, or remove it: docs/drivers/remote.md';

/** Nobody is asked anything, since plugins begin with their first network. */
const checkPlugin = async (name: string, directories: Directories): Promise<readonly Check[]> => {
  const found = findPlugin(directories, name);
  // Gone since the directories were listed.
  if (found === null) return [];
  const { file, read } = found;
  if (drivers.has(name))
    return [bad(`plugin ${name}`, `${file}: a driver of cnmbus has the name, so it is never asked`, rename)];
  if (!read.ok) return [bad(`plugin ${name}`, `${file}: ${read.problem}`, mend)];
  const problem = await listeningProblem(read.address);
  return problem === null
    ? [ok(`plugin ${name}`, file)]
    : [bad(`plugin ${name}`, `${file}: ${problem}`, 'start the plugin, or remove the file')];
};

/** What is called like a plugin and is none was meant to be one; everything else may be there for somebody else. */
const checkStray = ({ file, why, isMeant }: ReturnType<typeof strayFiles>[number]): Check =>
  isMeant ? bad('no plugin', `${file}: ${why}`, mend) : info('no plugin', `${file}: ${why}`);

export const checkPlugins = async (directories: Directories): Promise<readonly Check[]> => {
  const checks = await Promise.all(pluginNames(directories).map((name) => checkPlugin(name, directories)));
  const found = [...checks.flat(), ...strayFiles(directories).map(checkStray)];
  if (found.length > 0) return found;
  return [info('plugins', `none in ${[...directories.sockets, ...directories.specs].join(', ')}`)];
};
