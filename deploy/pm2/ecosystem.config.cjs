const { join } = require("node:path");

// pm2 start deploy/pm2/ecosystem.config.cjs. Settings are in .env, in the folder of Bellwire. Start it in a new shell: PM2 hands on and
// keeps the shell's variables, and they override .env.
module.exports = {
  apps: [
    {
      name: "bellwire",
      // Bellwire's, wherever you stand: it holds .env.
      cwd: join(__dirname, "../.."),
      script: "dist/cli.js",
      args: "start",
      node_args: "--min-semi-space-size=16",
      // One process serves ten thousand streams. With "cluster" and 2, `pm2 reload` replaces one process after the other.
      exec_mode: "fork",
      instances: 1,
      // These override .env as well. In a cluster each process needs a port of its own for its metrics: 9464, 9465 and so on.
      env: { NODE_ENV: "production", METRICS_PORT: 9464 },
      increment_var: "METRICS_PORT",
      // The service says when it serves.
      wait_ready: true,
      listen_timeout: 15_000,
      // The service ends its streams over DRAIN_SECONDS (3) and exits at most 5 s later. PM2 alone would kill it after 1.6 s.
      kill_timeout: 15_000,
      // 78: a setting is wrong. The log lists every problem, and a restart does not help.
      stop_exit_codes: [78],
      // If it cannot start, PM2 gives up after 16 times. Of them PM2 alone counts only those that took less than 1 s.
      min_uptime: 5000,
      max_memory_restart: "1G",
    },
  ],
};
