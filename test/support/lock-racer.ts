import { lockDatabase } from "../../src/store/sqlite/lock.ts";

// Takes the lock of a database at the moment that a line of stdin names, in ms since 1970, and says
// whether it got it; at an empty line it gives it back. Argument: the database's path.

const [path = ""] = process.argv.slice(2);
let unlock = () => {};

for await (const line of console) {
  if (line === "") {
    unlock();
    unlock = () => {};
    console.log("free");
    continue;
  }
  while (Date.now() < Number(line));
  try {
    unlock = lockDatabase(path);
    console.log("locked");
  } catch {
    console.log("refused");
  }
}
