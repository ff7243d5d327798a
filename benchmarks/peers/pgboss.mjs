// pg-boss on PostgreSQL, in batches of 5,000.
import fs from "node:fs";
import { createRequire } from "node:module";

const loaded = createRequire(`${process.env.BENCH_MODULES}/`)("pg-boss");
const PgBoss = loaded.PgBoss ?? loaded.default ?? loaded;
const boss = new PgBoss(process.env.BENCH_BROKER);
const body = { username: "user123", value: 150.0 };
await boss.start();
await boss.createQueue("noop");

if (process.argv[2] === "work") {
  const file = fs.openSync(process.env.BENCH_STARTS, "a");
  await boss.work("noop", { batchSize: 5000, pollingIntervalSeconds: 0.5 }, async (jobs) => {
    fs.writeSync(file, `${BigInt(Date.now()) * 1000000n}\n`.repeat(jobs.length));
  });
} else {
  for (let left = Number(process.argv[2]); left > 0; left -= 1000) {
    await boss.insert(Array.from({ length: Math.min(1000, left) }, () => ({ name: "noop", data: body })));
  }
  await boss.stop({ graceful: false });
}
