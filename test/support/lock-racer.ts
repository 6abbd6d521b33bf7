import { lockDatabase } from "../../src/store/sqlite/lock.ts";

// Tries to lock a database at the time given on each line of stdin, in ms since 1970, and prints
// whether it succeeded. An empty line releases the lock. Argument: the database's path.

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
