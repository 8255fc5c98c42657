// Written by tools/dashboard_types.py from the OpenAPI document of the server; do not edit.
// Times are nanoseconds since 1970 UTC. As numbers of JavaScript they are true to a quarter of a microsecond.

/** Entries that stand side by side, and have one relation. */
export interface AlignedBlock {
  /** How they belong together. */
  relation: BlockRelation;
  /** How many they are; always one where it is changed. */
  entries: number;
  /** The sequence of the first one in the first episode; None where that has none of them. */
  a_first: number | null;
  /** The sequence of the last one. */
  a_last: number | null;
  /** The sequence of the first one in the second episode. */
  b_first: number | null;
  /** The sequence of the last one. */
  b_last: number | null;
  /** What changed; None beyond the first of many changes. */
  difference: StepDifference | null;
}

/** A file belongs to the episode from here on. */
export interface ArtifactAttached {
  /** The file. */
  artifact: ArtifactRef;
}

/** One atomic thing that happened in an episode. */
export interface ArtifactAttachedStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "artifact_attached";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: ArtifactAttached;
}

/** Where a file's bytes are and what they are. */
export interface ArtifactRef {
  /** Hash of the bytes, lower-case hex; bytes are kept once under it. */
  sha256: string;
  /** The file's name when it was attached; shown, never used as a path. */
  name: string;
  /** IANA media type guessed from the name. */
  media_type: string;
  /** Number of bytes. */
  size_bytes: number;
  /** The absolute path of a file that was not copied; None when the bytes are kept. */
  path: string | null;
}

/** How the backups of the database stand. */
export interface BackupReport {
  /** Where they go; None where nobody says. */
  target: string | null;
  /** Whether the last one that succeeded is older than it should be. */
  is_stale: boolean;
  /** When the last one was begun that succeeded; ns since 1970 UTC. */
  last_success_at: number | null;
  /** When one was last restored to see that it can be; ns since 1970 UTC. */
  last_drill_at: number | null;
  /** The job that runs. */
  running: Job | null;
  /** The last jobs, the newest first. */
  jobs: Job[];
}

/** How entries of two episodes belong together. */
export type BlockRelation = "same" | "changed" | "only_a" | "only_b";

/** An agent in a role. */
export interface BucketLane {
  /** What to write beside it; ``other`` holds the lanes beyond the twenty busiest ones. */
  name: string;
  /** The agent. */
  agent: string | null;
  /** Its role. */
  role: string | null;
  /** The stretches in which something happened. */
  cells: LaneCell[];
}

/** An episode, or a part of one, too long to be drawn bar by bar. */
export interface BucketTimeline {
  /** Which answer it is. */
  type: "buckets";
  /** The episode. */
  episode: Episode;
  /** Where the first bucket begins; ns since 1970 UTC. */
  since: number;
  /** Where the last bucket ends. */
  until: number;
  /** How long a bucket is. */
  width_ns: number;
  /** Those in which something happened. */
  buckets: TimeBucket[];
  /** The same by agent. */
  lanes: BucketLane[];
}

/** How the calls of a tool or of a model went. */
export interface CallFigures {
  /** The tool, or the model as it was asked for. */
  name: string;
  /** How many began. */
  calls: number;
  /** How many of them ended with an error. */
  errors: number;
  /** How many of them were cancelled. */
  cancelled: number;
  /** How many of them nothing has closed. */
  open: number;
  /** Errors as a share of the calls that ended, from 0 to 1; None when none ended. */
  error_rate: number | null;
  /** How long they took. */
  duration: Percentiles;
}

/** One message of a conversation. */
export interface ChatMessage {
  /** Who speaks. */
  role: ChatRole;
  /** What is said. */
  parts: (TextPart | ReasoningPart | ToolCallPart | ToolResultPart | FilePart | OtherPart)[];
  /** The speaker's name, where roles are not enough. */
  name: string | null;
  /** It repeats context of another trajectory and must be left out of training. */
  copied: boolean;
}

/** Who speaks in a conversation with a model. */
export type ChatRole = "system" | "developer" | "user" | "assistant" | "tool";

/** What ran, and on what. */
export interface CodeVersion {
  /** Commit of the working directory, when it is a git checkout. */
  git_commit: string | null;
  /** Version of the interpreter. */
  python: string;
  /** Operating system and machine. */
  platform: string;
  /** Name of the machine. */
  host: string;
  /** What was started, as in ``sys.argv[0]``. */
  program: string;
  /** Installed distributions, each as ``name==version``, sorted. */
  packages: string[];
}

/** What the committer last said of itself. */
export interface CommitterReport {
  /** Its process. */
  pid: number;
  /** `committing`, `opening`, or what keeps it from it. */
  state: string;
  /** Whether it holds the office and was heard of a moment ago. */
  is_alive: boolean;
  /** Its term of office. */
  generation: number;
  /** The last cursor it committed. */
  cursor: number;
  /** How long ago it was heard of; None where that was before the machine's last start. */
  heartbeat_age_ns: number | null;
  /** The stepstream it is. */
  release: string;
}

/** One of the two episodes. */
export interface ComparedEpisode {
  /** The episode. */
  episode: Episode;
  /** How many of its steps were compared; at most 20,000. */
  steps: number;
  /** How many entries these are. */
  entries: number;
  /** Whether that is all of them. */
  is_complete: boolean;
  /** From its first step to its last. */
  duration_ns: number;
  /** Tokens of its model calls, sent and received. */
  tokens: number;
  /** What these cost, by currency. */
  costs: CostFigures[];
}

/** One side of a changed entry. */
export interface ComparedStep {
  /** The step. */
  sequence: number;
  /** The step that closes it. */
  closing_sequence: number | null;
  /** How long it took. */
  duration_ns: number | null;
  /** Tokens of a model's call, sent and received. */
  tokens: number | null;
  /** What that cost. */
  cost: number | null;
}

/** What one agent had said and been told. */
export interface Conversation {
  /** The agent. */
  agent: string | null;
  /** Its role when it last took part. */
  role: string | null;
  /** The step that changed it last. */
  changed_at_sequence: number;
  /** In order, as the agent's next model call would have been sent them. */
  messages: ChatMessage[];
}

/** A step of one of stepstream's own kinds, which tells what its payload is. */
export type CoreStep = ArtifactAttachedStep | ErrorReportStep | FeedbackStep | HandoffStep | InterventionStep | LogLineStep | LossStep | MessageStep | ModelCallStep | ModelReplyStep | ObservationStep | PlanUpdateStep | StatusChangeStep | ThoughtStep | ToolCallStep;

/** Money as stated by ``source``; never estimated by stepstream. */
export interface Cost {
  /** The figure. */
  amount: number;
  /** ISO 4217. */
  currency: string;
  /** Who stated it. */
  source: string;
}

/** Money in one currency. */
export interface CostFigures {
  /** ISO 4217. */
  currency: string;
  /** The sum. */
  amount: number;
}

/** What may be done with an episode when it becomes training data. */
export interface DataUse {
  /** As `train` or `test`. */
  split: string | null;
  /** Under which licence. */
  licence: string | null;
  /** Whose consent there is. */
  consent: string | null;
}

/** A piece of an answer that is still being made: shown to who watches now, never stored. */
export interface Delta {
  /** The ModelCall or ToolCall it belongs to. */
  step_id: string;
  /** The episode of that call. */
  episode_id: string;
  /** What came. */
  text: string;
  /** Of which part of the answer. */
  part: DeltaPart;
}

/** Which part of an answer a delta belongs to. */
export type DeltaPart = "content" | "reasoning" | "tool_call" | "output";

/** Ephemeral: pieces of answers, with no cursor; whoever was away has missed them. */
export interface DeltasMessage {
  /** Tells the messages apart. */
  type: "deltas";
  /** The pieces, in the order in which they came. */
  deltas: Delta[];
}

/** The first place at which two episodes are not the same. */
export interface Divergence {
  /** The step of the first episode; None where it is at its end. */
  a_sequence: number | null;
  /** The step of the second. */
  b_sequence: number | null;
}

/** How a trajectory ended, kept apart as learners need it (Minari, Gymnasium). */
export type Ending = "terminated" | "truncated";

/** One run of an agent on one problem, as far as the log tells. */
export interface Episode {
  /** UUIDv7. */
  id: string;
  /** What it is about, for people. */
  name: string;
  /** `running`, `completed`, `failed`, `cancelled` or `interrupted`. */
  status: Status;
  /** Why it has that status, where somebody said. */
  reason: string | null;
  /** The benchmark item or task. */
  problem: string | null;
  /** 1 for the first try at the problem. */
  attempt: number;
  /** The episode this one is a part or a retry of. */
  parent_id: string | null;
  /** Free labels. */
  tags: string[];
  /** When it began. */
  started_at: number;
  /** When it ended. */
  ended_at: number | null;
  /** A word of the project's. */
  outcome: string | null;
  /** A figure of the project's. */
  score: number | null;
  /** The project's own model. */
  metadata: MetadataRef | null;
  /** Git commit, packages, Python and machine. */
  code_version: CodeVersion | null;
  /** What may be done with it in training. */
  data_use: DataUse | null;
  /** `terminated` or `truncated`. */
  ending: Ending | null;
  /** It took the steps logged outside any episode. */
  ambient: boolean;
  /** Its own beginning is missing; it was made up from a step that named it. */
  implied: boolean;
  /** Who opened it. */
  agent: string | null;
  /** That agent's role. */
  role: string | null;
  /** How many steps it has. */
  steps: number;
  /** How many of them are error reports. */
  errors: number;
  /** The cursor of its last step. */
  last_cursor: number;
  /** When that was logged. */
  last_at: number;
}

/** Two episodes side by side. */
export interface EpisodeComparison {
  /** The first. */
  a: ComparedEpisode;
  /** The second. */
  b: ComparedEpisode;
  /** How many entries are the same. */
  same: number;
  /** How many changed. */
  changed: number;
  /** How many only the first one has. */
  only_a: number;
  /** How many only the second one has. */
  only_b: number;
  /** Where they part; None when they never do. */
  first_divergence: Divergence | null;
  /** Whether no shorter alignment of what lies between the matches exists. */
  is_minimal: boolean;
  /** The alignment, from beginning to end. */
  blocks: AlignedBlock[];
}

/** How an episode went. */
export interface EpisodeEnd {
  /** A word of the project's, such as ``accepted``. */
  outcome: string | null;
  /** A figure of the project's. */
  score: number | null;
  /** Whether the task ended or was cut off. */
  ending: Ending | null;
  /** Steps that were still running. */
  open_steps: string[];
}

/** What the episodes of a list have; of each facet the hundred most frequent values. */
export interface EpisodeFacets {
  /** How many episodes were counted. */
  episodes: number;
  /** Whether these are all; else the older ones were left out. */
  is_complete: boolean;
  /** By state. */
  status: FacetValue[];
  /** By the role of the agent that began them. */
  role: FacetValue[];
  /** By that agent. */
  agent: FacetValue[];
  /** By problem. */
  problem: FacetValue[];
  /** By tag. */
  tag: FacetValue[];
}

/** Episodes, the latest to start first. */
export interface EpisodePage {
  /** The episodes. */
  items: EpisodeSummary[];
  /** The episode id to pass as ``before`` for the next page; None when there is nothing more. */
  next: string | null;
  /** Which life of the database it is. */
  epoch: string;
}

/** What is stated of an episode when it begins. */
export interface EpisodeStart {
  /** What the episode is about, for people. */
  name: string;
  /** The benchmark item or task it works on. */
  problem: string | null;
  /** 1 for the first try at the problem. */
  attempt: number;
  /** The episode this one is a part or a retry of. */
  parent_id: string | null;
  /** Free labels. */
  tags: string[];
  /** The project's own model. */
  metadata: MetadataRef | null;
  /** What ran. */
  code_version: CodeVersion | null;
  /** What may be done with it in training. */
  data_use: DataUse | null;
  /** It took the steps logged outside any episode. */
  ambient: boolean;
  /** Its own beginning is missing; it was made up from a step that named it. */
  implied: boolean;
}

/** An episode as it was when a step had just been logged. */
export interface EpisodeState {
  /** The episode. */
  episode_id: string;
  /** The step's sequence. */
  sequence: number;
  /** When it was logged; ns since 1970 UTC. */
  occurred_at: number;
  /** The episode's status. */
  status: Status;
  /** Why it had that status, where it was said. */
  reason: string | null;
  /** Who logged the step. */
  agent: string | null;
  /** That agent's role. */
  role: string | null;
  /** Every agent's; the one that changed last stands last. */
  conversations: Conversation[];
  /** Calls that nothing had closed. */
  open_steps: Step[];
  /** The files known, each once, in the order in which they came. */
  artifacts: ArtifactRef[];
  /** The plan; empty where none was made. */
  plan: PlanItem[];
}

/** An episode in equal parts of its time. */
export interface EpisodeStrip {
  /** How many steps there are. */
  steps: number;
  /** When the first part begins; ns since 1970 UTC. */
  since: number;
  /** How long each part is. */
  width_ns: number;
  /** The parts, empty ones too. */
  buckets: StripBucket[];
}

/** An episode as a list shows it. */
export interface EpisodeSummary {
  /** The episode, with the number of its steps and errors. */
  episode: Episode;
  /** The step that was logged last. */
  latest: StepGlance | null;
}

/** The spans and instants of an episode, each in the order of their sequence. */
export interface EpisodeTimeline {
  /** The episode. */
  episode: Episode;
  /** Every lane, in the order of appearance. */
  lanes: string[];
  /** What took time. */
  spans: Span[];
  /** What did not. */
  instants: Instant[];
}

/** Something went wrong. */
export interface ErrorReport {
  /** What the exception says. */
  message: string;
  /** Its class, with the module unless it is a builtin. */
  exception_type: string | null;
  /** The full text as the interpreter prints it, causes included. */
  traceback: string | null;
  /** The same as data, outermost first. */
  frames: Frame[];
  /** The exception it was raised from, or while handling which it was raised. */
  cause: ExceptionReport | null;
  /** The members of an exception group. */
  exceptions: ExceptionReport[];
}

/** One atomic thing that happened in an episode. */
export interface ErrorReportStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "error_report";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: ErrorReport;
}

/** An episode, or a part of one, bar by bar. */
export interface ExactTimeline {
  /** Which answer it is. */
  type: "exact";
  /** Its spans and instants. */
  timeline: EpisodeTimeline;
}

/** An exception inside another one: its cause, its context or a member of its group. */
export interface ExceptionReport {
  /** What it says. */
  message: string;
  /** Its class. */
  exception_type: string;
  /** Its traceback, outermost first. */
  frames: Frame[];
  /** `cause` (`raise ... from`) or `context` (raised while handling it). */
  relation: Relation | null;
  /** The one before it. */
  cause: ExceptionReport | null;
  /** The members, if it is a group. */
  exceptions: ExceptionReport[];
}

/** A value of a facet. */
export interface FacetValue {
  /** The value. */
  value: string;
  /** How many episodes have it. */
  episodes: number;
}

/** A judgement of a step or an episode by a person, a reviewer agent or a reward model. */
export interface Feedback {
  /** Who judged. */
  author: string;
  /** The step that is judged; None means the episode. */
  target: string | null;
  /** A figure on the author's own scale. */
  score: number | null;
  /** The figure a learner shall see. */
  reward: number | null;
  /** A class, such as ``accepted``. */
  label: string | null;
  /** Words. */
  comment: string | null;
}

/** One atomic thing that happened in an episode. */
export interface FeedbackStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "feedback";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: Feedback;
}

/** One thing that is wrong with one field, which is a parameter or a dotted path into the body. */
export interface FieldProblem {
  /** A parameter, or a dotted path into the body. */
  field: string;
  /** The beginning of what was sent. */
  value: string;
  /** What is wrong with it. */
  reason: string;
}

/** An image, a sound or a file: by address, or as an artifact. */
export interface FilePart {
  /** Tells the parts apart. */
  type: "file";
  /** IANA media type. */
  media_type: string;
  /** Its address. */
  uri: string | null;
  /** Its bytes, where they are kept. */
  artifact: ArtifactRef | null;
}

/** One thing that is not as it should be. */
export interface Finding {
  /** What is wrong. */
  kind: FindingKind;
  /** The same in words, with the figures. */
  detail: string;
  /** The episode, where it belongs to one. */
  episode_id: string | null;
  /** The step, where it belongs to one. */
  cursor: number | null;
}

/** What is not as it should be. */
export type FindingKind = "sequence_gap" | "cursor_order" | "closes_nothing" | "closes_later" | "closed_twice" | "parent_missing" | "parent_later" | "projection" | "recorder_numbers" | "payload_invalid" | "content_damaged" | "artifact_missing" | "artifact_changed" | "file_damaged";

/** Why the model stopped. */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "error" | "other";

/** One line of a traceback, outermost first. */
export interface Frame {
  /** The source file. */
  file: string;
  /** The line in it. */
  line: number;
  /** The function. */
  function: string;
  /** The text of the line. */
  code: string | null;
}

/** One agent hands the work to another. */
export interface Handoff {
  /** Who gets the work. */
  recipient: string;
  /** That agent's role. */
  recipient_role: string | null;
  /** What goes with it. */
  message: string;
}

/** One atomic thing that happened in an episode. */
export interface HandoffStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "handoff";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: Handoff;
}

/** The process answers. */
export interface Health {
  /** Always `up`; where it is not there is no answer. */
  status: "up";
  /** Which stepstream it is. */
  release: string;
}

/** A part of a snippet that was looked for: from ``start`` up to but not including ``end``. */
export interface Highlight {
  /** The first character. */
  start: number;
  /** The character behind the last one. */
  end: number;
}

/** What a history is. */
export interface HistoryInfo {
  /** The file. */
  path: string;
  /** Which database it is, whatever it is called. */
  database_id: string;
  /** Which life of the database its cursors belong to. */
  epoch: string;
  /** Version of its tables. */
  schema_version: number;
  /** The highest cursor given out. */
  last_cursor: number;
  /** The highest cursor that was pruned; 0 when nothing was. */
  pruned_to: number;
  /** How many there are. */
  episodes: number;
  /** How many of them have not ended. */
  running: number;
  /** How many there are. */
  steps: number;
  /** How many steps are errors. */
  errors: number;
  /** How many Loss steps there are; each tells of steps known to be missing. */
  losses: number;
  /** Secrets taken out, by kind. */
  redactions: RedactionCount[];
}

/** Figures of the newest steps. */
export interface HistoryStatistics {
  /** Steps committed before this moment were left out; ns since 1970 UTC. */
  since: number;
  /** Up to when steps were counted. */
  until: number;
  /** Steps up to this cursor were left out. */
  after: number;
  /** The last cursor that was looked at. */
  cursor: number;
  /** How many steps were looked at, passing the filter or not; at most 50,000. */
  looked_at: number;
  /** False when there are so many steps that the oldest of them were left out. */
  is_complete: boolean;
  /** How many steps were counted. */
  steps: number;
  /** How many of them are errors. */
  errors: number;
  /** The steps by kind, the most frequent one first; at most a hundred. */
  kinds: KindFigures[];
  /** The tools, the one with the most calls first; at most a hundred. */
  tools: CallFigures[];
  /** The models, likewise. */
  models: ModelFigures[];
  /** What is known to be missing. */
  losses: LossFigures;
  /** From when a step occurred to when it was committed. */
  lag: Percentiles;
  /** Steps over time; those in which nothing happened are left out. */
  moments: MomentFigures[];
  /** How long such a stretch is. */
  moment_ns: number;
}

/** How far an index is. */
export interface IndexProgress {
  /** ``waiting`` for a history, ``indexing``, ``current``, ``elsewhere`` when another process does the work, ``no_room`` on the disk, or ``failed``. */
  state: IndexerState;
  /** The cursor that it reached. */
  indexed_to: number;
  /** The last cursor there was. */
  last_cursor: number;
  /** What keeps it from its work. */
  problem: string | null;
}

/** What an indexer does. */
export type IndexerState = "waiting" | "indexing" | "current" | "elsewhere" | "no_room" | "failed";

/** Something that happened at one moment; the attributes are those of a span. */
export interface Instant {
  /** The step. */
  step_id: string;
  /** Its sequence. */
  sequence: number;
  /** Its kind. */
  kind: string;
  /** A few words. */
  label: string | null;
  /** Where to draw it: the agent and its role. */
  lane: string;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** When; ns since 1970 UTC. */
  at: number;
}

/** A person stepped in; what the agent does afterwards is no longer its own policy. */
export interface Intervention {
  /** What was ordered: `pause`, `resume`, `cancel`, `message`, `approve` or `deny`. */
  action: InterventionKind;
  /** The person. */
  author: string;
  /** What the person said. */
  text: string | null;
  /** The step that is meant. */
  target: string | null;
  /** Arguments as the person changed them. */
  edited_arguments: { [key: string]: JsonValue } | null;
}

/** What a person ordered. */
export type InterventionKind = "pause" | "resume" | "cancel" | "message" | "approve" | "deny";

/** One atomic thing that happened in an episode. */
export interface InterventionStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "intervention";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: Intervention;
}

/** A backup or a drill, as it stands or as it ended. */
export interface Job {
  /** What it is called. */
  id: string;
  /** What it does. */
  kind: JobKind;
  /** Who asked for it. */
  trigger: Trigger;
  /** Where the backups are. */
  target: string;
  /** How it stands. */
  state: JobState;
  /** What it is at, or was at when it ended. */
  stage: Stage;
  /** ns since 1970 UTC. */
  started_at: number;
  /** ns since 1970 UTC. */
  ended_at: number | null;
  /** How far the stage is. */
  done_bytes: number;
  /** How far it goes; 0 when nobody knows. */
  total_bytes: number;
  /** The backup that was taken, or restored. */
  backup: string | null;
  /** How many bytes the database has, or what was added to it. */
  size_bytes: number | null;
  /** How many bytes of it lie on the target. */
  stored_bytes: number | null;
  /** How many steps the database holds. */
  steps: number | null;
  /** Its last cursor. */
  cursor: number | null;
  /** How many files travelled with it. */
  artifacts_sent: number;
  /** How many should have, and could not be had. */
  artifacts_lacking: number;
  /** Whether what lies on the target was read again and is what was sent. */
  is_verified: boolean;
  /** What else is worth knowing. */
  note: string | null;
  /** Why it failed. */
  error: string | null;
  /** Of which kind that is. */
  error_type: string | null;
}

/** What a job does. */
export type JobKind = "full" | "increment" | "drill";

/** How a job stands. */
export type JobState = "running" | "succeeded" | "failed";

/** Any JSON. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** How many steps are of a kind. */
export interface KindCount {
  /** The kind; ``other`` stands for those beyond the thirty most frequent ones. */
  kind: string;
  /** How many steps are of it. */
  steps: number;
}

/** How many steps are of a kind. */
export interface KindFigures {
  /** The kind. */
  kind: string;
  /** How many steps are of it. */
  steps: number;
}

/** Kinds in the order of their names and versions. */
export interface KindPage {
  /** The kinds. */
  items: StoredKind[];
  /** What to pass as ``after`` for the next page; None when there is nothing more. */
  next: string | null;
}

/** The answer: whether the database had not heard of this kind and version before. */
export interface KindRegistered {
  /** The kind. */
  kind: string;
  /** The version. */
  version: number;
  /** Whether the database had not heard of it before. */
  is_new: boolean;
}

/** The body of ``POST /api/v1/kinds``: the JSON schema of a project's own kind, before its first step. */
export interface KindRegistration {
  /** The kind's name. */
  kind: string;
  /** Version of the schema. */
  version: number;
  /** JSON Schema, draft 2020-12, of the payload; references to elsewhere are refused. */
  json_schema: { [key: string]: JsonValue };
}

/** What happened in one lane in a stretch of time. */
export interface LaneCell {
  /** The place of the bucket. */
  index: number;
  /** How many steps occurred in it. */
  steps: number;
  /** How many of them are errors. */
  errors: number;
  /** The share of it in which some call was open, from 0 to 1. */
  busy: number;
}

/** All that was there when the client came was told; what follows is told as it is committed. */
export interface LiveMessage {
  /** Tells the messages apart. */
  type: "live";
  /** Which life of the database the cursor belongs to. */
  epoch: string;
  /** Everything up to here was told. */
  cursor: number;
}

/** The standard library's levels, by name. */
export type LogLevel = "debug" | "info" | "warning" | "error" | "critical";

/** One record of the logging or structlog packages. */
export interface LogLine {
  /** `debug`, `info`, `warning`, `error` or `critical`. */
  level: LogLevel;
  /** The logger's name. */
  logger: string;
  /** The message. */
  text: string;
  /** What else the record carries. */
  fields: { [key: string]: JsonValue };
  /** Where it was logged. */
  file: string | null;
  /** The line there. */
  line: number | null;
}

/** One atomic thing that happened in an episode. */
export interface LogLineStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "log_line";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: LogLine;
}

/** Steps of one recorder that are known to be missing. */
export interface Loss {
  /** Whose numbers they are. */
  recorder_id: string;
  /** The first missing number. */
  first: number;
  /** The last missing number; None when nobody can know. */
  last: number | null;
  /** How they came to be missing. */
  reason: LossReason;
  /** What is known about it. */
  detail: string;
  /** File under ``damaged`` in the spool that keeps the bytes, when there are any. */
  kept_as: string | null;
}

/** Steps known to be missing, as the Loss steps among those counted tell. */
export interface LossFigures {
  /** How many Loss steps there are. */
  reports: number;
  /** How many steps they say are missing, where they know. */
  steps: number;
}

/** How steps came to be missing. */
export type LossReason = "refused" | "damaged" | "missing" | "invalid";

/** Steps that are known to be missing, as the log tells; not a fault of the history, but never silent. */
export interface LossReport {
  /** The step that tells. */
  cursor: number;
  /** Its episode. */
  episode_id: string;
  /** What it says. */
  loss: Loss;
}

/** One atomic thing that happened in an episode. */
export interface LossStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "loss";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: Loss;
}

/** A message from a person or another agent. */
export interface Message {
  /** Who says it. */
  author: string;
  /** What is said. */
  text: string;
  /** To whom; None for whoever logs it. */
  recipient: string | null;
}

/** One atomic thing that happened in an episode. */
export interface MessageStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "message";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: Message;
}

/** A project's own typed metadata as it was stated: the model's name and its JSON. */
export interface MetadataRef {
  /** The model's full name. */
  model: string;
  /** Its JSON. */
  value: { [key: string]: JsonValue };
}

/** A change of the database's tables that was made. */
export interface MigrationReport {
  /** The version they have had since. */
  version: number;
  /** What it did. */
  name: string;
  /** When; ns since 1970 UTC. */
  applied_at: number;
  /** The stepstream that did it. */
  release: string;
}

/** A model is asked; a ModelReply or an ErrorReport closes it. */
export interface ModelCall {
  /** Its name as it was asked for. */
  model: string;
  /** Who serves it. */
  provider: string | null;
  /** The conversation sent. */
  messages: ChatMessage[];
  /** The tools offered. */
  tools: ToolDefinition[];
  /** How tokens are drawn. */
  sampling: Sampling | null;
  /** The exact text after the chat template, when known. */
  rendered_prompt: string | null;
  /** The exact token ids sent, when known. */
  prompt_tokens: TokenArray | null;
  /** Revision, tokenizer, template and policy version. */
  identity: ModelIdentity | null;
}

/** One atomic thing that happened in an episode. */
export interface ModelCallStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "model_call";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: ModelCall;
}

/** What the calls of a model took, as far as it was stated. */
export interface ModelFigures {
  /** How they went. */
  calls: CallFigures;
  /** Tokens sent. */
  input_tokens: number;
  /** Tokens received. */
  output_tokens: number;
  /** Those of the tokens sent that the provider had cached. */
  cached_input_tokens: number;
  /** Tokens of reasoning. */
  reasoning_tokens: number;
  /** Money, by currency. */
  costs: CostFigures[];
}

/** Exactly which model, so that tokens can be reproduced. */
export interface ModelIdentity {
  /** Of the weights. */
  revision: string | null;
  /** Hash of the tokenizer. */
  tokenizer_sha256: string | null;
  /** Hash of the chat template. */
  chat_template_sha256: string | null;
  /** Of the policy that is being trained. */
  policy_version: string | null;
}

/** What the model answered; it closes its ModelCall. */
export interface ModelReply {
  /** The reply, reasoning and tool calls among its parts. */
  message: ChatMessage | null;
  /** The model that answered, as it names itself. */
  model: string | null;
  /** The provider's id of the response. */
  response_id: string | null;
  /** Why it stopped. */
  finish_reason: FinishReason | null;
  /** The same in the provider's word. */
  provider_finish_reason: string | null;
  /** Tokens. */
  usage: Usage | null;
  /** Money. */
  cost: Cost | null;
  /** The token ids as sampled, when known. */
  completion_tokens: TokenArray | null;
  /** The log-probability of each sampled token. */
  log_probabilities: TokenArray | null;
  /** The exact text as sampled, special tokens included. */
  rendered_completion: string | null;
  /** The call was cancelled before it had a reply. */
  cancelled: boolean;
}

/** One atomic thing that happened in an episode. */
export interface ModelReplyStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "model_reply";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: ModelReply;
}

/** How many steps were committed in a stretch of time. */
export interface MomentFigures {
  /** When it begins; ns since 1970 UTC. */
  at: number;
  /** How many steps. */
  steps: number;
  /** How many of them are errors. */
  errors: number;
}

/** What came back; it closes the step it answers. */
export interface Observation {
  /** Any JSON value. */
  result: JsonValue;
  /** The work was cancelled before it had a result; that is not an error. */
  cancelled: boolean;
  /** JSON pointers into ``result`` where an :class:`Unstorable` stands for a value. */
  unstorable: string[];
  /** Values that were too long for a step, kept as files. */
  artifacts: ArtifactRef[];
}

/** One atomic thing that happened in an episode. */
export interface ObservationStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "observation";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: Observation;
}

/** The process that logged a step. */
export interface Origin {
  /** Its recorder. */
  recorder_id: string;
  /** The process. */
  pid: number;
  /** The machine. */
  host: string;
}

/** A provider's own part, kept as it came. */
export interface OtherPart {
  /** Tells the parts apart. */
  type: "other";
  /** What the provider calls it. */
  name: string;
  /** As it came. */
  value: JsonValue;
}

/** One atomic thing that happened in an episode. */
export interface OtherStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: string;
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: { [key: string]: JsonValue };
}

/** A step and what closed it, without their payloads. */
export interface OutlineNode {
  /** The step's sequence. */
  sequence: number;
  /** The step. */
  step_id: string;
  /** The sequence of the node it is under; None for a root. */
  under: number | null;
  /** The sequence of the step that closes it, which has no node of its own. */
  closing_sequence: number | null;
  /** The step's kind. */
  kind: string;
  /** A few words: the tool, the model, the beginning of a text. */
  label: string | null;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** How it stands; None for what takes no time. */
  status: SpanStatus | null;
  /** When it was logged; ns since 1970 UTC. */
  started_at: number;
  /** When it was closed; None while it is not. */
  ended_at: number | null;
}

/** Nodes in the order of their sequence. */
export interface OutlinePage {
  /** The nodes. */
  items: OutlineNode[];
  /** The sequence to pass as ``after`` for the next page; None when there is nothing more yet. */
  next: number | null;
  /** How many steps the episode has, those that close others among them. */
  steps: number;
  /** Which life of the database it is. */
  epoch: string;
}

/** How a duration is spread; None where nothing was measured. */
export interface Percentiles {
  /** How many were measured. */
  count: number;
  /** Half of them are no longer. */
  p50_ns: number | null;
  /** Ninety-five of a hundred are no longer. */
  p95_ns: number | null;
  /** The longest. */
  max_ns: number | null;
}

/** One line of a plan. */
export interface PlanItem {
  /** What is to be done. */
  text: string;
  /** `pending`, `active`, `done` or `dropped`. */
  status: PlanStatus;
}

/** How far an item of a plan is. */
export type PlanStatus = "pending" | "active" | "done" | "dropped";

/** The plan as it stands now, whole. */
export interface PlanUpdate {
  /** Every item, done ones too. */
  items: PlanItem[];
}

/** One atomic thing that happened in an episode. */
export interface PlanUpdateStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "plan_update";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: PlanUpdate;
}

/** A recorder will log no more: what it left open was interrupted. */
export interface PostedEnd {
  /** Index in ``recorders``. */
  recorder: number;
  /** The number its next frame would have had; None where nobody knows. */
  next_number: number | null;
}

/** Numbers of a recorder that are known to be lost, or to stand for no step, such as announced schemas. */
export interface PostedGap {
  /** Index in ``recorders``. */
  recorder: number;
  /** The first number. */
  first: number;
  /** The last number. */
  last: number;
  /** How steps came to be missing there; None where nothing is missing. */
  reason: LossReason | null;
  /** What is known about it. */
  detail: string;
  /** File on the recorder's machine, below its spool, that keeps the bytes. */
  kept_as: string | null;
}

/** A process that logged what is posted. */
export interface PostedRecorder {
  /** UUIDv7, the same for as long as the process logs. */
  id: string;
  /** The process, on its machine. */
  pid: number;
  /** Its machine. */
  host: string;
  /** The boot of that machine, 32 hex digits. */
  boot_id: string;
  /** What wrote it, such as ``stepstream 0.1.0``. */
  release: string;
  /** ns since 1970 UTC. */
  started_at: number;
}

/** A step as its logger has it: without sequence and cursor, which the database gives. */
export interface PostedStep {
  /** UUIDv7 made by the client; posting it again stores nothing new. */
  id: string;
  /** The episode it belongs to; one that nobody has begun is begun by it. */
  episode_id: string;
  /** What the payload is. */
  kind: string;
  /** Version of the payload. */
  schema_version: number;
  /** What happened. */
  payload: { [key: string]: JsonValue };
  /** When; ns since 1970 UTC. */
  occurred_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Index in ``recorders`` of the process that logged it. */
  recorder: number | null;
  /** Counts the recorder's frames from 0, so that a missing one is noticed; goes with ``recorder``. */
  number: number | null;
}

/** Why a request was not answered, as RFC 9457 says it. */
export interface ProblemDetails {
  /** The status in words. */
  title: string;
  /** The HTTP status. */
  status: number;
  /** What failed, on what, and what to do. */
  detail: string;
  /** What to quote when asking the operator; the server's log has it too. */
  request_id: string;
  /** Where in a filter it went wrong. */
  position: number | null;
  /** The episodes, at most ten, that the beginning of an id fits. */
  candidates: string[];
  /** Each field that does not fit. */
  problems: FieldProblem[];
}

/** Steps are taken in and can be read. */
export interface Ready {
  /** Always `ready`; else the answer is a problem. */
  status: "ready";
}

/** The model's reasoning; ``signature`` and ``encrypted`` are the provider's own. */
export interface ReasoningPart {
  /** Tells the parts apart. */
  type: "reasoning";
  /** The reasoning. */
  text: string;
  /** The provider's own. */
  signature: string | null;
  /** The provider's own. */
  encrypted: string | null;
}

/** How far a recorder's steps are stored. */
export interface RecorderPosition {
  /** The recorder. */
  id: string;
  /** The highest number of its frames that is accounted for. */
  last_number: number;
  /** When it was known to log no more; ns since 1970 UTC. */
  ended_at: number | null;
}

/** One process that logged. */
export interface RecorderReport {
  /** Its recorder. */
  recorder_id: string;
  /** Its process. */
  pid: number;
  /** Its machine. */
  host: string;
  /** How many of its steps are stored, those the committer added in its name left out. */
  steps: number;
  /** The highest number of its frames; None in the report of one episode. */
  last_number: number | null;
  /** How many numbers are known to be missing; None in the report of one episode. */
  lost: number | null;
  /** How many of its steps were refused; None in the report of one episode. */
  refused: number | null;
}

/** How many secrets of a kind were taken out before they were stored. */
export interface RedactionCount {
  /** The kind of secret. */
  kind: string;
  /** How many were taken out. */
  count: number;
}

/** How an earlier exception belongs to a later one. */
export type Relation = "cause" | "context";

/** The cursor that was asked for is not of this database's life; what follows starts at ``cursor``. */
export interface Reset {
  /** Tells the events apart. */
  type: "reset";
  /** Which life of the database it is now. */
  epoch: string;
  /** What follows starts behind it. */
  cursor: number;
  /** `epoch_changed` (replaced, restored or rolled back) or `pruned`. */
  reason: ResetReason;
}

/** Why a subscriber's cursor means nothing any more. */
export type ResetReason = "epoch_changed" | "pruned";

/** Work that went from one role to another. */
export interface RoleEdge {
  /** The name of the role that had it. */
  source: string;
  /** The name of the role that got it. */
  target: string;
  /** Handed over by a Handoff step, or another role simply logged the next step. */
  kind: RoleEdgeKind;
  /** How often. */
  count: number;
}

/** How work came from one role to another. */
export type RoleEdgeKind = "handoff" | "change";

/** The roles of an episode, in the order of appearance. */
export interface RoleGraph {
  /** The episode. */
  episode_id: string;
  /** The roles. */
  nodes: RoleNode[];
  /** What went between them. */
  edges: RoleEdge[];
  /** The role that logged last. */
  current: string | null;
}

/** A role, or an agent without one. */
export interface RoleNode {
  /** The role, or the agent where no role is stated. */
  name: string;
  /** Who acted in it, in the order of appearance. */
  agents: string[];
  /** How many steps it logged. */
  steps: number;
  /** How many of them are errors. */
  errors: number;
  /** How many of them are tool calls. */
  tool_calls: number;
}

/** How tokens were drawn; ``other`` holds a provider's own settings. */
export interface Sampling {
  /** The sampling temperature. */
  temperature: number | null;
  /** Nucleus sampling. */
  top_p: number | null;
  /** Only the likeliest so many. */
  top_k: number | null;
  /** The bound on the reply. */
  tokens_max: number | null;
  /** Where the provider takes one. */
  seed: number | null;
  /** Texts that end the reply. */
  stop: string[];
  /** As the provider defines it. */
  presence_penalty: number | null;
  /** As the provider defines it. */
  frequency_penalty: number | null;
  /** In the provider's word. */
  reasoning_effort: string | null;
  /** A provider's own settings. */
  other: { [key: string]: JsonValue };
}

/** What a token may be good for; ``admin`` includes the others. */
export type Scope = "read" | "record" | "control" | "admin";

/** A step that was found. */
export interface SearchHit {
  /** The step. */
  id: string;
  /** Its cursor. */
  cursor: number;
  /** The episode it belongs to. */
  episode_id: string;
  /** What that episode is about. */
  episode_name: string;
  /** Its sequence in the episode. */
  sequence: number;
  /** What it is. */
  kind: string;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** When; ns since 1970 UTC. */
  occurred_at: number;
  /** Where the words stand. */
  snippet: Snippet;
}

/** Steps that were found, the newest first. */
export interface SearchPage {
  /** The steps. */
  items: SearchHit[];
  /** The cursor to pass as ``before`` for the next page; None when there is nothing more. */
  next: number | null;
  /** Every step from there to where the page began was looked at. */
  searched_to: number;
  /** Whether there is nothing more. */
  is_complete: boolean;
  /** How far the index reaches. Newer steps are read one by one, which takes long where they are many. */
  indexed_to: number;
  /** The last cursor when the page was made. */
  last_cursor: number;
  /** Which life of the database the cursors belong to. */
  epoch: string;
}

/** A file of the spool. */
export interface SegmentReport {
  /** The file. */
  name: string;
  /** The process that writes or wrote it; None where its first block cannot be read. */
  pid: number | null;
  /** That process's machine. */
  host: string | null;
  /** What it holds. */
  held_bytes: number;
  /** Whether a process still writes to it. */
  is_owned: boolean;
  /** How many steps its owner had to refuse. */
  refused: number;
  /** When it was last written to; ns since 1970 UTC. */
  changed_at: number;
}

/** Who somebody is to the server. */
export interface SessionInformation {
  /** The token's name, or ``local`` for whoever may connect without one. */
  name: string;
  /** What one may do. */
  scopes: Scope[];
  /** What X-CSRF-Token has to hold in requests that change something; None without a session. */
  csrf_token: string | null;
  /** Until when the session counts, if it is not renewed by then; ns since 1970 UTC. */
  expires_at: number | null;
}

/** The body of a sign-in. */
export interface SignIn {
  /** What ``stepstream token create`` has shown. */
  token: string;
}

/** A piece of a step's text, as it was recorded; an ellipsis stands where it was cut. */
export interface Snippet {
  /** The piece. */
  text: string;
  /** What in it was looked for, in order and without overlap. */
  highlights: Highlight[];
}

/** Something that took time, or is taking it. */
export interface Span {
  /** The step that opened it. */
  step_id: string;
  /** That step's sequence. */
  sequence: number;
  /** The step that closed it. */
  closing_id: string | null;
  /** The kind of the step that opened it. */
  kind: string;
  /** A few words: the tool, the model. */
  label: string | null;
  /** Where to draw it: the agent and its role. */
  lane: string;
  /** Who did it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** ns since 1970 UTC. */
  started_at: number;
  /** The same; None while it is open. What was cut off ends with its episode. */
  ended_at: number | null;
  /** How it stands. */
  status: SpanStatus;
}

/** How something that takes time stands. */
export type SpanStatus = "running" | "ok" | "error" | "cancelled" | "cut_off";

/** What was logged on this machine and is not in the database yet. */
export interface SpoolReport {
  /** How much waits to be committed. */
  waiting_bytes: number;
  /** How much room all segments take. */
  held_bytes: number;
  /** Beyond how much new steps are refused. */
  bytes_max: number;
  /** How many segments there are. */
  segments_count: number;
  /** The oldest of them, at most two hundred. */
  segments: SegmentReport[];
}

/** What a job is at. */
export type Stage = "probing" | "copying" | "attaching" | "uploading" | "verifying" | "finishing" | "tidying" | "restoring" | "done";

/** The state of an episode. */
export type Status = "running" | "completed" | "failed" | "cancelled" | "interrupted";

/** An episode begins, changes its state or ends. */
export interface StatusChange {
  /** The state from here on. */
  status: Status;
  /** Why, in words. */
  reason: string | null;
  /** What the episode is; on its first step only. */
  start: EpisodeStart | null;
  /** How it went; on its last step only. */
  end: EpisodeEnd | null;
}

/** One atomic thing that happened in an episode. */
export interface StatusChangeStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "status_change";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: StatusChange;
}

/** One atomic thing that happened in an episode. */
export type Step = CoreStep | OtherStep;

/** A step, and the other half of what takes time. */
export interface StepContext {
  /** The step. */
  step: Step;
  /** The step that it closes. */
  opener: Step | null;
  /** The step that closes it. */
  closer: Step | null;
}

/** What is not the same in a changed entry; of each value the first twenty places. */
export interface StepDifference {
  /** The entry in the first episode. */
  a: ComparedStep;
  /** The entry in the second. */
  b: ComparedStep;
  /** What it was called with, or what it says. */
  arguments: ValueDifference[];
  /** What came back. */
  result: ValueDifference[];
}

/** A step in a few words, without its payload. */
export interface StepGlance {
  /** Its sequence. */
  sequence: number;
  /** What it is. */
  kind: string;
  /** A tool, a model or the beginning of a text; of a step that closes another, that one's. */
  label: string | null;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** When; ns since 1970 UTC. */
  occurred_at: number;
}

/** Steps in the order of their cursors. */
export interface StepPage {
  /** The steps. */
  items: Step[];
  /** The cursor to pass as ``after`` for the next page; None when there is nothing more yet. */
  next: number | null;
  /** Everything up to here was looked at; what is recorded later stands behind it. */
  cursor: number;
  /** Which life of the database the cursors belong to. */
  epoch: string;
}

/** The body of ``POST /api/v1/steps``: stored whole or not at all, in the order in which it stands. */
export interface StepPost {
  /** The processes that logged it; may be empty, and then the token's name stands for one. */
  recorders: PostedRecorder[];
  /** What was logged, in causal order. */
  steps: PostedStep[];
  /** Numbers that no step of this post or an earlier one has. */
  gaps: PostedGap[];
  /** Recorders that ended after these steps. */
  ends: PostedEnd[];
  /** Pieces of answers that are still being made; dropped first, never stored. */
  deltas: Delta[];
}

/** Steps of one episode, in the order of their sequence and without a gap. */
export interface StepWindow {
  /** The steps. */
  items: Step[];
  /** The sequence with which the next window begins; None when there is nothing more yet. */
  next: number | null;
  /** The sequence with which the window before ends; None when there is none. */
  previous: number | null;
  /** How many steps the episode has. */
  steps: number;
  /** Which life of the database it is. */
  epoch: string;
}

/** The answer to a post: all of it is committed. */
export interface StepsAccepted {
  /** How many steps are new. */
  stored: number;
  /** How many were stored already. */
  known: number;
  /** Every step of the post stands at or before this cursor. */
  cursor: number;
  /** Which life of the database the cursor belongs to. */
  epoch: string;
}

/** Steps were committed. */
export interface StepsMessage {
  /** Tells the messages apart. */
  type: "steps";
  /** Which life of the database the cursors belong to. */
  epoch: string;
  /** Everything up to here was told, or did not pass the filter; resume behind it. */
  cursor: number;
  /** Those that pass the filter, in the order of their cursors. */
  steps: Step[];
}

/** A file that belongs to a step. */
export interface StoredArtifact {
  /** Hash of its bytes. */
  sha256: string;
  /** Its name when it was first attached. */
  name: string;
  /** What it is, as it was stated. */
  media_type: string;
  /** Number of bytes. */
  size_bytes: number;
  /** Whether its bytes were kept; else it was only referred to. */
  is_kept: boolean;
  /** When that was committed; ns since 1970 UTC. */
  recorded_at: number;
}

/** The JSON schema of a kind and version that was ever stored: enough to show one without its class. */
export interface StoredKind {
  /** The kind. */
  kind: string;
  /** The version. */
  schema_version: number;
  /** JSON Schema, draft 2020-12, of the payload. */
  json_schema: { [key: string]: JsonValue };
}

/** One message of the WebSocket, and the data of one event of the stream, which is named by its type. */
export type StreamMessage = StepsMessage | LiveMessage | DeltasMessage | Reset;

/** How the live stream stands. */
export interface StreamReport {
  /** How many are connected. */
  clients: number;
  /** How many different questions they ask. */
  channels: number;
  /** How many ever came. */
  clients_total: number;
  /** How many were cut because they fell behind, did not read, or sent too much. */
  clients_cut: number;
  /** How many were refused because there were too many. */
  clients_refused: number;
  /** How many steps were told; one that is told to a hundred clients counts a hundred. */
  steps_sent: number;
  /** How many steps the stream had to leave out. */
  steps_unreadable: number;
  /** How many deltas came faster than they could be passed on. */
  deltas_dropped: number;
  /** How many steps the ring holds. */
  ring_steps: number;
  /** How many bytes of JSON they are. */
  ring_bytes: number;
  /** The cursor up to which clients can be told; None while nobody listens. */
  cursor: number | null;
  /** How long after its commit the newest step was there to be told. */
  lag_ns: number;
  /** What keeps it from telling everything; None where nothing does. */
  trouble: string | null;
}

/** One part of an episode's time. */
export interface StripBucket {
  /** The sequence it begins with: that of its first step, or of the next one behind it. */
  first: number;
  /** How many steps occurred in it. */
  steps: number;
  /** How many of them are error reports. */
  errors: number;
}

/** How a server and what it serves stand. */
export interface SystemReport {
  /** This stepstream. */
  release: string;
  /** The SQLite inside. */
  sqlite: string;
  /** Who commits; None when nobody ever did. */
  committer: CommitterReport | null;
  /** What waits on this machine; None when there is no spool. */
  spool: SpoolReport | null;
  /** The live stream; None where there is none. */
  stream: StreamReport | null;
  /** The search index; None where nobody keeps it here. */
  search: IndexProgress | null;
  /** How many processes have logged and not ended. */
  recorders_running: number;
  /** How many Loss steps there are. */
  losses: number;
  /** How many steps were refused because there was no room. */
  refused: number;
  /** Size of the database. */
  database_bytes: number;
  /** Size of its write-ahead log. */
  log_bytes: number;
  /** How much room is left beside it. */
  disk_free_bytes: number;
  /** The same as a share of the disk. */
  disk_free_percent: number;
  /** Below how much room new steps are refused. */
  disk_free_bytes_min: number;
  /** Version of its tables. */
  schema_version: number;
  /** The version this release writes. */
  schema_version_newest: number;
  /** How its tables came to be what they are. */
  migrations: MigrationReport[];
}

/** Plain text. */
export interface TextPart {
  /** Tells the parts apart. */
  type: "text";
  /** The text. */
  text: string;
}

/** What an agent thinks, in its own words. */
export interface Thought {
  /** The words. */
  text: string;
}

/** One atomic thing that happened in an episode. */
export interface ThoughtStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "thought";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: Thought;
}

/** What happened in a stretch of time. */
export interface TimeBucket {
  /** Its place: it begins at ``since + index * width_ns``. */
  index: number;
  /** How many steps occurred in it. */
  steps: number;
  /** How many of them are errors. */
  errors: number;
  /** The share of it in which some call was open, from 0 to 1. */
  busy: number;
  /** Its steps by kind. */
  kinds: KindCount[];
  /** The lowest sequence among its steps; None when it has none. */
  first: number | null;
  /** The highest. */
  last: number | null;
}

/** Token ids or log-probabilities, too bulky for a step: little-endian int32 or float32 in an artifact. */
export interface TokenArray {
  /** How many. */
  count: number;
  /** The bytes. */
  artifact: ArtifactRef;
}

/** A tool starts; an Observation or an ErrorReport closes it. */
export interface ToolCall {
  /** The tool's name. */
  tool: string;
  /** What it was called with, by parameter name. */
  arguments: { [key: string]: JsonValue };
  /** The model's own id of this call, when a model asked for it. */
  call_id: string | null;
  /** JSON pointers into ``arguments`` where an :class:`Unstorable` stands for a value. */
  unstorable: string[];
  /** Values that were too long for a step, kept as files. */
  artifacts: ArtifactRef[];
}

/** The model asks for a tool; ``unparsed`` holds arguments that were not a JSON object. */
export interface ToolCallPart {
  /** Tells the parts apart. */
  type: "tool_call";
  /** The model's id of the call. */
  id: string | null;
  /** The tool. */
  name: string;
  /** What it shall be called with. */
  arguments: { [key: string]: JsonValue };
  /** Arguments that were not a JSON object. */
  unparsed: string | null;
}

/** One atomic thing that happened in an episode. */
export interface ToolCallStep {
  /** UUIDv7. */
  id: string;
  /** The episode it belongs to. */
  episode_id: string;
  /** 0, 1, 2... inside the episode, gapless and causal on one machine. */
  sequence: number;
  /** Position in the whole database, in commit order; what readers order and resume by. */
  cursor: number;
  /** What the payload is. */
  kind: "tool_call";
  /** When it was logged, or said to have happened; ns since 1970 UTC. */
  occurred_at: number;
  /** When it was committed; ns since 1970 UTC. */
  recorded_at: number;
  /** Who logged it. */
  agent: string | null;
  /** The agent's role. */
  role: string | null;
  /** The step it is nested under. */
  parent_id: string | null;
  /** The step that ends with this one. */
  closes: string | null;
  /** Version of the payload as it is here; an old one was brought up when it was read. */
  schema_version: number;
  /** The process that logged it. */
  origin: Origin;
  /** It came after the episode had ended. */
  after_end: boolean;
  /** What happened. */
  payload: ToolCall;
}

/** A tool as it was offered to the model. */
export interface ToolDefinition {
  /** The tool. */
  name: string;
  /** What the model was told it does. */
  description: string | null;
  /** JSON schema of its arguments. */
  parameters: { [key: string]: JsonValue };
}

/** A tool's answer as the model sees it. */
export interface ToolResultPart {
  /** Tells the parts apart. */
  type: "tool_result";
  /** The call it answers. */
  id: string | null;
  /** The answer. */
  result: JsonValue;
  /** Whether it is an error. */
  is_error: boolean;
}

/** Who asked for a job. */
export type Trigger = "command" | "request" | "schedule";

/** Tokens as the provider counted them. */
export interface Usage {
  /** Sent. */
  input_tokens: number | null;
  /** Sampled. */
  output_tokens: number | null;
  /** Of those sent, read from a cache. */
  cached_input_tokens: number | null;
  /** Of those sent, written to one. */
  cache_write_tokens: number | null;
  /** Of those sampled, reasoning. */
  reasoning_tokens: number | null;
}

/** A place in a value that is not the same on both sides. */
export interface ValueDifference {
  /** JSON pointer of the place. */
  path: string;
  /** The beginning of its JSON in the first episode; None where there is no such place. */
  a: string | null;
  /** The same in the second. */
  b: string | null;
}

/** What was checked, and what was found. */
export interface Verification {
  /** Payloads, files and the database's own structure were checked too. */
  deep: boolean;
  /** Episodes checked. */
  episodes: number;
  /** Steps checked. */
  steps: number;
  /** Payloads validated; 0 unless deep. */
  payloads: number;
  /** Files hashed; 0 unless deep. */
  artifacts: number;
  /** What is wrong, at most a thousand. */
  findings: Finding[];
  /** How much is wrong in all. */
  findings_count: number;
  /** What the log says is missing. */
  losses: LossReport[];
  /** Who logged. */
  recorders: RecorderReport[];
}
