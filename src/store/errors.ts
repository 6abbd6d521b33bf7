/** The database can't be used as requested. The message is a full sentence for the owner. */
export class DatabaseUnusable extends Error {
  override readonly name = "DatabaseUnusable";
}
