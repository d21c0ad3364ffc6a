import { describe, expect, test } from "vitest";
import { cidrs } from "../../src/options/types.ts";

describe("networks that are trusted", () => {
  test.each([
    ["loopback", "127.0.0.1", true],
    ["loopback", "128.0.0.1", false],
    ["none", "127.0.0.1", false],
    ["10.0.0.0/8, 192.168.1.1", "10.255.0.1", true],
    ["10.0.0.0/8, 192.168.1.1", "192.168.1.1", true],
    ["10.0.0.0/8, 192.168.1.1", "192.168.1.2", false],
    ["0.0.0.0/0", "8.8.8.8", true],
  ])("%s: %s is %s", (networks, address, trusted) => {
    expect(cidrs(networks).check(address, "ipv4")).toBe(trusted);
  });

  test.each([
    ["loopback", "::1", true],
    ["loopback", "::2", false],
    ["fd00::/8", "fd12::1", true],
    ["fd00::/8", "fe80::1", false],
  ])("%s: %s is %s", (networks, address, trusted) => {
    expect(cidrs(networks).check(address, "ipv6")).toBe(trusted);
  });

  test.each(["10.0.0.1/", "::1/", "10.0.0.0/8/9", "10.0.0.0/33", "::1/129", "10.0.0", "a", "a:b", "/", "1.2.3.4/1e1"])(
    "%s is refused, and never taken for more than was meant",
    (networks) => {
      expect(() => cidrs(networks)).toThrow("networks like 10.0.0.0/8");
    },
  );
});
