/** Whether a `Content-Type` is `application/json`, in any case and with any parameters. */
export function isJson(contentType: string | null): boolean {
  if (contentType === null || contentType === "application/json") return contentType !== null;
  return contentType.split(";", 1)[0]?.trim().toLowerCase() === "application/json";
}
