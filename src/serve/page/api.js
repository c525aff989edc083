// What the page asks of the server that sent it. Nothing else is ever contacted.

let key = sessionStorage.getItem("looplm.key") || "";
export function setKey(value) {
  key = value;
  sessionStorage.setItem("looplm.key", value);
}

// `status` 0: no answer came, or it broke off.
export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options = {}) {
  const headers = { ...(key && { Authorization: `Bearer ${key}` }), ...options.headers };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "The server does not answer.");
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // Not the server's own error, a proxy's perhaps: its text will do.
  }
  throw new ServerError(response.status, message || `The server answered ${response.status}.`);
}

export async function health() {
  await request("/health");
}

// The models that the server has, and their adapters. The first is the one for requests that name none.
export async function describeModels() {
  const { data } = await (await request("/v1/models")).json();
  return data.map(({ id, parent, meta }) => ({
    name: id,
    parent,  // of an adapter: the model beside which it stands
    loops: meta.loops,
    layers: meta.layers,
    gate: meta.exit_gate && meta.loops > 1,
    context: meta.n_ctx,
    parameters: meta.n_params,
    // A model that has not learnt to converse only completes texts.
    converses: meta.converses,
  }));
}

// Prometheus' lines without labels, by name.
export async function metrics() {
  const values = new Map();
  for (const line of (await (await request("/metrics")).text()).split("\n")) {
    const [, name, value] = line.match(/^(\w+).* (\S+)$/) || [];
    if (name) values.set(name, (values.get(name) || 0) + Number(value));
  }
  return values;
}

// The events of a streamed answer, each with the time it came.
export async function* stream(path, body, signal) {
  const response = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(0, "The connection broke before the answer's end.");
    }
    if (part.done) throw new ServerError(0, "The connection broke before the answer's end.");
    const at = performance.now();
    const events = (rest + part.value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;  // a ping
      const text = event.slice(6);
      if (text === "[DONE]") return;
      const data = JSON.parse(text);
      if (data.error) throw new ServerError(data.error.code || 500, data.error.message);
      yield { at, data };
    }
  }
}

// The same events, but never more than one every `milliseconds`.
export async function* slowly(events, milliseconds, signal) {
  const queue = [];
  let over = false;
  let failure = null;
  let wake = () => {};
  (async () => {
    try {
      for await (const event of events) {
        queue.push(event);
        wake();
      }
    } catch (error) {
      failure = error;
    }
    over = true;
    wake();
  })();
  signal.addEventListener("abort", () => wake());
  for (;;) {
    while (queue.length === 0 && !over && !signal.aborted) {
      await new Promise((resolve) => { wake = resolve; });
    }
    if (signal.aborted) throw new DOMException("stopped", "AbortError");
    if (queue.length === 0) break;
    yield queue.shift();
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        if (!signal.aborted) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }
  if (failure) throw failure;
}
