import type { Config } from "../config.ts";
import { toRequestListener } from "../http/malformed-request.ts";
import { startHttpServer } from "../http/server.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Doors } from "./doors.ts";
import type { OnClose } from "./open-all.ts";

export interface ServersOptions {
  config: Pick<Config, "host" | "port" | "metricsPort">;
  doors: Doors;
  metrics: Pick<Metrics, "handler">;
  version: string;
  onClose: OnClose;
}

/** Opens the ports. Rejects if one cannot be opened. */
export async function openServers({ config, doors, metrics, version, onClose }: ServersOptions) {
  const { host, port, metricsPort } = config;
  const metricsServer = await startHttpServer(metrics.handler, {
    host,
    port: metricsPort,
    portVariable: "METRICS_PORT",
    version,
  });
  onClose(metricsServer.close);
  const server = await startHttpServer(toRequestListener(doors.app, version), {
    host,
    port,
    portVariable: "PORT",
    version,
  });
  onClose(server.close);
  onClose(async () => {
    server.stopAccepting();
    doors.polls.close();
    await doors.registry.close();
  });
  return { address: server.address, metricsAddress: metricsServer.address };
}
