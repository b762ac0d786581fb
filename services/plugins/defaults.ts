/** What holds where no setting says otherwise. */

/** Docker's directories. */
export const SOCKET_DIRECTORIES: readonly string[] = ['/run/docker/plugins'];
export const SPEC_DIRECTORIES: readonly string[] = ['/etc/docker/plugins', '/usr/lib/docker/plugins'];

/** What a call has at most. */
export const CALL_TIMEOUT_MS = 5_000;
