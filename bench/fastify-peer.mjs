import Database from "better-sqlite3";
import Fastify from "fastify";

// The common setup on Node.js: Fastify with better-sqlite3. Every statement is a synced
// transaction.

const db = new Database(process.argv[2]);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.exec(`
  CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, phone_number TEXT NOT NULL UNIQUE);
  CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL, tariff_code TEXT NOT NULL,
    amount_tiyin INTEGER NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL,
    idempotency_key TEXT
  );
  CREATE UNIQUE INDEX orders_idempotency_key ON orders (user_id, idempotency_key);
`);
const register = db.prepare(
  "INSERT INTO users (phone_number) VALUES (?) ON CONFLICT DO UPDATE SET phone_number = excluded.phone_number RETURNING id",
);
const insert = db.prepare(
  `INSERT INTO orders (user_id, tariff_code, amount_tiyin, status, created_at, idempotency_key)
   VALUES (?, ?, 30000, 'pending', ?, ?) RETURNING id`,
);
const settle = db.prepare("UPDATE orders SET status = 'paid' WHERE id = ?");

const app = Fastify();
const bodyOf = (properties) => ({
  schema: { body: { type: "object", required: Object.keys(properties), properties } },
});
app.post("/register", bodyOf({ phone_number: { type: "string" } }), async (request) => ({
  status: "ok",
  message: "User registered successfully",
  user_id: register.get(request.body.phone_number).id,
}));
app.post(
  "/create_order",
  bodyOf({ user_id: { type: "integer" }, tariff_code: { type: "string" } }),
  async ({ body, headers }) => {
    const key = headers["idempotency-key"] ?? null;
    const { id } = insert.get(body.user_id, body.tariff_code, Date.now(), key);
    settle.run(id);
    return { status: "ok", order_id: id, message: "Order created and payment processed" };
  },
);
const address = await app.listen({ host: "127.0.0.1", port: 0 });
console.log(`listening on ${address}`);
