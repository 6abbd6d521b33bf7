/** The database can't be opened; the message says why in a sentence for the owner. */
export class DatabaseUnusable extends Error {
  override readonly name = "DatabaseUnusable";
}
