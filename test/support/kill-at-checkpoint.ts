import { checkpointedBackup } from "../../src/store/sqlite/backup.ts";
import { restoreDatabase, runToEnd } from "./checkpoints.ts";

// Backs up or restores a database and kills itself with SIGKILL at a checkpoint. Arguments: backup
// or restore, from, to, the checkpoint.

const [action, from = "", to = "", fatal] = process.argv.slice(2);

const onCheckpoint = (checkpoint: string) => {
  if (checkpoint === fatal) process.kill(process.pid, "SIGKILL");
};

if (action === "backup") runToEnd(checkpointedBackup(from, to), onCheckpoint);
else restoreDatabase(from, to, "then", onCheckpoint);
