// The chat function as a sequence of events, whichever form its answer comes in.

/** What went wrong, in the API's error shape; `retryAfter` in seconds, when the service said. */
export class AnswerError extends Error {
  constructor({ code, message, hint = "", request_id: requestId = "" }, retryAfter = 0) {
    super(message);
    Object.assign(this, { code, hint, requestId, retryAfter });
  }
}

const UNREACHABLE = { code: "unreachable", message: "Lectern did not answer.", hint: "Check that it is still running, then try again." };
const GARBLED = { code: "garbled", message: "The answer could not be read.", hint: "Try again." };
const CUT = { code: "interrupted", message: "The answer broke off before its end.", hint: "Try again; what is shown so far is still quoted from the docs." };

async function failure(response) {
  const retryAfter = Number.parseInt(response.headers.get("retry-after") ?? "", 10) || 0;
  const body = await response.json().catch(() => null);
  return new AnswerError(body?.error ?? { ...GARBLED, message: `The service answered ${response.status}.` }, retryAfter);
}

/** Server-sent events of a response, as [name, data]. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const event = parse(part);
      if (event) yield event;
    }
  }
}

function parse(part) {
  let name = "message";
  const data = [];
  for (const line of part.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trim());
  }
  return data.length ? [name, JSON.parse(data.join("\n"))] : null;
}

/** The events that a whole answer would have come as. */
function* unfold(answer) {
  yield ["meta", answer];
  if (answer.answer) yield ["token", { text: answer.answer }];
  for (const citation of answer.citations ?? []) yield ["citation", citation];
  yield ["done", answer];
}

/**
 * Ask, and get [name, data] for each event up to `done`. Throws AnswerError for everything that goes wrong,
 * but for an abort by `signal`, which ends the sequence.
 */
export async function* ask(question, signal) {
  try {
    const response = await fetch("/chat", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify({ question }),
      credentials: "omit",
      signal,
    });
    if (!response.ok) throw await failure(response);
    const streamed = response.headers.get("content-type")?.startsWith("text/event-stream");
    for await (const [name, data] of streamed ? events(response) : unfold(await response.json())) {
      if (name === "error") throw new AnswerError(data.error ?? GARBLED);
      yield [name, data];
      if (name === "done") return;
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof AnswerError) throw error;
    throw new AnswerError(error instanceof SyntaxError ? GARBLED : UNREACHABLE);
  }
  throw new AnswerError(CUT);
}

/** Questions worth asking, or none when the service does not offer any. */
export async function suggestions() {
  try {
    const response = await fetch("/suggestions", { credentials: "omit" });
    const body = response.ok ? await response.json() : [];
    const found = Array.isArray(body) ? body : body.suggestions;
    return (found ?? []).filter((text) => typeof text === "string" && text.trim());
  } catch {
    return [];
  }
}
