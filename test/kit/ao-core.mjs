// What the server files of @aoagents/ao-web import from @aoagents/ao-core, which npm does not have: written after its
// source. All else of that release is the real one.

import { spawn } from "node:child_process";
import { userInfo } from "node:os";

export { createProjectObserver, loadConfig, resolveProjectIdForSessionId } from "@composio/ao-core";

export const isWindows = () => false;
export const markDaemonShutdownHandlerInstalled = () => {};
export const spawnManagedDaemonChild = (_name, command, args, options) => spawn(command, args, options);
// The group, since the children are detached.
export const killProcessTree = async (pid, signal) => void process.kill(-pid, signal);
export const getEnvDefaults = () => {
  const { PATH, HOME, TMPDIR = "/tmp" } = process.env;
  return { PATH, HOME, TMPDIR, SHELL: "/bin/sh", USER: userInfo().username };
};
export const getNodePtyPrebuildsSubdir = () => `${process.platform}-${process.arch}`;
export const recordActivityEvent = () => {};
export const DEFAULT_DASHBOARD_NOTIFICATION_LIMIT = 50;
export const normalizeDashboardNotificationLimit = (limit) => limit ?? DEFAULT_DASHBOARD_NOTIFICATION_LIMIT;
export const getDashboardNotificationStorePath = () => undefined;
export const readDashboardNotificationsFromFile = () => [];
