/** Types of `switchboard.js`. */

/** An address, several to be tried in turn, or a function that chooses. In a page: `"/ws"`. */
export type Urls = string | string[] | ((situation: Situation) => string | Promise<string>);

/** What is known when the next address is chosen. */
export interface Situation {
  /** Tries that have failed since the last connection that held. */
  failures: number;
  /** Whether the last node asked to go to another one. */
  elsewhere: boolean;
}

export interface Options {
  /** Who this is, where the nodes run with `auth.mode = "dev"`. */
  user?: string;
  /**
   * Proves who this is: a JWT or a ticket. A function is asked before each connection, and before its
   * token ends. It travels as a subprotocol and never in the address; so it has letters, digits and
   * `!#$%&'*+-.^_|~` only.
   */
  token?: string | (() => string | Promise<string>);
  /** Name of this client among those of its user; each has a place of its own in the mailbox. */
  device?: string;
  /** Go on after this offset; without it, after what this device has acknowledged. */
  since?: string;
  /**
   * Who acknowledges: this client, each message when its handlers have finished (`"handled"`, the
   * default), or the application with `Client.ack` (`"manual"`).
   */
  ack?: "handled" | "manual";
  /** How many sends may wait for their outcome, connected or not: 1000. */
  maxSends?: number;
  /**
   * How many messages may wait for the application: 1000. Beyond it this client goes away until
   * there is room; what is durable comes again then.
   */
  maxMessages?: number;
  /** The n-th wait in a row is random, at most this times 2 ** (n - 1): 500 ms. */
  retryBaseMs?: number;
  /** The longest wait: 30,000 ms. */
  retryCapMs?: number;
  /** After so long a silence the node is asked whether it is there: 20,000 ms. */
  pingIntervalMs?: number;
  /** A connection must be made and welcomed within this time: 10,000 ms. */
  dialTimeoutMs?: number;
  /** A constructor like that of browsers; Node.js before version 22 needs one. */
  WebSocket?: new (url: string, protocols: string[]) => WebSocketLike;
}

/** What this client needs of a WebSocket. */
export interface WebSocketLike {
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** How far to wait for the outcome. */
export type Confirm = "accepted" | "written" | "delivered" | "acked";

/** What became of a message; docs/api.md says what each word promises. */
export type Outcome =
  | "acked"
  | "delivered"
  | "written"
  | "accepted"
  | "queued"
  | "duplicate"
  | "offline"
  | "expired"
  | "dropped"
  | "busy"
  | "unknown";

export interface SendOptions {
  /** Keep it for a user who is not there; repeat it if the connection breaks on the way. */
  durable?: boolean;
  confirm?: Confirm;
  /** It is of no use later than this. */
  ttlMs?: number;
  /** Idempotency key: of several sends with the same one only the first counts. */
  key?: string;
  /** How long to wait for the outcome; without it, until the client is closed. */
  timeoutMs?: number;
}

/** What a send resolves to. */
export interface Result {
  to: string;
  outcome: Outcome;
  /** The message's id; absent when no node has told it. */
  id?: string;
  user?: string;
  /** Why, where the word alone does not say it. */
  reason?: string;
  /** The idempotency key it was sent with. */
  key?: string;
  /** With `duplicate`: it was this client's own repeat, so this very message was stored. */
  repeated?: true;
}

/** What a send to several users resolves to; `outcome` is there when all of them share it. */
export interface ManyResult {
  to: string[];
  outcomes?: Record<string, Outcome>;
  outcome?: Outcome;
  id?: string;
  reason?: string;
  key?: string;
  repeated?: true;
}

export interface Message<Data = any> {
  id: string;
  /** Whom it comes from; "" when no sender was named. */
  from: string;
  data: Data;
  sentAt: Date;
  /** Its place in the mailbox; only a durable message has one. */
  offset?: string;
  /** It was read from the mailbox. */
  replay?: true;
}

export type Status =
  | { state: "connecting"; url: string }
  | {
      state: "open";
      session: string;
      user: string;
      node: string;
      device: string;
      /** Whether everything after the last offset comes. */
      resumed: boolean;
      /** Messages of the mailbox come from behind this one. */
      offset: string;
      maxMessageBytes: number;
    }
  | ({ state: "waiting"; afterMs: number; failures: number } & Why)
  | ({ state: "closed" } & Why);

/** Why a connection ended. */
export interface Why {
  /** The WebSocket close code; 1000 with `closed`: `Client.close` was called. */
  code: number;
  /** In plain words; ends the sentence "The connection ended: ...". */
  reason: string;
  /** The node's own words, "" for none. */
  said: string;
}

export type State = Status["state"];

export interface Events {
  /** Each message once; the next one is told when every handler has finished. */
  message: Message;
  state: Status;
  /** What became of a send, as its promise says it too. */
  outcome: Result | ManyResult;
  /** Messages may be missing: the node could not go on after `since`, but only after `offset`. */
  gap: { since: string; offset: string };
  /** What is no answer to a send. Without a handler it goes to the console. */
  error: SwitchboardError;
}

/** A refused send (`code` is the node's), or `queue_full`, `not_connected`, `closed`, ... */
export class SwitchboardError extends Error {
  constructor(code: string, message: string, options?: { cause?: unknown });
  readonly code: string;
  readonly cause?: unknown;
}

/** Connect, and stay connected until `close`, or until a node says not to come back. */
export function connect(urls: Urls, options?: Options): Client;

export class Client {
  constructor(urls: Urls, options?: Options);

  readonly state: State;
  /** The state with what belongs to it. */
  readonly status: Status;
  /** Up to here the application has handled everything; keep it and pass it as `since`. */
  readonly offset: string;

  /** Register a handler; the answer takes it away again. */
  on<Name extends keyof Events>(name: Name, handler: (detail: Events[Name]) => unknown): () => void;

  /**
   * Send to a user, now or as soon as there is a connection. A durable send whose connection
   * breaks is repeated on the next one with the same key; any other is `unknown` then.
   *
   * @throws {SwitchboardError} (rejects) nothing was sent; `code` says why
   */
  send(to: string, data: unknown, options?: SendOptions): Promise<Result>;
  send(to: string[], data: unknown, options?: SendOptions): Promise<ManyResult>;

  /**
   * Acknowledge one message, or with `upTo` everything up to it: a durable one with `ack: "manual"`
   * (the node is told once all before it are acknowledged, too), or one that is not durable, which
   * nobody else acknowledges.
   */
  ack(message: { id: string; offset?: string }, options?: { upTo?: boolean }): void;

  /** Do not wait for the next try. */
  retryNow(): void;

  /**
   * Leave for good. What is being handled is not acknowledged and comes again next time; sends
   * that have not left fail with `closed`, those under way are `unknown`.
   */
  close(): void;
}
