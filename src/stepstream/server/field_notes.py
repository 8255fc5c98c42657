"""What the fields of models mean whose docstrings do not list them, for the description of the API.

The words are those of docs/reference/payloads.md and docs/reference/steps-and-episodes.md.
"""

from __future__ import annotations

NOTES: dict[str, dict[str, str]] = {
    "ArtifactAttached": {
        "artifact": "The file.",
    },
    "Cost": {
        "amount": "The figure.",
        "currency": "ISO 4217.",
        "source": "Who stated it.",
    },
    "DataUse": {
        "split": "As `train` or `test`.",
        "licence": "Under which licence.",
        "consent": "Whose consent there is.",
    },
    "DeltasMessage": {
        "type": "Tells the messages apart.",
        "deltas": "The pieces, in the order in which they came.",
    },
    "Episode": {
        "id": "UUIDv7.",
        "name": "What it is about, for people.",
        "status": "`running`, `completed`, `failed`, `cancelled` or `interrupted`.",
        "reason": "Why it has that status, where somebody said.",
        "problem": "The benchmark item or task.",
        "attempt": "1 for the first try at the problem.",
        "parent_id": "The episode this one is a part or a retry of.",
        "tags": "Free labels.",
        "started_at": "When it began.",
        "ended_at": "When it ended.",
        "outcome": "A word of the project's.",
        "score": "A figure of the project's.",
        "metadata": "The project's own model.",
        "code_version": "Git commit, packages, Python and machine.",
        "data_use": "What may be done with it in training.",
        "ending": "`terminated` or `truncated`.",
        "ambient": "It took the steps logged outside any episode.",
        "implied": "Its own beginning is missing; it was made up from a step that named it.",
        "agent": "Who opened it.",
        "role": "That agent's role.",
        "steps": "How many steps it has.",
        "errors": "How many of them are error reports.",
        "last_cursor": "The cursor of its last step.",
        "last_at": "When that was logged.",
    },
    "ExceptionReport": {
        "message": "What it says.",
        "exception_type": "Its class.",
        "frames": "Its traceback, outermost first.",
        "relation": "`cause` (`raise ... from`) or `context` (raised while handling it).",
        "cause": "The one before it.",
        "exceptions": "The members, if it is a group.",
    },
    "FieldProblem": {
        "field": "A parameter, or a dotted path into the body.",
        "value": "The beginning of what was sent.",
        "reason": "What is wrong with it.",
    },
    "FilePart": {
        "type": "Tells the parts apart.",
        "media_type": "IANA media type.",
        "uri": "Its address.",
        "artifact": "Its bytes, where they are kept.",
    },
    "Frame": {
        "file": "The source file.",
        "line": "The line in it.",
        "function": "The function.",
        "code": "The text of the line.",
    },
    "Handoff": {
        "recipient": "Who gets the work.",
        "recipient_role": "That agent's role.",
        "message": "What goes with it.",
    },
    "Highlight": {
        "start": "The first character.",
        "end": "The character behind the last one.",
    },
    "Instant": {
        "step_id": "The step.",
        "sequence": "Its sequence.",
        "kind": "Its kind.",
        "label": "A few words.",
        "lane": "Where to draw it: the agent and its role.",
        "agent": "Who logged it.",
        "role": "The agent's role.",
        "parent_id": "The step it is nested under.",
        "at": "When; ns since 1970 UTC.",
    },
    "Intervention": {
        "action": "What was ordered: `pause`, `resume`, `cancel`, `message`, `approve` or `deny`.",
        "author": "The person.",
        "text": "What the person said.",
        "target": "The step that is meant.",
        "edited_arguments": "Arguments as the person changed them.",
    },
    "KindRegistered": {
        "kind": "The kind.",
        "version": "The version.",
        "is_new": "Whether the database had not heard of it before.",
    },
    "LiveMessage": {
        "type": "Tells the messages apart.",
        "epoch": "Which life of the database the cursor belongs to.",
        "cursor": "Everything up to here was told.",
    },
    "LogLine": {
        "level": "`debug`, `info`, `warning`, `error` or `critical`.",
        "logger": "The logger's name.",
        "text": "The message.",
        "fields": "What else the record carries.",
        "file": "Where it was logged.",
        "line": "The line there.",
    },
    "Message": {
        "author": "Who says it.",
        "text": "What is said.",
        "recipient": "To whom; None for whoever logs it.",
    },
    "MetadataRef": {
        "model": "The model's full name.",
        "value": "Its JSON.",
    },
    "ModelIdentity": {
        "revision": "Of the weights.",
        "tokenizer_sha256": "Hash of the tokenizer.",
        "chat_template_sha256": "Hash of the chat template.",
        "policy_version": "Of the policy that is being trained.",
    },
    "Origin": {
        "recorder_id": "Its recorder.",
        "pid": "The process.",
        "host": "The machine.",
    },
    "OtherPart": {
        "type": "Tells the parts apart.",
        "name": "What the provider calls it.",
        "value": "As it came.",
    },
    "PlanItem": {
        "text": "What is to be done.",
        "status": "`pending`, `active`, `done` or `dropped`.",
    },
    "PlanUpdate": {
        "items": "Every item, done ones too.",
    },
    "ReasoningPart": {
        "type": "Tells the parts apart.",
        "text": "The reasoning.",
        "signature": "The provider's own.",
        "encrypted": "The provider's own.",
    },
    "RedactionCount": {
        "kind": "The kind of secret.",
        "count": "How many were taken out.",
    },
    "Reset": {
        "type": "Tells the events apart.",
        "epoch": "Which life of the database it is now.",
        "cursor": "What follows starts behind it.",
        "reason": "`epoch_changed` (replaced, restored or rolled back) or `pruned`.",
    },
    "Sampling": {
        "temperature": "The sampling temperature.",
        "top_p": "Nucleus sampling.",
        "top_k": "Only the likeliest so many.",
        "tokens_max": "The bound on the reply.",
        "seed": "Where the provider takes one.",
        "stop": "Texts that end the reply.",
        "presence_penalty": "As the provider defines it.",
        "frequency_penalty": "As the provider defines it.",
        "reasoning_effort": "In the provider's word.",
        "other": "A provider's own settings.",
    },
    "StepsMessage": {
        "type": "Tells the messages apart.",
    },
    "TextPart": {
        "type": "Tells the parts apart.",
        "text": "The text.",
    },
    "Thought": {
        "text": "The words.",
    },
    "TokenArray": {
        "count": "How many.",
        "artifact": "The bytes.",
    },
    "ToolCallPart": {
        "type": "Tells the parts apart.",
        "id": "The model's id of the call.",
        "name": "The tool.",
        "arguments": "What it shall be called with.",
        "unparsed": "Arguments that were not a JSON object.",
    },
    "ToolDefinition": {
        "name": "The tool.",
        "description": "What the model was told it does.",
        "parameters": "JSON schema of its arguments.",
    },
    "ToolResultPart": {
        "type": "Tells the parts apart.",
        "id": "The call it answers.",
        "result": "The answer.",
        "is_error": "Whether it is an error.",
    },
    "Usage": {
        "input_tokens": "Sent.",
        "output_tokens": "Sampled.",
        "cached_input_tokens": "Of those sent, read from a cache.",
        "cache_write_tokens": "Of those sent, written to one.",
        "reasoning_tokens": "Of those sampled, reasoning.",
    },
}
