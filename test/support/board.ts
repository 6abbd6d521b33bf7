import { expect } from "bun:test";
import { API_KEY, DISPATCHERS, KEYS } from "./dispatchers.ts";
import { createService } from "./service.ts";

type Dispatcher = keyof typeof KEYS;

/** Creates the service in this process with two dispatchers, and clients for them and the bot. */
export function createBoard(environment: Record<string, string> = {}) {
  const service = createService({
    ...{ API_KEY, DISPATCHERS, ORDERS_PER_USER_PER_HOUR: "0" },
    ...environment,
  });
  const { app, post } = service;

  const send = (path: string, init: RequestInit = {}) => {
    const request = new Request(`http://localhost${path}`, { redirect: "manual", ...init });
    request.headers.set("host", "localhost");
    return app.http.handle(request);
  };
  const submit = (path: string, form: object, headers: Record<string, string> = {}) =>
    send(path, {
      method: "POST",
      body: new URLSearchParams({ ...form }).toString(),
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        "sec-fetch-site": "same-origin",
        ...headers,
      },
    });
  async function signIn(name: Dispatcher) {
    const answer = await submit("/board/sign-in", { key: KEYS[name], to: "/board" });
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/board"]);
    const cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? "";
    return {
      cookie,
      async read(path: string) {
        const read = await send(path, { headers: { cookie } });
        return { status: read.status, headers: read.headers, text: await read.text() };
      },
      submit: (path: string, form: object, headers: Record<string, string> = {}) =>
        submit(path, form, { cookie, ...headers }),
    };
  }
  /** Places a paid order for the customer with this phone number. */
  async function order(more: object = {}, phone = "+998901234567", name?: string) {
    const headers = { "x-api-key": API_KEY };
    const user = await post("/register", { phone_number: phone, full_name: name }, headers);
    const { body } = await post(
      "/create_order",
      { user_id: user.body["user_id"], tariff_code: "standard_300", ...more },
      { ...headers, "idempotency-key": crypto.randomUUID() },
    );
    await app.idle();
    return Number(body["order_id"]);
  }
  /** Returns the order from the API. */
  const look = async (id: number) =>
    (await service.request(`/orders/${id}`, { headers: { "x-api-key": API_KEY } })).body;
  return { ...service, send, submit, signIn, order, look };
}
