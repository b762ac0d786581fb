/** Everything that reads what others write. */
import type { Target } from './target.ts';
import { commands } from './targets/commands.ts';
import { dns } from './targets/dns.ts';
import { commits, exports, headers, snapshots } from './targets/log.ts';
import { netlink } from './targets/netlink.ts';
import { pluginAnswers, pluginFiles } from './targets/plugins.ts';
import { queries } from './targets/queries.ts';
import { cli, names, settings } from './targets/words.ts';

export const targets: readonly Target[] = [
  ...[commands, queries, commits, headers, exports, snapshots, netlink, dns, pluginAnswers, pluginFiles],
  ...[names, settings, cli],
];
