# syntax=docker/dockerfile:1
FROM node:24-bookworm-slim AS base
WORKDIR /app

# Runtime packages only: no compilers, no Prisma CLI (a devDependency), no embedded PostgreSQL (an optional dependency).
# --ignore-scripts, because `prepare` needs a script that is not here, and no package needs its own.
FROM base AS deps
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm \
    npm ci --omit=dev --omit=optional --ignore-scripts
# Prisma contains query compilers for five databases. The generated client loads only this one.
RUN find node_modules/@prisma/client/runtime -name 'query_compiler_*' \
      ! -name 'query_compiler_fast_bg.postgresql*' -delete

FROM base AS build
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm \
    npm ci --include=dev --ignore-scripts
COPY tsconfig.json tsconfig.build.json tsconfig.types.json prisma.config.ts ./
COPY src ./src
COPY scripts/bundle.js scripts/install-sql.js ./scripts/
COPY migrations ./migrations
COPY sql ./sql
COPY packages/client/src ./packages/client/src
RUN npm run build

FROM base AS runtime
# HOST, because in a container 127.0.0.1 is reachable from nowhere else.
ENV NODE_ENV=production HOST=0.0.0.0
COPY --from=deps /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY migrations ./migrations
COPY sql ./sql
# For your rules: `COPY rules ./rules` in an image that begins `FROM` this one, or a mount. `migrate rules` applies them.
RUN mkdir rules
# root owns all files, so the process can read them but write nothing. This is the user `node`, as a number, because Kubernetes
# cannot tell from a name that it is not root (runAsNonRoot).
USER 1000:1000
EXPOSE 3000 9464
STOPSIGNAL SIGTERM
# Not /readyz: an orchestrator may replace an unhealthy container, and that does not bring back a database. While the database is
# away the service keeps its streams open and tells new ones to retry.
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/livez`).then((res) => process.exit(res.ok ? 0 : 1), () => process.exit(1))"]
# No ENTRYPOINT: `docker run … node dist/cli.js migrate` and Fly's release_command replace CMD.
# V8 starts with its full 16 MB for new objects, because after a deploy all clients reconnect at once.
CMD ["node", "--min-semi-space-size=16", "dist/cli.js", "start"]
