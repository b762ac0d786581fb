/** Every metric that a process of ours exposes: what docs/metrics.md is made from, and what the compiler holds callers to. */

interface Kind {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Their values come from closed sets: no ids, no addresses, nothing that a sender chooses. */
  readonly labels: readonly string[];
  /** Upper bounds of a histogram, seconds. */
  readonly buckets?: readonly number[];
}

/** From a tenth of a millisecond (a batch of the kernel's) to what a deadline allows. */
const seconds = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30] as const;

const counter = <const L extends readonly string[]>(help: string, labels: L) =>
  ({ type: 'counter', help, labels }) as const;
const gauge = <const L extends readonly string[]>(help: string, labels: L) =>
  ({ type: 'gauge', help, labels }) as const;
const duration = <const L extends readonly string[]>(help: string, labels: L) =>
  ({ type: 'histogram', help, labels, buckets: seconds }) as const;

/** Every service has its name in the label `service`, beside what is listed here; those of the process have none. */
export const catalogue = {
  // every service
  cnm_ready: gauge('1 when the service is ready, 0 when not: `cnm_not_ready` says why', []),
  cnm_not_ready: gauge('1 for each reason why the service is not ready', ['code']),
  cnm_log_position: gauge('position of the log that the service has folded in', []),
  cnm_log_lag_commits: gauge('positions of the log that concern the service and that it has not folded in', []),
  cnm_work_waiting: gauge('what waits in the service, by stage', ['stage']),
  cnm_work_progress: gauge('goes on with each piece of work: waiting with progress is load, without it is trouble', [
    'stage',
  ]),
  cnm_boundaries_parked: gauge('hosts and realm networks that stand still for an event that cannot be folded', []),
  cnm_appends_total: counter('appends to a stream', ['stream', 'result']),
  cnm_append_duration_seconds: duration('from an append to its acknowledgement', ['stream']),
  cnm_nats_connected: gauge('1 while the connection to NATS is up', []),
  cnm_nats_disconnects_total: counter('times the connection to NATS was lost', []),
  cnm_log_lines_total: counter('lines of warning and above in the log of the process', ['level']),
  // controller
  cnm_controller_active: gauge('1 in the controller that decides, 0 in those that stand by', []),
  cnm_commands_decided_total: counter('commands decided; `code` is empty where it was accepted', [
    'command',
    'result',
    'code',
  ]),
  cnm_commands_ended_total: counter('accepted commands that have ended while this controller was active', [
    'command',
    'status',
  ]),
  cnm_command_duration_seconds: duration('from the acceptance of a command to its end, by the clocks of who reported', [
    'command',
  ]),
  cnm_commands_open: gauge('accepted commands that have not ended', []),
  // worker
  cnm_outcomes_total: counter('outcomes reported, by type of event', ['type']),
  cnm_kernel_batch_duration_seconds: duration('a batch of plans in the kernel', []),
  cnm_kernel_plans_total: counter('plans that the kernel was given', ['result']),
  cnm_kernel_faults_total: counter('plans that failed, by the errno or code of the first fault', ['errno']),
  cnm_kernel_census_duration_seconds: duration('a census of all objects with our tag', []),
  cnm_plugin_calls_total: counter('calls of plugins; `result` is the code of the fault where there was one', [
    'method',
    'result',
  ]),
  cnm_plugin_call_duration_seconds: duration('from a call of a plugin, its turn awaited, to its answer', ['method']),
  cnm_dns_questions_total: counter('questions that sandboxes have asked', ['result']),
  cnm_dns_sandboxes: gauge('sandboxes whose questions are answered', []),
  cnm_capacity_used: gauge(
    'how much of something the host has in use; of what each network has, in the network that is fullest',
    ['what'],
  ),
  cnm_capacity_limit: gauge('how much of it there is, there: `cnm capacity ls` says what it is, and of which network', [
    'what',
  ]),
  // projector
  cnm_queries_total: counter('queries answered', ['query', 'result']),
  cnm_query_duration_seconds: duration('from a query to its answer', ['query']),
  cnm_view_rows: gauge('rows of a view', ['view']),
  cnm_capacity_pressed: gauge(
    'things of all hosts of which more than `band` percent are in use, each under the highest band',
    ['band'],
  ),
  cnm_quota_used_ratio: gauge(
    'share of a quota that is in use, of the actor who is nearest to its limit: `cnm quota ls` says who',
    ['limit'],
  ),
  cnm_quota_refused: gauge('commands that were refused for a quota, over all that the log knows', ['reason']),
  // the process
  cnm_build_info: gauge('always 1; what runs', ['version', 'node']),
  cnm_event_loop_delay_seconds: gauge('how late the loop of the process was in the last interval of a look', [
    'quantile',
  ]),
  process_start_time_seconds: gauge('start of the process, seconds since 1970', []),
  process_cpu_seconds_total: counter('processor time used, user and system', []),
  process_resident_memory_bytes: gauge('memory that is in use by the process', []),
  process_heap_bytes: gauge('memory that JavaScript uses on the main thread', []),
  process_open_fds: gauge('open file descriptors', []),
} as const satisfies Record<string, Kind>;

type Catalogue = typeof catalogue;
export type MetricName = keyof Catalogue;
type NameOf<T extends Kind['type']> = { [N in MetricName]: Catalogue[N]['type'] extends T ? N : never }[MetricName];
export type CounterName = NameOf<'counter'>;
export type GaugeName = NameOf<'gauge'>;
export type HistogramName = NameOf<'histogram'>;
export type LabelsOf<N extends MetricName> = Readonly<Record<Catalogue[N]['labels'][number], string>>;
