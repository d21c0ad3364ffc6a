// The peers that are programs of the system, with the least they need to do the same: one worker, one thread, no log.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { accepts, freePort, scratch, start } from "../children.mjs";

/** @param {number} port @param {number} upstream */
function nginx(port, upstream) {
  const folder = scratch();
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(" ");
  return `daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000; pid ${folder}/nginx.pid;
events { worker_connections 16384; }
http {
  ${temp} access_log off; keepalive_requests 100000000; client_max_body_size 1m; client_body_buffer_size 64k;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream behind { server 127.0.0.1:${upstream}; keepalive 1024; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://behind; proxy_http_version 1.1;
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
      location /events { proxy_pass http://behind; proxy_buffering off; proxy_set_header Connection ''; }
    }
  }
}
`;
}

/** @param {number} port @param {number} upstream */
function haproxy(port, upstream) {
  return `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  option forwardfor
  timeout connect 3s
  timeout client 120s
  timeout server 120s
  timeout tunnel 1h
  http-reuse always
frontend public
  bind 127.0.0.1:${port} backlog 4096
  default_backend behind
backend behind
  server one 127.0.0.1:${upstream}
`;
}

/** @param {number} port @param {number} upstream */
function caddy(port, upstream) {
  return `{
  admin off
  auto_https off
  log {
    level ERROR
  }
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${upstream}
}
`;
}

/**
 * @type {Record<string, { command: string, version: string[], config: typeof nginx, args: (file: string) => string[]
 * }>}
 */
export const programs = {
  nginx: {
    command: "nginx",
    version: ["-v"],
    config: nginx,
    args: (file) => ["-e", "stderr", "-p", scratch(), "-c", file],
  },
  HAProxy: { command: "haproxy", version: ["-v"], config: haproxy, args: (file) => ["-db", "-f", file] },
  Caddy: {
    command: "caddy",
    version: ["version"],
    config: caddy,
    args: (file) => ["run", "--config", file, "--adapter", "caddyfile"],
  },
};

/**
 * @param {keyof typeof programs} name
 * @param {number} upstream
 */
export async function startProgram(name, upstream) {
  const program = programs[name];
  if (!program) throw new Error(`no program ${name}`);
  const port = await freePort();
  const file = join(scratch(), `${program.command}-${port}.conf`);
  writeFileSync(file, program.config(port, upstream));
  const folder = scratch();
  const env = { GOMAXPROCS: "1", HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
  const started = start(program.command, program.args(file), env);
  await accepts(port).catch((error) => {
    throw new Error(`${name}: ${error.message}: ${started.output().slice(-500)}`);
  });
  return { ...started, port };
}
