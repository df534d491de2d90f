// A page of conversations as rows: what a person looks for first; everything else is in the documents.

import { json, names, type Cell, type Column, type Meta, type Table } from "./api";

interface Conversation {
  conversationId: string;
  conversationStart: string;
  conversationEnd?: string;
  originatingDirection?: string;
  participants?: {
    purpose?: string;
    userId?: string;
    sessions?: { mediaType?: string; segments?: { queueId?: string }[] }[];
  }[];
}

interface Page {
  total: number;
  entities: Conversation[];
  meta: Meta;
}

const COLUMNS: Column[] = [
  { name: "conversation.start", title: "Start", type: "instant", unit: null },
  { name: "conversation.duration", title: "Duration", type: "number", unit: "milliseconds" },
  { name: "conversation.direction", title: "Direction", type: "text", unit: null },
  { name: "media.type", title: "Media", type: "text", unit: null },
  { name: "routing.queue.name", title: "Queues", type: "text", unit: null },
  { name: "agent.name", title: "Agents", type: "text", unit: null },
  { name: "conversation.id", title: "Conversation", type: "text", unit: null },
];

/** Asks for one page of conversations. */
export async function conversations(path: string, signal: AbortSignal): Promise<Table> {
  const [page, queues, users] = await Promise.all([json<Page>(path, signal), byId("queues"), byId("users")]);
  return { total: page.total, columns: COLUMNS, rows: page.entities.map((one) => row(one, queues, users)), meta: page.meta };
}

/** Names by id; none where they cannot be had, as an id still says which it is. */
async function byId(lookup: string): Promise<Map<string, string>> {
  const all = await names(lookup).catch(() => []);
  return new Map(all.map(({ id, name }) => [id, name]));
}

function row(one: Conversation, queues: Map<string, string>, users: Map<string, string>): Cell[] {
  const participants = one.participants ?? [];
  const sessions = participants.flatMap((participant) => participant.sessions ?? []);
  const queueIds = sessions.flatMap((session) => session.segments ?? []).map((segment) => segment.queueId);
  const agents = participants.filter(({ purpose }) => purpose === "agent" || purpose === "user").map(({ userId }) => userId);
  const duration = one.conversationEnd && Date.parse(one.conversationEnd) - Date.parse(one.conversationStart);
  const texts = (values: (string | undefined)[], names?: Map<string, string>) => {
    const different = [...new Set(values.filter((value) => value !== undefined))];
    return different.length === 0 ? null : different.map((value) => names?.get(value) ?? value).join(", ");
  };
  return [
    one.conversationStart,
    typeof duration === "number" ? duration : null,
    one.originatingDirection ?? null,
    texts(sessions.map((session) => session.mediaType)),
    texts(queueIds, queues),
    texts(agents, users),
    one.conversationId,
  ];
}
