import { BodyTooLarge } from "./body-limit.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads the fields of a form. Resolves to undefined if the body is not valid UTF-8 or percent-encoding, or
 * if the client closed the connection early. Rejects with `BodyTooLarge`.
 */
export async function readForm(request: Request): Promise<URLSearchParams | undefined> {
  try {
    const fields = utf8.decode(await request.arrayBuffer()).split("&");
    const form = new URLSearchParams();
    for (const field of fields.filter(Boolean)) {
      const [name = "", ...value] = field.split("=");
      form.append(decode(name), decode(value.join("=")));
    }
    return form;
  } catch (error) {
    if (error instanceof BodyTooLarge) throw error;
    return undefined;
  }
}

/** Unlike `URLSearchParams`, throws on malformed input instead of putting U+FFFD into the text. */
function decode(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}
