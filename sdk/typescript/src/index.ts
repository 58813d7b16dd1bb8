/**
 * Workers for Photon: programs without an open port, whose work survives the loss of a region.
 */

export { Agent } from "./agent.js";
export type { AgentOptions, ServeOptions } from "./agent.js";
export type { Handler } from "./attempt.js";
export { Client, resultText } from "./client.js";
export type {
  ClientOptions,
  Published,
  PublishOptions,
  ReadOptions,
  Sent,
  Submission,
  TopicMessage,
} from "./client.js";
export { Cancelled, Failed, Paused, Rejected } from "./errors.js";
export { ProblemError } from "./http.js";
export type { Logger } from "./log.js";
export type { ArtifactStream } from "./outbox.js";
export { Reply } from "./reply.js";
export type { ReplyOptions } from "./reply.js";
export type { Content, Task } from "./task.js";
export type { Json, Message, Part, Problem } from "./wire.js";
