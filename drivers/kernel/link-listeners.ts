/** Who is told of changes of links (netlink(7), net/netlink/af_netlink.c: /proc/net/netlink): whoever reacts to ours is one of them. */
import { readFileSync } from 'node:fs';
import { commandOf } from './command-name.ts';

/** RTMGRP_LINK, in the bits of the first 32 groups. */
const linkGroup = 1;
const listenersMax = 16;

/** Columns: sk, Eth (the protocol), Pid (the port, which is the process id for its first socket), Groups (hexadecimal), … */
const linkListenersIn = (text: string, own: number): readonly number[] =>
  text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, protocol, , groups]) => protocol === '0' && (Number.parseInt(groups ?? '0', 16) & linkGroup) !== 0)
    .map(([, , port]) => Number(port))
    .filter((port) => port > 0 && port !== own);

/** Of the namespace where the thread stands. */
export const linkListeners = (): readonly string[] =>
  [...new Set(linkListenersIn(readFileSync('/proc/thread-self/net/netlink', 'utf8'), process.pid))]
    .flatMap((port) => {
      const command = commandOf(port);
      return command === '' ? [] : [`pid ${port} (${command})`];
    })
    .slice(0, listenersMax);
