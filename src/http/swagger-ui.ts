import { Elysia } from "elysia";
export function swaggerUi() {
  return new Elysia();
}
