import { maskPhoneNumbers } from "../log.ts";

/** The form of an id that is taken from a client. */
export const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * The name of a request in its answer and in the log: the client's own, if it is fit for both, else a new
 * one. What the log would take for a phone number and mask is not, be it the client's or by chance.
 */
export function requestIdOf(headers: Headers, randomId: () => string): string {
  let id = headers.get("x-request-id") ?? "";
  while (!REQUEST_ID.test(id) || maskPhoneNumbers(id) !== id) id = randomId();
  return id;
}
