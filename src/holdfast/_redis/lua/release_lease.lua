-- SPDX-License-Identifier: Apache-2.0
-- release_lease.lua: gives a named lease back; only its holder can.
-- KEYS  1 lease
-- ARGV  1 member
-- returns 1 if it was held by the member, else 0
return redis.call('ZREM', KEYS[1], ARGV[1])
