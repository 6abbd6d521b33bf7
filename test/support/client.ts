import { faultOf } from "./contract.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON body; for text/plain, the text is in `text`. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** Creates a client of the service that checks every response against the OpenAPI document. */
export function createClient(send: (request: Request) => Promise<Response>, origin: string) {
  async function request(path: string, init: RequestInit = {}): Promise<Answer> {
    const request = new Request(origin + path, init);
    // Requests that do not go over a socket have no Host by default.
    if (!request.headers.has("host")) request.headers.set("host", new URL(origin).host);
    const response = await send(request);
    const { status, headers } = response;
    const isText = headers.get("content-type")?.startsWith("text/plain");
    const content: unknown = isText ? await response.text() : await response.json();
    if (!path.startsWith("/swagger")) {
      const fault = await faultOf(request.method, path, status, headers, content);
      if (fault !== undefined) throw new Error(`Violates the OpenAPI document: ${fault}`);
    }
    // `as`: tests check the body themselves.
    const body = (isText ? { text: content } : content) as Answer["body"];
    return { status, headers, body };
  }

  function sendBody(method: string, path: string, body: unknown, headers: Record<string, string>) {
    return request(path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  }

  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    sendBody("POST", path, body, headers);

  return {
    request,
    post,
    put: (path: string, body: unknown, headers: Record<string, string> = {}) =>
      sendBody("PUT", path, body, headers),
    get: (path: string) => request(path),
    register: (phoneNumber: unknown, more: object = {}) =>
      post("/register", { phone_number: phoneNumber, ...more }),
    /** Registers a user and returns their id. */
    async userId(phoneNumber = "+998901234567"): Promise<number> {
      const { body } = await post("/register", { phone_number: phoneNumber });
      return Number(body["user_id"]);
    },
    order: (userId: unknown, headers: Record<string, string> = {}, tariffCode = "standard_300") =>
      post("/create_order", { user_id: userId, tariff_code: tariffCode }, headers),
  };
}

export type Client = ReturnType<typeof createClient>;
